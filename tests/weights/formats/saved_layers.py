"""Layers as a file describes them, and those of a thin net A with its arrays."""

from pathlib import Path

import numpy as np

from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer

FILE = ModelFile("A .keras file holds a net of Table 1.", Path("net.keras"))


def layer(kind, name="", **config):
    return SavedLayer(kind, name or kind.lower(), config)


def net_of(head):
    """The layers of a thin net A, one output at its end, and its arrays; conv layers go by their places."""
    layers, tensors, inputs = [layer("InputLayer", batch_shape=[None, 32, 32, 3])], {}, 3
    for block, count in enumerate((1, 1, 2, 2, 2), start=1):
        for place in range(count):
            name = f"conv{block}_{place}"
            units = min(32, 4 * 2 ** (block - 1))
            tensors[name] = np.ones((3, 3, inputs, units), np.float32), np.zeros(units, np.float32)
            layers.append(layer("Conv2D", name, padding="same", activation="relu"))
            inputs = units
        layers.append(layer("MaxPooling2D", f"pool{block}", pool_size=[2, 2]))
    return [*layers, *head], {**tensors, "dense": (np.ones((inputs, 1), np.float32), np.zeros(1, np.float32))}
