"""Built nets against a forward pass written with NumPy loops, and as Keras models."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.errors import UserError
from vgg_keras.nets.builder import BatchNormalization, LocalResponseNormalization, MeanSubtraction, build
from vgg_keras.recipes import load
from vgg_keras.training.optimizer import SGDW


def numpy_convolution(x, kernel, bias):
    """(height, width, in) by (k, k, in, out), zero padding, one tap at a time."""
    size = kernel.shape[0]
    padded = np.pad(x, [(size // 2, size // 2), (size // 2, size // 2), (0, 0)])
    out = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for row in range(size):
        for column in range(size):
            out += padded[row : row + x.shape[0], column : column + x.shape[1]] @ kernel[row, column]
    return out


def numpy_lrn(x):
    out = np.zeros_like(x)
    channels = x.shape[-1]
    for c in range(channels):
        window = x[..., max(0, c - 2) : min(channels, c + 3)]
        out[..., c] = x[..., c] / (2 + 1e-4 * (window**2).sum(-1)) ** 0.75
    return out


def numpy_forward(model, image, mean, activate):
    """The net in float64 from its weights and the names of its layers alone."""
    weights = {layer.name: [value.astype(np.float64) for value in layer.get_weights()] for layer in model.layers}
    x = image.astype(np.float64) - mean
    for name, values in weights.items():
        if name.endswith("_lrn"):
            x = numpy_lrn(x)
        elif name.endswith("_pool") and name.startswith("block"):
            rows, columns = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1).max(axis=(1, 3))
        elif name == "avg_pool":
            x = x.mean(axis=(0, 1))
        elif name.startswith(("fc", "predictions")) and values:
            x = x.reshape(-1) @ values[0] + values[1]
            x = x if name == "predictions" else activate(x)
        elif "conv" in name and len(values) in (1, 2):
            x = numpy_convolution(x, values[0], values[1] if len(values) == 2 else 0.0)
            x = x if f"{name}_bn" in weights else activate(x)
        elif name.endswith("_bn"):
            gamma, beta, average, variance = values
            x = activate((x - average) / np.sqrt(variance + 1e-3) * gamma + beta)
    return x


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": "C"},
        {"architecture": "A-LRN", "crop": 70},
        {"architecture": "B-5x5", "head": "gap", "crop": 64},
        {"architecture": "D", "batch_norm": True, "activation": "leaky_relu", "negative_slope": 0.3},
    ],
    ids=lambda fields: fields["architecture"],
)
def test_forward_pass_equals_numpy_loops(random, fields):
    mean = (100.0, 110.0, 120.0)
    model = build(**{"crop": 32, **fields}, num_classes=5, width=1 / 16, mean=mean, seed=3)
    for layer in model.layers:  # off their first values, which hide mistakes: biases 0, averages 0
        layer.set_weights([value + random.uniform(0, 0.1, value.shape) for value in layer.get_weights()])
    side = model.input_shape[1]
    image = random.integers(0, 256, (side, side, 3), np.uint8)
    slope = fields.get("negative_slope", 0.0)
    expected = numpy_forward(model, image, np.array(mean), lambda x: np.where(x > 0, x, slope * x))
    measured = model.predict(image[None], verbose=0)[0]
    difference = np.abs(measured - expected).max() / np.abs(expected).max()
    print(f"{fields}: largest difference {difference:.2g} of the largest logit {np.abs(expected).max():.3g}")
    assert difference <= 1e-5


def test_lrn_equals_the_loop_and_differs_from_caffes(random):
    x = random.normal(0, 100, (2, 3, 3, 9)).astype(np.float32)
    difference = np.abs(np.asarray(LocalResponseNormalization()(x)) - numpy_lrn(x.astype(np.float64))).max()
    print(f"LRN: largest difference {difference:.2g}")
    assert difference <= 1e-4
    assert np.abs(np.asarray(LocalResponseNormalization(alpha=1e-4 / 5)(x)) - numpy_lrn(x)).max() > 0.1
    # an even window has a channel more before than behind it, as a slice from -n/2 to n/2 has
    even = np.stack([(x[..., max(0, c - 1) : c + 3].astype(np.float64) ** 2).sum(-1) for c in range(9)], axis=-1)
    ours = np.asarray(LocalResponseNormalization(n=4)(x))
    behind = np.stack([(x[..., max(0, c - 2) : c + 2].astype(np.float64) ** 2).sum(-1) for c in range(9)], axis=-1)
    differences = [np.abs(ours - x / (2 + 1e-4 * window) ** 0.75).max() for window in (even, behind)]
    assert min(differences) <= 1e-4 and max(differences) > 1
    # another exponent goes another way: x / (x / c^0.5)^2 is c
    other = np.asarray(LocalResponseNormalization(beta=0.5)(x)).astype(np.float64)
    total, expected = (x / other) ** 2, (x / numpy_lrn(x.astype(np.float64))) ** (4 / 3)
    assert np.allclose(total, expected, rtol=1e-4)


def test_mean_subtraction_is_first_and_logits_are_last():
    model = build("A", num_classes=4, crop=32, width=1 / 16)
    assert isinstance(model.layers[1], MeanSubtraction)
    probabilities = build("A", num_classes=4, crop=32, width=1 / 16, classifier_activation="softmax")
    probabilities.set_weights(model.get_weights())
    image = np.full((1, 32, 32, 3), 200, np.uint8)
    logits = model.predict(image, verbose=0)[0]
    assert np.abs(logits).max() > 1e-3
    exponentials = np.exp(logits.astype(np.float64))
    assert np.allclose(probabilities.predict(image, verbose=0)[0], exponentials / exponentials.sum(), atol=1e-6)


def test_a_standard_deviation_divides_what_the_mean_left(random):
    images = random.integers(0, 256, (2, 5, 4, 3)).astype(np.float32)
    mean, std = (127.5, 100.0, 0.0), (127.5, 60.0, 2.0)
    seen = np.asarray(MeanSubtraction(mean, std)(images))
    difference = np.abs(seen - (images.astype(np.float64) - mean) / std).max()
    print(f"mean and standard deviation: largest difference {difference:.2g}")
    assert difference <= 1e-5 and seen.dtype == np.float32
    model = build("A", num_classes=4, crop=32, width=1 / 16, mean=mean, std=std, seed=1)
    first = model.layers[1]
    assert (first.mean, first.std) == (list(mean), list(std))
    plain = build("A", num_classes=4, crop=32, width=1 / 16, mean=(0, 0, 0), seed=1)
    whole = random.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = plain.predict((whole - np.float32(mean)) / np.float32(std), verbose=0)
    # convolutions round by their processor's units: 6e-7 were seen
    assert np.allclose(model.predict(whole, verbose=0), expected, rtol=1e-5, atol=2e-6)
    assert np.ptp(expected) > 0


@pytest.mark.parametrize(
    ("initializer", "variance"), [("glorot", 2 / (2 * 9 * 32)), ("he", 2 / (9 * 32)), ("gaussian", 0.01)]
)
def test_initialisers_have_their_variance(initializer, variance):
    model = build("D", num_classes=4, crop=32, width=1 / 16, initializer=initializer, initializer_std=0.1, seed=0)
    first, second = (model.get_layer(f"block5_conv{n}").get_weights()[0] for n in (1, 2))
    assert first.var() == pytest.approx(variance, rel=0.06)
    assert not np.array_equal(first, second)  # each layer draws its own
    again = build("D", num_classes=4, crop=32, width=1 / 16, initializer=initializer, initializer_std=0.1, seed=0)
    assert np.array_equal(first, again.get_layer("block5_conv1").get_weights()[0])


def test_fan_out_and_gaussian_fc_layers_have_their_variance():
    model = build(
        "D", num_classes=400, crop=64, width=1 / 8, initializer="he_fan_out", fc_initializer="gaussian", seed=0
    )
    for name in ("block2_conv1", "block4_conv1", "block5_conv3"):  # 8 -> 16, 32 -> 64 and 64 -> 64 channels
        kernel = model.get_layer(name).get_weights()[0]
        assert kernel.var() == pytest.approx(2 / (9 * kernel.shape[3]), rel=0.1), name
        assert np.abs(kernel).max() > 2.5 * kernel.std()  # not truncated at two
    for name in ("fc1", "fc2", "predictions"):
        assert model.get_layer(name).get_weights()[0].std() == pytest.approx(0.01, rel=0.05), name


@pytest.mark.slow
def test_d_with_batch_norm_has_its_sources_parameters():
    model = build(dataclasses.replace(load("d_bn").architecture, num_classes=1000))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 138_361_768


def test_batch_norm_takes_the_convolutions_biases_away():
    model = build("A", num_classes=4, crop=32, width=1 / 16, batch_norm=True)
    assert not model.get_layer("block1_conv1").use_bias
    assert model.get_layer("fc1").use_bias


def test_compiles_fits_saves_and_loads_as_any_keras_model(random, tmp_path):
    model = build("A-LRN", num_classes=2, crop=32, width=1 / 8, dropout=0.0, seed=1)
    model.compile(
        SGDW(1e-5, 1e-3, 0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    labels = np.arange(16) % 2
    images = random.uniform(0, 155, (16, 32, 32, 3)) + 100 * labels[:, None, None, None]  # dark and light
    history = model.fit(images, labels, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


@pytest.mark.parametrize("kind", ["convolution", "FC layer"])
def test_the_gradient_of_a_bias_in_bf16_is_the_sum_over_all_positions(random, kind):
    """Against NumPy in float64; a sum in bf16 stops growing, and lost up to nine tenths."""
    model = build("A", num_classes=4, crop=32, width=1 / 16, dtype="mixed_bfloat16")
    shapes = {"convolution": ((4, 64, 64, 3), "block1_conv1"), "FC layer": ((512, 32), "fc1")}
    shape, name = shapes[kind]
    layer = model.get_layer(name)
    inputs = tf.constant(random.uniform(0, 1, shape), tf.bfloat16)
    upstream = tf.constant(random.normal(0.2, 1, (*shape[:-1], layer.bias.shape[0])), tf.bfloat16)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(layer(inputs) * upstream, tf.float32))
    gradient = tape.gradient(total, layer.bias.value).numpy()
    truth = upstream.numpy().astype(np.float64).reshape(-1, gradient.size).sum(axis=0)
    difference = np.abs(gradient - truth).max() / np.abs(truth).max()
    print(f"{kind}: off by {difference:.2g} of the largest")
    assert difference <= 2**-8  # bf16's own rounding


@pytest.mark.parametrize("spread", [1.0, 0.01], ids=["channels that vary", "channels that hardly vary"])
def test_batch_norms_mean_and_variance_are_numpys_over_many_positions(random, spread):
    values = (1.37 + random.normal(0, spread, (16, 224, 224, 4))).astype(np.float32)
    layer = BatchNormalization(momentum=0.0)  # so that the averages are the batch's
    layer(values, training=True)
    wide = values.astype(np.float64)
    for name, found, truth in (
        ("mean", layer.moving_mean, wide.mean(axis=(0, 1, 2))),
        ("variance", layer.moving_variance, wide.var(axis=(0, 1, 2))),
    ):
        difference = np.abs(keras.ops.convert_to_numpy(found) / truth - 1).max()
        print(f"{name}: off by {difference:.2g} of it")
        assert difference <= 1e-5


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_batch_norm_is_otherwise_kerass(random, dtype):
    """Outputs, averages and gradients, on few positions, where Keras's are right."""
    values, upstream = (tf.constant(random.normal(1, 2, (3, 6, 5, 4)), tf.float32) for _ in range(2))
    found = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(dtype=dtype)
        layer(values)
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = tf.cast(layer(values, training=True), tf.float32)
            total = tf.reduce_sum(outputs * upstream)
        gradients = tape.gradient(total, [values, layer.gamma.value, layer.beta.value])
        tested = tf.cast(layer(values, training=False), tf.float32)
        layer.trainable = False
        frozen = tf.cast(layer(values, training=True), tf.float32)
        found.append([outputs, *gradients, layer.moving_mean.value, layer.moving_variance.value, tested, frozen])
    for ours, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-4)


