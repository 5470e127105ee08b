"""Every format is written and read in a folder whose path TensorFlow takes for a pattern."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data
from vgg_keras.exports import onnx, saved_model, tflite
from vgg_keras.nets.builder import build
from vgg_keras.weights.formats.run_folder import LoadedModel

NET = Architecture("A", num_classes=3, crop=32, width=1 / 16, mean=(1.0, 2.0, 3.0))
CONFIG = Config(architecture=NET, data=Data(scale=(32,)))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / os.fsdecode(b"o[u]t\\x*?\n\xff")
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def net():
    return build(NET, seed=3)


@pytest.fixture(scope="module")
def ended(net):
    return keras.Model(net.input, keras.layers.Softmax()(net.output))


@pytest.mark.slow
def test_a_saved_model(folder, net, random):
    image = random.integers(0, 256, (32, 32, 3), np.uint8)
    run = LoadedModel(net, CONFIG, ("a", "b", "c"), folder, "12")
    saved_model.write(run, CONFIG, folder / "model")
    found = saved_model.opened(folder / "model")(tf.io.encode_png(image).numpy())
    views = np.stack([image, image[:, ::-1]]).astype(np.float32)
    expected = tf.nn.softmax(net(views, training=False)).numpy().mean(axis=0)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("form", "name"), [(tflite, "model.tflite"), (onnx, "model.onnx")])
def test_a_file(folder, ended, random, form, name):
    if form is onnx:
        pytest.importorskip("tf2onnx")
    crop = random.uniform(0, 255, (32, 32, 3)).astype(np.float32)
    arguments = ("float32", [crop[np.newaxis]]) if form is tflite else ()
    form.write(ended, *arguments, folder / name)
    assert np.abs(form.opened(folder / name)(crop) - ended(crop[np.newaxis]).numpy()[0]).max() < 1e-5
    assert os.listdir(folder) == [name]
