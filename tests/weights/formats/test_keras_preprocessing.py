"""What a model's first layers do to images: its own `predict` on RGB pictures is the truth."""

import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats.saved_layers import FILE, layer, net_of
from tests.weights.formats.thin_nets import convolutions, equal, fields, functional, head, other, scaled, sequential
from vgg_keras.weights.formats import keras_model
from vgg_keras.weights.inference import with_stated
from vgg_keras.weights.load import load_net
from vgg_keras.weights.source_weights import Preprocessing


def adapted(**fields):
    layer = kl.Normalization(**fields)
    layer.adapt(np.random.default_rng(5).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32) * [1.0, 0.5, 0.2])
    return layer


PREPROCESSING = {
    "divided": lambda: [kl.Rescaling(1 / 255)],
    "from -1 to 1": lambda: [kl.Rescaling(1 / 127.5, offset=-1)],
    "by channel": lambda: [kl.Rescaling([1 / 255, 1 / 128, 1 / 64], offset=[-0.5, 0.1, 0.0])],
    "shifted alone": lambda: [kl.Rescaling(1.0, offset=-127.5)],
    "negative": lambda: [kl.Rescaling(-1 / 255, offset=1.0)],
    "adapted": lambda: [adapted()],
    "adapted over all": lambda: [adapted(axis=None)],
    "given": lambda: [kl.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 4000.0, 5000.0])],
    "a number given": lambda: [kl.Normalization(axis=None, mean=120.0, variance=4000.0)],
    "both": lambda: [
        kl.Rescaling(1 / 255),
        kl.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506]),
    ],
    "augmented first": lambda: [kl.RandomFlip("horizontal"), kl.RandomRotation(0.1), kl.Rescaling(1 / 255)],
    "resized first": lambda: [
        kl.Resizing(32, 32),
        kl.Rescaling(1 / 255),
    ],  # of a functional model: training=True is stored
}


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("kind", PREPROCESSING)
def test_a_models_own_preprocessing_is_folded_in(tmp_path, images, kind, ending, capsys):
    made = functional if len(kind) % 2 else sequential
    model = scaled(made([*PREPROCESSING[kind](), *convolutions(), *head()]))
    model.save(tmp_path / f"net.{ending}")
    capsys.readouterr()
    loaded = load_net(tmp_path / f"net.{ending}")
    assert equal(loaded, model, images)
    found = loaded.config.architecture
    assert (found.name, found.width, found.crop, found.num_classes) == ("A", 1 / 16, 32, 5)
    assert "the file does not say" not in capsys.readouterr().err


REFUSED = {
    "grey images": (fields("image", batch_shape=[None, 32, 32, 1]), r"an input of the shape \(32, 32, 1\)"),
    "no square": (fields("image", batch_shape=[None, 16, 64, 3]), "an input of 16x64, not a square"),
    "division by 0": (fields("scale", scale=0.0), "scale of scale=0"),
    "no number": (fields("scale", scale=float("nan")), "scale of values that are not finite"),
    "a tiny number": (fields("scale", scale=1e-310), "scale of values that are not finite"),
    "a variance below 0": (
        other("scale", class_name="Normalization", config={"name": "scale", "mean": [0.0], "variance": [-1.0]}),
        "whose scale has one that is",
    ),
    "four channels": (fields("scale", scale=[1.0, 1.0, 1.0, 1.0]), "4 values for 3 channels"),
    "rows": (fields("scale", offset=[[1.0], [2.0], [3.0]]), "3 values for 3 channels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_preprocessing_that_is_no_mean_and_division_is_refused(refused_when, kind):
    refused_when(*REFUSED[kind])


@pytest.mark.parametrize(
    ("front", "known", "assumed"),
    [
        (layer("Affine", "cast", channels=[0, 1, 2], mean=[0.0] * 3, std=[1.0] * 3), False, ""),
        (layer("Rescaling", scale=1 / 255), True, ""),
        (layer("Normalization", mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506]), True, "up to 1,136"),
    ],
)
def test_what_the_first_layers_do_is_doubted_where_they_are_of_other_images(front, known, assumed):
    layers, tensors = net_of([layer("Flatten"), layer("Dense")])
    source = keras_model.describe([layers[0], front, *layers[1:]], tensors, FILE)
    assert (source.preprocessing is not None) == known and assumed in source.assumed
    stated = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    taken = with_stated(source, *stated).preprocessing == Preprocessing(*stated)
    assert taken == (not known or bool(assumed)) == bool(source.assumed or not known)
