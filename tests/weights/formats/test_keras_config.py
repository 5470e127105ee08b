"""A stored model as a chain of layers: files of Keras 2 and 3, and what is no chain."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats.thin_nets import (
    as_keras_2,
    convolutions,
    equal,
    functional,
    head,
    layer_of,
    other,
    scaled,
    sequential,
    stored,
)
from vgg_keras.weights.load import load_net


@pytest.mark.slow
@pytest.mark.parametrize("made", [functional, sequential])
def test_files_of_keras_2_are_read(tmp_path, images, made):
    model = scaled(made([kl.Rescaling(1 / 127.5, -1), *convolutions(), *head()]))
    model.save(tmp_path / "net.h5")
    stored(tmp_path / "net.h5", as_keras_2)
    assert equal(load_net(tmp_path / "net.h5"), model, images)

    def without_an_input(config):  # a Sequential model of which the first layer has the shape
        first, *rest = config["config"]["layers"]
        rest[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
        config["config"]["layers"] = rest
        return config

    if made is sequential:
        stored(tmp_path / "net.h5", without_an_input)
        loaded = load_net(tmp_path / "net.h5")
        assert loaded.config.architecture.crop == 32
        assert equal(loaded, model, images)
        stored(tmp_path / "net.h5", lambda config: {**config, "config": config["config"]["layers"]})  # before 2.2.3
        assert equal(load_net(tmp_path / "net.h5"), model, images)


@pytest.mark.slow
def test_a_keras_file_without_names_goes_by_its_classes(tmp_path, images):
    """As tf_keras writes it: layers are counted in each model and class."""
    model = scaled(functional([kl.Rescaling(1 / 255), functional(convolutions(batch_norm=True)), sequential_head()]))
    model.save(tmp_path / "named.keras")
    with zipfile.ZipFile(tmp_path / "named.keras") as archive, zipfile.ZipFile(tmp_path / "net.keras", "w") as other:
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "a") as file:
            file.visititems(lambda _, node: node.attrs.pop("name", None) and None)
            assert "name" not in file["layers/functional/layers/conv2d/vars"].attrs
        other.writestr("config.json", archive.read("config.json"))
        other.write(tmp_path / "w.h5", "model.weights.h5")
    assert equal(load_net(tmp_path / "net.keras"), model, images)


def sequential_head():
    return keras.Sequential([keras.Input((1, 1, 32)), *head()])


def bypass(config):
    """block5_conv1 is not called any more."""
    layers = config["config"]["layers"]
    place = layers.index(layer_of(config, "block5_conv1"))
    layers[place + 1]["inbound_nodes"] = layers[place]["inbound_nodes"]
    return config


def training(config):
    layer_of(config, "fc1")["inbound_nodes"][0]["kwargs"] = {"training": True}
    return config


def swapped(config):
    """Two convolutions of the same shapes in each other's place."""
    first, second = layer_of(config, "block5_conv1"), layer_of(config, "block5_conv2")
    after = config["config"]["layers"][config["config"]["layers"].index(second) + 1]
    history = [layer["inbound_nodes"] for layer in (first, second, after)]
    first["inbound_nodes"], second["inbound_nodes"], after["inbound_nodes"] = (
        json.loads(json.dumps(history[1]).replace("block5_conv1", "block5_conv2")),
        history[0],
        json.loads(json.dumps(history[2]).replace("block5_conv2", "block5_conv1")),
    )
    return config


def test_layers_go_by_their_places_and_not_by_their_names(tmp_path, whole):
    path = tmp_path / "net.h5"
    path.write_bytes(whole.read_bytes())
    stored(path, swapped)
    plain, turned = load_net(whole).model, load_net(path).model
    for new, old in (("block5_conv1", "block5_conv2"), ("block5_conv2", "block5_conv1")):
        assert np.array_equal(turned.get_layer(new).kernel, plain.get_layer(old).kernel)


REFUSED = {
    "a layer left out": (bypass, "layers beside the chain"),
    "a circle": (
        lambda config: other("scale", inbound_nodes=layer_of(config, "fc1")["inbound_nodes"])(config),
        "layers in a circle",
    ),
    "two outputs": (
        lambda config: {
            **config,
            "config": {**config["config"], "output_layers": [["predictions", 0, 0], ["fc1", 0, 0]]},
        },
        "several inputs or outputs",
    ),
    "as in training": (training, "fc1 called with training=True"),
    "without its scale": (lambda config: {"class_name": "Functional", "config": {}}, "configuration is damaged"),
    "a list": (lambda config: [], "configuration is damaged"),
    "a number": (lambda config: 5, "configuration is damaged"),
    "a subclass": (lambda config: {**config, "class_name": "MyVGG"}, "another, with MyVGG"),
    "layers of another kind": (lambda config: {**config, "config": {"layers": 7}}, "configuration is damaged"),
}


def test_a_layer_that_is_not_known_is_named_by_its_class(tmp_path, refused):
    """Keras 3 writes training=True for it, as for all layers that change images."""
    for layer, name in ((kl.CenterCrop(32, 32), "CenterCrop"), (kl.Pipeline([kl.RandomFlip()]), "Pipeline")):
        functional([layer, *convolutions(), *head()]).save(tmp_path / "net.keras")
        refused(tmp_path / "net.keras", rf"another, with {name}\.")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_chain_is_refused(refused_when, kind):
    refused_when(*REFUSED[kind])
