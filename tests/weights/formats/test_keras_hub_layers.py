"""KerasHub's arguments as layers: the chain by hand, as keras_hub/src/models/vgg builds it, and what makes another net."""

import copy

import pytest

from tests.weights.formats.saved_layers import FILE
from vgg_keras.errors import UserError
from vgg_keras.weights.formats.keras_hub_layers import converter_of, converter_side, layers_of


def serialized(name, **config):
    return {"module": "keras_hub.src.models.vgg", "class_name": name, "config": config}


def backbone(**more):
    return serialized(
        "VGGBackbone", stackwise_num_repeats=[1, 1, 2, 2, 2], stackwise_num_filters=[4, 8, 16, 32, 32], **more
    )


CONVERTER = serialized("VGGImageConverter", image_size=[64, 64], scale=[1 / 58, 1 / 57, 1 / 56], offset=[-2, -2, -1.8])
PREPROCESSOR = serialized("VGGImageClassifierPreprocessor", image_converter=CONVERTER)
BLOCKS = [
    *("block1_conv1", "block1_pool", "block2_conv1", "block2_pool", "block3_conv1", "block3_conv2", "block3_pool"),
    *("block4_conv1", "block4_conv2", "block4_pool", "block5_conv1", "block5_conv2", "block5_pool"),
]


def chain(model):
    return [(layer.kind, layer.name) for layer in layers_of(model, FILE)]


def test_a_backbone_is_its_blocks_behind_its_input():
    layers = list(layers_of(backbone(image_shape=[64, 64, 3], include_rescaling=True), FILE))
    assert [layer.name for layer in layers] == ["image", "rescaling", *BLOCKS]
    assert layers[0].config == {"batch_shape": [None, 64, 64, 3]} and layers[1].config == {"scale": 1 / 255}
    by_name = {layer.name: layer for layer in layers}
    assert by_name["block3_conv2"].config == {"padding": "same", "activation": "relu"}
    assert by_name["block5_pool"].config == {"pool_size": 2, "padding": "valid"}
    assert chain(backbone(pooling="max"))[-1] == ("GlobalMaxPooling2D", "backbone_pooling")  # before 0.17
    assert next(layers_of(backbone(), FILE)).config == {"batch_shape": [None, None, None, None]}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (
            {"pooling": "flatten"},
            [("Flatten", "flatten"), ("Dense", "fc1"), ("Dense", "fc2"), ("Dense", "predictions")],
        ),
        (
            {"pooling": "avg"},
            [
                ("Conv2D", "fc1"),
                ("Conv2D", "fc2"),
                ("GlobalAveragePooling2D", "pooler"),
                ("Dense", "predictions"),
            ],
        ),
        (
            {"pooling": "max"},
            [("Conv2D", "fc1"), ("Conv2D", "fc2"), ("GlobalMaxPooling2D", "pooler"), ("Dense", "predictions")],
        ),
        ({}, [("Dense", "predictions")]),  # before 0.17 the backbone pools
    ],
)
def test_a_classifier_is_its_images_its_backbone_and_its_head(head, expected):
    model = serialized(
        "VGGImageClassifier", backbone=backbone(), preprocessor=PREPROCESSOR, activation="softmax", **head
    )
    found = chain(model)
    assert found[:2] == [("Rescaling", "image_converter"), ("InputLayer", "image")]
    assert [name for _, name in found[2:15]] == BLOCKS and found[15:] == expected
    assert list(layers_of(model, FILE))[-1].config == {"activation": "softmax"}


def test_a_preprocessor_divides_and_makes_the_size():
    found = converter_of(PREPROCESSOR, FILE)
    assert found.config == {"scale": [1 / 58, 1 / 57, 1 / 56], "offset": [-2, -2, -1.8]}
    assert converter_side(PREPROCESSOR) == 64
    plain = serialized("P", image_converter=serialized("ImageConverter", image_size=[64, 96], scale=None))
    assert converter_of(plain, FILE).config == {"scale": 1.0, "offset": 0.0} and converter_side(plain) == 0
    for none in (None, serialized("P", image_converter=None)):
        assert converter_of(none, FILE) is None and converter_side(none) == 0
    stranger = copy.deepcopy(PREPROCESSOR)
    stranger["config"]["image_converter"]["class_name"] = "Mine"
    with pytest.raises(UserError, match=r"net\.keras, another, with Mine\."):
        converter_of(stranger, FILE)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (backbone(data_format="channels_first"), "data_format=channels_first"),
        (serialized("VGGBackbone", stackwise_num_repeats=[2] * 4, stackwise_num_filters=[4] * 4), "blocks of"),
        (serialized("VGGBackbone", stackwise_num_repeats=[2] * 5, stackwise_num_filters=[4] * 4), "blocks of"),
        (serialized("VGGBackbone", stackwise_num_repeats=[10**9] * 5, stackwise_num_filters=[4] * 5), "blocks of"),
        (serialized("VGGBackbone", stackwise_num_repeats=[True] * 5, stackwise_num_filters=[4] * 5), "blocks of"),
        (serialized("VGGImageClassifier", backbone=backbone(), pooling="sum"), "pooling=sum"),
        (serialized("VGGImageClassifier", backbone=serialized("ResNetBackbone"), pooling="avg"), "ResNetBackbone"),
    ],
)
def test_arguments_of_another_net_are_named(model, what):
    with pytest.raises(UserError, match=rf"net\.keras, another, with {what}"):
        list(layers_of(model, FILE))