def test_bf16_keeps_mean_and_logits_in_float32():
    model = build("A", num_classes=4, crop=32, width=1 / 16, dtype="mixed_bfloat16")
    assert model.get_layer("mean_subtraction").compute_dtype == "float32"
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("block1_conv1").kernel.dtype == "float32"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "F"}, r"column of Table 1 or B-5x5\. Received: 'F'\. Known: A, A-LRN"),
        ({"architecture": "A-LNR"}, "Did you mean 'A-LRN'"),
        ({"classes": 3}, r"Received: classes=\.\.\. Did you mean 'num_classes'"),
        ({"architecture": "E", "name": "D"}, r"as its first argument, `architecture`\. Received: name=\.\.\."),
        ({"architecture": "VGG16"}, r"Received: 'VGG16'\. Did you mean 'D'"),
        ({"architecture": "vgg19_bn"}, r"Did you mean 'E' with batch_norm=True"),
        ({"architecture": "d"}, "Did you mean 'D'"),
        ({"input_shape": (96, 96, 3)}, r"Received: input_shape=\.\.\. Did you mean crop=96"),
        ({"input_shape": (3, 64, 64)}, "Did you mean crop=64"),
        ({"input_shape": (96, 64, 3)}, "Did you mean 'crop'"),
        ({"image_size": 64}, "Did you mean crop=64"),
        ({"include_top": False}, r"head='fc' or 'gap'\. Received: include_top=\.\.\."),
        ({"weights": "imagenet"}, r"load_weights\(None, 'imagenet'\)"),
        ({"pooling": "avg"}, "Did you mean 'head'"),
        ({"num_class": 5}, "Did you mean 'num_classes'"),
        ({"clasifier_activation": "softmax"}, "Did you mean 'classifier_activation'"),
        ({"architecture": None}, "takes an Architecture or its name. Received: None"),
        ({"activation": "leaky-relu"}, "must be one of relu, leaky_relu"),
        ({"crop": 31}, "32 or more: five poolings halve it. Received: 31"),
        ({"dropout": 1.0}, r"must lie in \[0, 1\)\. Received: 1\.0"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


@pytest.mark.slow
def test_nets_run_on_jax_without_tensorflow():
    script = (
        "import sys, json, numpy\n"
        "sys.modules['tensorflow'] = None\n"  # as if it were not installed: importing it fails
        "from vgg_keras.nets.builder import build\n"
        "from vgg_keras.nets.dense import to_fully_convolutional\n"
        "model = build('A-LRN', num_classes=3, crop=32, width=1/16, seed=0)\n"
        "dense = to_fully_convolutional(model)\n"
        "image = numpy.full((1, 32, 32, 3), 200.0)\n"
        "logits, scores = numpy.asarray(model(image))[0], numpy.asarray(dense(image))[0, 0, 0]\n"
        "print(json.dumps([logits.tolist(), scores.tolist()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    logits, scores = json.loads(done.stdout.splitlines()[-1])
    assert np.abs(np.array(logits) - scores).max() <= 1e-5
    assert np.abs(logits).max() > 1e-3
