"""What `benchmark train` needs of TensorFlow: the training loop's own step, and a layer's products by themselves."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from vgg_keras import processor, runtime
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.config import Config
from vgg_keras.training import objectives, steps
from vgg_keras.training.state import create_state


def engine(config: Config) -> Engine:
    """One device, and the choices that `train` makes on it."""
    strategy = runtime.make_strategy(dataclasses.replace(config.runtime, strategy="one"))
    precision = runtime.choose_precision(config.runtime)
    gpus = tf.config.list_physical_devices("GPU")
    name = (
        tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU")
        if gpus
        else processor.description()
    )

    def step(architecture, config, precision, images, labels):
        config = dataclasses.replace(config, architecture=architecture)
        state = create_state(config, strategy, precision)
        update = steps.train_step(strategy, state, config, objectives.of(config))
        batch = tf.constant(images), tf.constant(labels), tf.fill([len(labels)], 1 / len(labels))

        def once():
            sums = update(batch).numpy()
            return float(sums[steps.LOSS] / sums[steps.IMAGES])

        return once

    chosen = runtime.choices(strategy, precision)
    profile = tf.profiler.experimental.Profile
    return Engine("tensorflow", name, bool(gpus), precision, chosen, step, _products, _wait, profile, _profiled_step)


def _products(layer, batch, side, channels, dtype, with_input_gradient) -> list[Callable[[], tf.Tensor]]:
    """A layer's forward product and its gradients' on tensors of its own shape, each a call that returns one value of it."""
    shape = [layer.kernel, layer.kernel, channels, layer.units]
    x = tf.cast(tf.random.stateless_uniform([batch, side, side, channels], [1, 2]), dtype)
    kernel = tf.cast(tf.random.stateless_normal(shape, [3, 4]), dtype)
    if layer.kind == "fc":
        x, kernel = tf.reshape(x, [batch, -1]), tf.reshape(kernel, [-1, layer.units])
        y = x @ kernel
        calls = [
            lambda: x @ kernel,
            lambda: tf.matmul(x, y, transpose_a=True),
            lambda: tf.matmul(y, kernel, transpose_b=True),
        ]
    else:
        y = tf.nn.conv2d(x, kernel, 1, "SAME")
        how = {"strides": [1, 1, 1, 1], "padding": "SAME"}
        calls = [
            lambda: tf.nn.conv2d(x, kernel, 1, "SAME"),
            lambda: tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=shape, out_backprop=y, **how),
            lambda: tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=y, **how),
        ]
    return [_traced(call) for call in calls[: 2 + with_input_gradient]]


def _traced(call: Callable[[], tf.Tensor]) -> Callable[[], tf.Tensor]:
    first = tf.function(lambda: tf.reshape(call(), [-1])[0], jit_compile=False, autograph=False)
    return first.get_concrete_function()


def _profiled_step(number: int) -> tf.profiler.experimental.Trace:
    return tf.profiler.experimental.Trace("train", step_num=number, _r=1)


def _wait(value: tf.Tensor) -> None:
    value.numpy()
