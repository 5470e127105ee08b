"""Arithmetic in a stored graph, by its description alone."""

from pathlib import Path

import pytest

from vgg_keras.errors import UserError
from vgg_keras.weights.formats import keras_operations
from vgg_keras.weights.formats.keras_layers import ModelFile


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def joined(times):
    """A graph whose every Concatenate takes the one before it twice."""
    layers, before = {"image": {"class_name": "InputLayer", "config": {}}}, "image"
    for number in range(times):
        node = {"args": [[tensor(before), tensor(before)]], "kwargs": {}}
        before = f"joined_{number}"
        layers[before] = {"class_name": "Concatenate", "config": {"axis": -1}, "inbound_nodes": [node]}
    return layers, before


def test_channels_that_double_at_each_operation_are_refused_early():
    layers, last = joined(40)  # of which each is stored in some bytes
    with pytest.raises(UserError, match="the operation Concatenate of 24 channels"):
        keras_operations.read(last, {**layers, last: {**layers[last], "module": "keras.src.ops.numpy"}}, _FILE)


_FILE = ModelFile("A .keras file holds a net of Table 1.", Path("net.keras"))
