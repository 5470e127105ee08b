"""KerasHub's presets: the layout of `save_to_preset` by hand, as KerasHub 0.32 writes it; Keras's own net is the truth."""

import json

import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats.fine_tuned import filled
from tests.weights.sources import difference, ours
from vgg_keras.errors import UserError
from vgg_keras.weights.load import load_net
from vgg_keras.weights.verify import digest_of

SCALE, OFFSET = [1 / 58, 1 / 57, 1 / 56], [-2.1, -2.0, -1.8]
REPEATS, FILTERS, SIDE = [1, 1, 2, 2, 2], [4, 8, 16, 32, 32], 64


def serialized(name, module, **config):
    return {
        "module": f"keras_hub.src.{module}",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_hub>{name}",
    }


def preset(folder, pooling, task=True):
    """A preset's folder and the model that it holds, from images in 0-255 on."""
    image = x = keras.Input((SIDE, SIDE, 3))
    for block, (repeats, units) in enumerate(zip(REPEATS, FILTERS, strict=True), start=1):
        for place in range(1, repeats + 1):
            x = kl.Conv2D(units, 3, padding="same", activation="relu", name=f"block{block}_conv{place}")(x)
        x = kl.MaxPooling2D(2, name=f"block{block}_pool")(x)
    backbone = keras.Model(image, x)
    if pooling == "flatten":
        parts = [kl.Flatten(), kl.Dense(32, "relu", name="fc1"), kl.Dropout(0.1), kl.Dense(32, "relu", name="fc2")]
    else:
        pool = {"avg": kl.GlobalAveragePooling2D, "max": kl.GlobalMaxPooling2D}[pooling]
        parts = [
            kl.Conv2D(32, 2, activation="relu", name="fc1"),
            kl.Conv2D(32, 1, activation="relu", name="fc2"),
            pool(),
        ]
    head = keras.Sequential([keras.Input(x.shape[1:]), *parts, kl.Dense(5, name="predictions")])
    whole = filled(keras.Model(image, head(backbone(kl.Rescaling(SCALE, OFFSET)(image)))))
    folder.mkdir()
    converter = serialized("VGGImageConverter", "models.vgg", image_size=[SIDE, SIDE], scale=SCALE, offset=OFFSET)
    processor = serialized("VGGImageClassifierPreprocessor", "models.vgg", image_converter=converter)
    body = serialized(
        "VGGBackbone",
        "models.vgg",
        stackwise_num_repeats=REPEATS,
        stackwise_num_filters=FILTERS,
        image_shape=[None, None, 3],
    )
    (folder / "config.json").write_text(json.dumps(body))
    (folder / "preprocessor.json").write_text(json.dumps(processor))
    backbone.save_weights(folder / "model.weights.h5")
    if task:
        arguments = {"num_classes": 5, "pooling": pooling, "activation": None, "dropout": 0.1, "pooling_hidden_dim": 32}
        classifier = serialized("VGGImageClassifier", "models.vgg", backbone=body, preprocessor=processor, **arguments)
        (folder / "task.json").write_text(json.dumps(classifier))
        inside = keras.Input(x.shape[1:])
        keras.Model(inside, head(inside)).save_weights(folder / "task.weights.h5")
    return whole


@pytest.mark.parametrize("pooling", ["flatten", "avg", "max"])
def test_a_classifiers_logits_are_its_own(tmp_path, random, pooling):
    model = preset(tmp_path / "preset", pooling)
    loaded = load_net(tmp_path / "preset")
    images = random.integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.float32)
    assert difference(pooling, ours(loaded.model, images), ours(model, images)) <= 1e-5
    found = loaded.config.architecture
    assert (found.name, found.head, found.crop, found.num_classes) == ("A", "fc", SIDE, 5)
    assert loaded.weights_sha256 == digest_of(tmp_path / "preset", "D")


def test_a_backbone_alone_has_no_head(tmp_path):
    model = preset(tmp_path / "preset", "flatten", task=False)
    with pytest.raises(UserError, match=r"without the FC layers is no whole net\. Received: .*preset"):
        load_net(tmp_path / "preset")
    loaded = load_net(tmp_path / "preset", convolutions=True).model
    own = {layer.name: layer for layer in model._flatten_layers()}
    assert np.array_equal(loaded.get_layer("block5_conv2").kernel, own["block5_conv2"].kernel)


def test_what_is_no_vggs_preset_is_refused_in_one_line(tmp_path):
    preset(tmp_path / "preset", "flatten")
    task = json.loads((tmp_path / "preset" / "task.json").read_text())
    broken = {
        "ResNetImageClassifier": {**task, "class_name": "ResNetImageClassifier"},
        "blocks of": {
            **task,
            "config": {
                **task["config"],
                "backbone": {
                    **task["config"]["backbone"],
                    "config": {"stackwise_num_repeats": [2], "stackwise_num_filters": [2]},
                },
            },
        },
        "pooling=sum": {**task, "config": {**task["config"], "pooling": "sum"}},
        "VGGImageClassifier of os": {**task, "module": "os"},
        "configuration is damaged": {**task, "config": 3},
    }
    for what, changed in broken.items():
        (tmp_path / "preset" / "task.json").write_text(json.dumps(changed))
        with pytest.raises(
            UserError,
            match=rf"(A KerasHub preset holds a VGG|A head is a pooling and FC layers).*Received: .*preset.*{what}",
        ) as caught:
            load_net(tmp_path / "preset")
        assert "\n" not in str(caught.value)
    (tmp_path / "preset" / "task.json").write_text(json.dumps(task))
    (tmp_path / "preset" / "task.weights.h5").unlink()
    with pytest.raises(UserError, match=r"Received: .*preset, without task\.weights\.h5"):
        load_net(tmp_path / "preset")
    with pytest.raises(UserError, match="must have the expected sha256"):
        load_net(tmp_path / "preset", sha256="0" * 64)
