"""Our layers against NumPy loops in float64, and where they must not differ against Keras's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.nets.numpy_net import numpy_lrn
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.nets.keras_layers import BatchNormalization, LocalResponseNormalization, MeanSubtraction


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


@pytest.mark.slow
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


@pytest.mark.parametrize("kind", ["convolution", "FC layer", "FC layer of the dense net"])
def test_the_gradient_of_a_bias_in_bf16_is_the_sum_over_all_positions(random, kind):
    """Against NumPy in float64; a sum in bf16 stops growing, and lost up to nine tenths."""
    model = build("A", num_classes=4, crop=32, width=1 / 16, dtype="mixed_bfloat16")
    if kind == "FC layer of the dense net":
        model = to_fully_convolutional(model)
    shapes = {
        "convolution": ((4, 64, 64, 3), "block1_conv1"),
        "FC layer": ((512, 32), "fc1"),
        "FC layer of the dense net": ((4, 40, 40, 32), "fc1"),
    }
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
