"""What a source holds of its net, by arrays made by hand: its head, its classes, and the names that formats have."""

import numpy as np
import pytest

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.weights.source_weights import (
    CAFFE,
    TORCHVISION,
    SourceWeights,
    assumed_of_head,
    caffe_names,
    named_head,
    parsing,
    same_names,
    two_classes,
)

NET = Architecture("A", num_classes=12)


def source(channels_first=False, **fields):
    """A convolution of 3 to 2 channels and FC layers of 8, 5 and 12 outputs."""
    shapes = {"block1_conv1": (3, 3, 3, 2), "fc1": (4, 8), "fc2": (8, 5), "predictions": (5, 12)}
    tensors = {}
    for name, shape in shapes.items():
        kernel = np.ones(shape, np.float32)
        kernel = kernel.T if channels_first else kernel
        tensors[name] = kernel, np.zeros(shape[-1], np.float32)
    fields = {"fc_layers": ("fc1", "fc2", "predictions"), "head": "fc", **fields}
    return SourceWeights("net", tensors, same_names, channels_first, None, **fields)


@pytest.mark.parametrize("channels_first", [False, True])
def test_units_are_the_outputs_in_either_order_of_axes(channels_first):
    found = source(channels_first)
    assert found.hidden_units() == (8, 5)
    assert found.num_classes(NET) == 12


def test_the_number_of_classes_follows_from_the_task():
    assert source(boxes="pcr").num_classes(NET) == 3  # four numbers of each class
    assert source(boxes="scr", classes=tuple("abcde")).num_classes(NET) == 5  # one box for all
    for boxes, classes in (("pcr", 3), ("none", 12)):  # the net's own, where the source does not hold it
        assert source(boxes=None).num_classes(Architecture("A", num_classes=3, boxes=boxes)) == classes


def test_without_its_head_a_source_is_its_convolutions_alone():
    whole = source(assumed_head=("ReLU",), multi_label=True, notes=("a note",), classes=("a", "b"))
    alone = whole.without_head()
    assert list(alone.tensors) == ["block1_conv1"] and list(whole.tensors)[1:] == list(whole.fc_layers)
    assert (alone.fc_layers, alone.head, alone.assumed_head, alone.multi_label, alone.notes) == ((), "", (), False, ())
    assert alone.num_classes(NET) == 0 and alone.hidden_units() == ()


def test_names_of_caffes_files_are_the_authors():
    """VGG_ILSVRC_16_layers_deploy.prototxt's, in its order."""
    authors = [
        *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3"),
        *("conv5_1", "conv5_2", "conv5_3", "fc6", "fc7", "fc8"),
    ]
    names = caffe_names(Architecture("D"))
    assert list(names.values()) == authors
    assert (names["block4_conv3"], names["fc1"], names["predictions"]) == ("conv4_3", "fc6", "fc8")


def test_batch_norm_has_names_behind_its_convolutions():
    names = list(same_names(Architecture("A", batch_norm=True)))
    assert names[:4] == ["block1_conv1", "block1_conv1_bn", "block2_conv1", "block2_conv1_bn"]
    assert names[-3:] == ["fc1", "fc2", "predictions"]


@pytest.mark.parametrize(
    ("fc_layers", "expected"),
    [
        (("a", "b", "c"), {"fc1": "a", "fc2": "b", "predictions": "c"}),
        (("a", "c"), {"fc1": "a", "fc2": "fc2", "predictions": "c"}),  # which the source lacks
        (("a", "b", "x", "c"), {"fc1": "a", "fc2": "b", "predictions": "c"}),
        ((), {"fc1": "fc1", "fc2": "fc2", "predictions": "predictions"}),
    ],
)
def test_fc_layers_go_by_their_order_and_the_last_is_the_last(fc_layers, expected):
    assert named_head(Architecture("D"), fc_layers) == expected


def test_only_what_a_head_has_is_assumed_of_it():
    pooling, relu, label = assumed_of_head(2, 5, pooled=True)
    assert "average pooling" in pooling and "ReLU" in relu and "one label" in label
    assert assumed_of_head(0, 5, pooled=False) == (label,)
    assert assumed_of_head(2, 1, pooled=False) == (relu,)  # one output has no labels to choose from
    assert assumed_of_head(0, 1, pooled=True) == (pooling,)


def test_one_sigmoid_is_the_soft_max_of_two_classes(random):
    kernel, bias = random.normal(size=(6, 1)).astype(np.float32), random.normal(size=1).astype(np.float32)
    inputs = random.normal(size=(9, 6))
    (two, both), note = two_classes(kernel, bias)
    exponentials = np.exp(inputs @ two + both)
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    sigmoid = 1 / (1 + np.exp(-(inputs @ kernel + bias)))
    difference = np.abs(softmax[:, 1:] - sigmoid).max()
    print(f"largest difference {difference:.1e}")
    assert difference < 1e-6 and "becomes two classes" in note


def test_the_preprocessing_of_known_sources_is_their_documentations():
    """Caffe's model zoo: BGR, mean 103.939, 116.779, 123.68. torchvision: mean and std of values in 0-1."""
    image = np.array([200.0, 100.0, 50.0])  # R, G, B
    assert CAFFE.bgr and np.allclose((image - CAFFE.mean) / CAFFE.std, [200 - 123.68, 100 - 116.779, 50 - 103.939])
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert not TORCHVISION.bgr and np.allclose((image - TORCHVISION.mean) / TORCHVISION.std, expected)


def test_an_error_of_a_parser_becomes_one_short_line():
    with pytest.raises(UserError) as caught, parsing("net.mat"):
        raise ZeroDivisionError("a\nlong " + "reason " * 100)
    assert str(caught.value).startswith(
        "A file of weights must be whole and what its name says. Received: net.mat: Zero"
    )
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 320
    with pytest.raises(UserError, match=r"^ours$"), parsing("net.mat"):
        raise UserError("ours")
