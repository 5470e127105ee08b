"""Arithmetic in a stored graph: the model's own `predict` is the truth, and what is not understood is named."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.weights.formats.thin_nets import as_keras_2, convolutions, equal, functional, head, scaled, stored
from tests.weights.sources import as_caffe
from vgg_keras.errors import UserError
from vgg_keras.weights.formats import keras_operations
from vgg_keras.weights.formats.keras_layers import ModelFile
from vgg_keras.weights.load import load_net


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


def operation(kind, calls=(), **config):
    return {"class_name": kind, "config": {"name": "operation", **config}, "inbound_nodes": list(calls)}


@pytest.mark.parametrize(
    ("stored", "activation"),
    [
        (operation("Relu", [{"args": [tensor("fc1")], "kwargs": {}}]), "relu"),
        (operation("Softmax", [{"args": [tensor("fc1")], "kwargs": {}}], axis=-1), "softmax"),
        (operation("Softmax", [{"args": [tensor("fc1")], "kwargs": {}}], axis=2), ""),
        (operation("Softmax", [{"args": [tensor("fc1")], "kwargs": {"axis": 2}}]), ""),
        (operation("Sigmoid", [{"args": [tensor("fc1")], "kwargs": {}}]), "sigmoid"),
        (operation("TFOpLambda", [[["fc1", 0, 0, {}]]], function="nn.softmax"), "softmax"),  # Keras 2's
        (operation("TFOpLambda", [["fc1", 0, 0, {"axis": -1}]], function="nn.softmax"), "softmax"),
        (operation("TFOpLambda", [["fc1", 0, 0, {"axis": 2}]], function="nn.softmax"), ""),
        (operation("TFOpLambda", [["fc1", 0, 0, {"y": 2.0}]], function="math.multiply"), ""),
        (operation("Tanh"), ""),
    ],
)
def test_an_operation_that_is_an_activation_is_known(stored, activation):
    assert keras_operations.activation_of(stored) == activation


def test_an_operation_of_a_layers_name_is_none(tmp_path):
    """An `.h5` writes no modules; `Identity` passes its input on as an operation too."""
    assert keras_operations.is_operation(operation("Reshape", newshape=[-1, 128]))
    assert not keras_operations.is_operation(operation("Reshape", target_shape=[128]))
    assert not keras_operations.is_operation(operation("Identity"))
    layers = {
        "image": operation("InputLayer"),
        "same": operation("Identity", [{"args": [tensor("image")], "kwargs": {}}]),
    }
    layers["less"] = operation("Subtract", [{"args": [tensor("same"), 5.0], "kwargs": {}}])
    found, source, _ = keras_operations.read("less", layers, _FILE)
    assert found.config["mean"] == [5.0] * 3 and source == "image"


_FILE = ModelFile("A .keras file holds a net of Table 1.", Path("net.keras"))


def test_keras_2s_arithmetic_is_read_as_it_writes_it(tmp_path, images):
    """tf_keras 2.21's form of preprocess_input: SlicingOpLambda, and TFOpLambda with its operand in the call."""
    model = scaled(functional([*convolutions(), *head()]))
    ellipsis, turned = {"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}
    steps = [
        ("SlicingOpLambda", "__operators__.getitem", {"slice_spec": [ellipsis, turned]}),
        ("TFOpLambda", "nn.bias_add", {"bias": [-103.939, -116.779, -123.68], "data_format": "NHWC"}),
        ("TFOpLambda", "math.truediv", {"y": 2.0, "name": None}),
        ("TFOpLambda", "math.multiply", {"y": 2.0, "name": None}),
    ]

    def with_steps(config):
        config = as_keras_2(config)
        first, second, *rest = config["config"]["layers"]
        before, added = first["config"]["name"], []
        for kind, function, operand in steps:
            name = f"tf.{function}"
            call = [[before, 0, 0, operand]]
            added.append(
                {
                    "class_name": kind,
                    "config": {"name": name, "function": function},
                    "name": name,
                    "inbound_nodes": call,
                }
            )
            before = name
        second["inbound_nodes"] = [[[before, 0, 0, {}]]]
        config["config"]["layers"] = [first, *added, second, *rest]
        return config

    model.save(tmp_path / "net.h5")
    stored(tmp_path / "net.h5", with_steps)
    assert equal(load_net(tmp_path / "net.h5"), model, images, as_caffe(images))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_preprocess_input_in_a_model_is_read_and_other_arithmetic_is_named(tmp_path, images, ending):
    image = keras.Input((32, 32, 3))
    x = keras.applications.vgg16.preprocess_input(image)
    for layer in [*convolutions(), *head()]:
        x = layer(x)
    model = keras.Model(image, x)
    model.save(tmp_path / f"net.{ending}")
    assert equal(load_net(tmp_path / f"net.{ending}"), model, images)
    for name, change in (
        ("Square", lambda x: keras.ops.square(x)),
        ("GetItem", lambda x: x[:, ::-1]),
        ("Multiply", lambda x: x * x),
        ("TrueDivide", lambda x: 1.0 / (x + 1)),
        ("Add", lambda x: x + np.ones((32, 32, 3))),
    ):
        x = change(image)
        for layer in [*convolutions(), *head()]:
            x = layer(x)
        keras.Model(image, x).save(tmp_path / f"net.{ending}")
        with pytest.raises(UserError, match=rf"Received: .*net\.{ending}, another, with (the operation )?{name}"):
            load_net(tmp_path / f"net.{ending}")
