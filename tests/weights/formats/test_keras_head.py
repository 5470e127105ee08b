"""Heads of Keras models as FC layers, by arrays alone: a loop over windows in NumPy is the truth."""

from pathlib import Path

import numpy as np
import pytest

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.weights.formats import keras_head, keras_model
from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer
from vgg_keras.weights.inference import require_head, with_stated
from vgg_keras.weights.source_weights import Preprocessing

FILE = ModelFile("A .keras file holds a net of Table 1.", Path("net.keras"))
CHANNELS, SIDE, WINDOW = 3, 4, 2


def layer(kind, name="", **config):
    return SavedLayer(kind, name or kind.lower(), config)


def read(layers, tensors, side=SIDE):
    return keras_head.head_of(layers, tensors, 0.0, side, FILE)


def pooled(maps):
    """Average pooling of (batch, side, side, channels), window by window."""
    steps = range(0, SIDE, WINDOW)
    parts = [maps[:, y : y + WINDOW, x : x + WINDOW].mean(axis=(1, 2)) for y in steps for x in steps]
    return np.stack(parts, axis=1).reshape(len(maps), SIDE // WINDOW, SIDE // WINDOW, -1)


POOLING = layer("AveragePooling2D", pool_size=[WINDOW, WINDOW], strides=None, padding="valid")
FLATTEN, NORM = layer("Flatten"), layer("BatchNormalization", axis=-1)


@pytest.mark.parametrize(
    "kinds",
    [(POOLING, FLATTEN, NORM), (POOLING, NORM, FLATTEN), (NORM, POOLING, FLATTEN)],
    ids=lambda kinds: "-".join(one.name for one in kinds),
)
def test_batch_norm_beside_an_average_pooling_is_part_of_the_first_fc_layer(random, kinds):
    maps = random.normal(size=(5, SIDE, SIDE, CHANNELS))
    inputs = (SIDE // WINDOW) ** 2 * CHANNELS
    norm = random.uniform(0.5, 1.5, (4, inputs if kinds[-1] is NORM else CHANNELS))
    kernel, bias = random.normal(size=(inputs, 2)), random.normal(size=2)
    made = maps
    for kind in kinds:
        if kind is NORM:
            scale, shift, mean, variance = norm
            made = scale * (made - mean) / np.sqrt(variance + 1e-3) + shift
        else:
            made = pooled(made) if kind is POOLING else made.reshape(len(made), -1)
    head = read([*kinds, layer("Dense")], {"dense": (kernel, bias), "batchnormalization": tuple(norm)})
    ((folded, added),) = head.kernels
    difference = np.abs(maps.reshape(5, -1) @ folded + added - (made @ kernel + bias)).max()
    print(f"largest difference {difference:.1e}")
    assert difference < 1e-5 and head.pooling == "fc"


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


def test_one_output_is_two_classes_but_of_a_net_of_ours():
    layers, tensors = net_of([layer("Flatten"), layer("Dense", activation="sigmoid")])
    for own, classes in ((False, 2), (True, 1)):
        source = keras_model.describe(layers, tensors, FILE, own=own)
        assert source.num_classes(Architecture("A", num_classes=1)) == classes and source.multi_label == own


def test_a_resizing_of_maps_is_not_passed_over():
    resizing = layer("Resizing", "larger", height=64, width=64)
    layers, tensors = net_of([resizing, layer("Flatten"), layer("Dense")])
    source = keras_model.describe(layers, tensors, FILE)
    assert source.head_problem == "larger behind the first convolution" and not source.fc_layers
    layers.remove(resizing)
    assert (
        keras_model.describe([layers[0], layer("Resizing", height=32, width=32), *layers[1:]], tensors, FILE).crop == 32
    )
    with pytest.raises(UserError, match="larger behind the first convolution"):
        keras_model.describe([*layers[:4], resizing, *layers[4:]], tensors, FILE)


@pytest.mark.parametrize("pooling", ["GlobalAveragePooling2D", "Flatten"])
def test_images_that_are_no_squares_are_a_matter_of_the_head(pooling):
    layers, tensors = net_of([layer(pooling), layer("Dense")])
    source = keras_model.describe([layer("InputLayer", batch_shape=[None, 64, 96, 3]), *layers[1:]], tensors, FILE)
    assert source.head_problem == ("an input of 64x96, not a square" if pooling == "Flatten" else "")
    assert source.crop == 0 and source.num_classes(Architecture("A")) == (0 if pooling == "Flatten" else 2)


def test_convolutions_that_are_none_of_table_1_are_not_recommended():
    layers, tensors = net_of([layer("Flatten"), layer("Dense", activation="tanh")])
    with pytest.raises(UserError, match=r"the activation tanh at dense\. Its convolutions can be used"):
        require_head(keras_model.describe(layers, tensors, FILE))
    short = layers[:8] + layers[-2:]  # a head behind block 3
    with pytest.raises(UserError, match=r"Its convolutions are not those of a net of Table 1 either"):
        require_head(
            keras_model.describe(short, {one.name: tensors[one.name] for one in short if one.name in tensors}, FILE)
        )


def test_a_small_file_makes_no_large_kernel():
    pooling = layer("AveragePooling2D", pool_size=[1, 1], strides=[3000, 3000])
    with pytest.raises(UserError, match=r"dense behind an average pooling of 1x1 of a map of 9000"):
        read([pooling, FLATTEN, layer("Dense")], {"dense": (np.ones((9 * CHANNELS, 1)), np.zeros(1))}, side=9000)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (layer("ReLU", "clipped", max_value=6.0, negative_slope=0.0, threshold=0.0), "clipped of max_value=6.0"),
        (layer("ReLU", "late", max_value=None, threshold=0.5), "late of threshold=0.5"),
    ],
)
def test_a_relu_of_other_fields_is_no_relu(random, other, message):
    arrays = {name: (random.normal(size=(inputs, 3)), np.zeros(3)) for name, inputs in (("one", CHANNELS), ("two", 3))}
    layers = [layer("GlobalAveragePooling2D"), layer("Dense", "one"), other, layer("Dense", "two")]
    with pytest.raises(UserError, match=message):
        read(layers, arrays)
    plain = layer("ReLU", max_value=None, threshold={"class_name": "__numpy__", "config": {"value": 0.0}})
    assert len(read([*layers[:2], plain, layers[3]], arrays).kernels) == 2
