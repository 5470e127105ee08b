"""Thin Keras models as people save them: net A at 1/16 of its width, and changes of what its file says of it."""

import copy
import json

import h5py
import keras
import numpy as np
from keras import layers as kl

from tests.weights.sources import difference, ours

BLOCKS = ((4,), (8,), (16, 16), (32, 32), (32, 32))  # net A at 1/16 of its width


def convolutions(batch_norm=False, activation="relu", named=True):
    found = []
    for block, row in enumerate(BLOCKS, start=1):
        for place, units in enumerate(row, start=1):
            name = f"block{block}_conv{place}" if named else None
            inside = None if batch_norm else activation
            found.append(kl.Conv2D(units, 3, padding="same", activation=inside, bias_initializer="normal", name=name))
            if batch_norm:
                found += [kl.BatchNormalization(epsilon=1e-5), kl.Activation(activation)]
        found.append(kl.MaxPooling2D(2, name=f"block{block}_pool" if named else None))
    return found


def head(classes=5, activation="relu", end=None):
    return [
        kl.Flatten(),
        kl.Dense(256, activation=activation, name="fc1"),
        kl.Dropout(0.5),
        kl.Dense(256, activation=activation, name="fc2"),
        kl.Dropout(0.5),
        kl.Dense(classes, activation=end, name="predictions"),
    ]


def functional(layers, side=32):
    image = x = keras.Input((side, side, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def sequential(layers, side=32):
    return keras.Sequential([keras.Input((side, side, 3)), *layers])


def scaled(model):
    """Random weights that keep signals alive, and batch norm's averages as random."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, kl.Conv2D | kl.Dense):
            kernel, bias = layer.get_weights()
            spread = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            layer.set_weights([random.normal(0, spread, kernel.shape), random.normal(0, 0.3, bias.shape)])
        elif isinstance(layer, kl.BatchNormalization):
            layer.set_weights([random.uniform(0.2, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def logits(model, images):
    found = ours(model, images)
    return np.log(found) if np.allclose(found.sum(axis=1), 1, atol=1e-5) else found


def equal(loaded, model, images, taken=None, shifted=False):
    """Whether a loaded net's logits are those of Keras's model; `taken` are the images as the model takes them."""
    found, expected = ours(loaded.model, images), logits(model, images if taken is None else taken)
    if shifted:  # the logarithms of probabilities are logits but for one number an image
        found, expected = (values - values.mean(axis=1, keepdims=True) for values in (found, expected))
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max()
    return difference("logits", found, expected) <= 1e-5


# ---- what a file says of its model


def stored(path, change=None):
    """The configuration in a whole-model .h5, changed in place where `change` is given."""
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        if change:
            changed = change(config)
            file.attrs["model_config"] = changed if isinstance(changed, str | bytes) else json.dumps(changed)
    return config


def layer_of(config, name):
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


def fields(name, **values):
    """A change of a layer's fields."""

    def change(config):
        layer_of(config, name)["config"].update(values)
        return config

    return change


def other(name, **values):
    """A change of a layer itself."""

    def change(config):
        layer_of(config, name).update(values)
        return config

    return change


def as_keras_2(config):
    """In the form of Keras 2.15: inbound nodes are lists, shapes have another name, dtypes are words."""
    config = copy.deepcopy(config)
    names = []
    for layer in config["config"]["layers"]:
        layer["config"]["dtype"] = "float32"
        layer.update(module="keras.src.engine.functional" if "layers" in layer["config"] else "keras.layers")
        layer["registered_name"] = None
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
        if "inbound_nodes" in layer:
            layer["inbound_nodes"] = [[[name, 0, 0, {}]] for name in names[-1:]]
        names.append(layer["config"]["name"])
    if config["class_name"] == "Functional":
        config["config"]["input_layers"], config["config"]["output_layers"] = [[names[0], 0, 0]], [[names[-1], 0, 0]]
    return config
