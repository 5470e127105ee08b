"""Heads of Keras models as FC layers, by arrays alone: a loop over windows in NumPy is the truth."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats import fine_tuned
from tests.weights.formats.saved_layers import FILE, layer, net_of
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import hidden_fc
from vgg_keras.weights.formats import keras_head, keras_model
from vgg_keras.weights.inference import require_head
from vgg_keras.weights.load import load_net

CHANNELS, SIDE, WINDOW = 3, 4, 2


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


# ---- heads that ours cannot be, behind Keras Applications' convolutions


def branched():
    base = fine_tuned.applications()
    pooled = kl.Concatenate()([kl.GlobalAveragePooling2D()(base.output), kl.GlobalMaxPooling2D()(base.output)])
    return keras.Model(base.input, kl.Dense(4)(pooled))


OTHERS = {
    "the activation tanh at hidden": lambda: fine_tuned.functional(
        fine_tuned.caffe, fine_tuned.applications(), kl.Flatten(), kl.Dense(16, "tanh", name="hidden"), kl.Dense(4)
    ),
    "LayerNormalization": lambda: fine_tuned.functional(
        fine_tuned.caffe, fine_tuned.applications(), kl.GlobalAveragePooling2D(), kl.LayerNormalization(), kl.Dense(4)
    ),
    "mixed, a convolution behind block5_pool": lambda: fine_tuned.functional(
        fine_tuned.caffe,
        fine_tuned.applications(),
        kl.Conv2D(16, 3, padding="same", activation="relu", name="mixed"),
        kl.Flatten(),
        kl.Dense(4),
    ),
    "the operation Concatenate": branched,
    "dropout called with training=True": lambda: fine_tuned.on_output(
        fine_tuned.applications(),
        kl.Flatten(),
        lambda x: kl.Dropout(0.5, name="dropout")(x, training=True),
        kl.Dense(4),
    ),
    "a head behind block5_conv3, not behind block5_pool": lambda: keras.Model(
        (base := fine_tuned.applications()).input,
        kl.Dense(4)(kl.GlobalAveragePooling2D()(base.get_layer("block5_conv3").output)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHERS)
def test_of_another_head_the_convolutions_can_be_used(tmp_path, what):
    keras.utils.clear_session(free_memory=False)
    model = fine_tuned.filled(OTHERS[what]())
    model.save(tmp_path / "net.keras")
    with pytest.raises(
        UserError, match=rf"Received: .*net\.keras, another, with .*{what}.*train --weights trains a new head"
    ):
        load_net(tmp_path / "net.keras")
    loaded = load_net(tmp_path / "net.keras", convolutions=True).model
    own = {layer.name: layer for layer in model._flatten_layers()}
    assert not hidden_fc(loaded.architecture)
    for name in ("block1_conv2", "block3_conv1", "block5_conv3"):
        assert np.array_equal(loaded.get_layer(name).kernel, own[name].kernel)
