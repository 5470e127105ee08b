"""A layer's products on TensorFlow are the layer's own: each against NumPy."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests.benchmarks import numpy_products
from vgg_keras.benchmarks import on_tensorflow


@pytest.mark.parametrize(("kind", "kernel"), [("conv", 3), ("conv", 1), ("fc", 4)])
def test_a_layers_products_are_numpys(kind, kernel):
    """The first number of each; with the gradient by the input and without."""
    layer, batch, side, channels = types.SimpleNamespace(kind=kind, kernel=kernel, units=5), 2, 4, 3
    x = tf.random.stateless_uniform([batch, side, side, channels], [1, 2]).numpy().astype(np.float64)
    weights = tf.random.stateless_normal([kernel, kernel, channels, 5], [3, 4]).numpy().astype(np.float64)
    if kind == "fc":
        expected = numpy_products.of_fc(x.reshape(batch, -1), weights.reshape(-1, 5))
    else:
        expected = numpy_products.of_convolution(x, weights)
    calls = on_tensorflow._products(layer, batch, side, channels, tf.float32, True)
    found, first = [float(call()) for call in calls], [array.flat[0] for array in expected]
    print(f"{kind} {kernel}: largest difference {np.abs(np.subtract(found, first)).max():.2g} of {first}")
    assert found == pytest.approx(first, rel=1e-5) and len(set(found)) == 3
    assert len(on_tensorflow._products(layer, batch, side, channels, tf.float32, False)) == 2
