"""What `benchmark train` needs of JAX, also without TensorFlow: a compiled step of Keras's stateless calls."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vgg_keras import processor
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.training.optimizer import build_optimizer


def engine(config: Config) -> Engine:
    """JAX's first device; by default in bf16 on a GPU, a TPU or a CPU with bf16 products."""
    device = jax.devices()[0]
    gpu = device.platform == "gpu"
    precision = config.runtime.precision
    if precision == "auto":
        fast = device.platform != "cpu" or processor.multiplies_bf16()
        precision = "mixed_bfloat16" if fast else "float32"
    name = device.device_kind if device.platform != "cpu" else processor.description()
    chosen, profile = f"{precision}, XLA", jax.profiler.trace
    return Engine("jax", name, gpu, precision, chosen, _step, _products, jax.block_until_ready, profile, _profiled_step)


def _step(architecture, config, precision, images, labels) -> Callable[[], float]:
    if config.data.micro_batch:
        raise UserError("data.micro_batch is the TensorFlow loop's. Received: one on JAX. Leave it out.")
    model = build(architecture, dtype=precision, seed=config.seed)
    optimizer = build_optimizer(config.training, {})
    optimizer.build(model.trainable_variables)

    def loss_of(trainable, other, images, labels):
        logits, other = model.stateless_call(trainable, other, images, training=True)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -chosen.mean(), other

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, images, labels):
        trainable, other, kept = state
        (loss, other), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, other, images, labels)
        trainable, kept = optimizer.stateless_apply(kept, gradients, trainable)
        return loss, (trainable, other, kept)

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    # copies: a donated buffer is gone, and the model's variables keep theirs
    state = tuple([jnp.array(variable.value, copy=True) for variable in of] for of in variables)
    images, labels = jax.device_put(images), jax.device_put(labels)

    def once():
        nonlocal state
        loss, state = update(state, images, labels)
        return float(loss)

    return once


def _profiled_step(number: int) -> jax.profiler.StepTraceAnnotation:
    return jax.profiler.StepTraceAnnotation("train", step_num=number)


def _products(layer, batch, side, channels, dtype, with_input_gradient) -> list[Callable[[], jax.Array]]:
    """A layer's forward product and its gradients' on arrays of its own shape, each a call that returns at once."""
    first, second = jax.random.split(jax.random.key(0))
    x = jax.random.uniform(first, (batch, side, side, channels), dtype)
    kernel = jax.random.normal(second, (layer.kernel, layer.kernel, channels, layer.units), dtype)
    if layer.kind == "fc":
        x, kernel = x.reshape(batch, -1), kernel.reshape(-1, layer.units)
        forward = jnp.matmul
    else:
        forward = functools.partial(
            jax.lax.conv_general_dilated,
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    y = forward(x, kernel)
    # Both maps are linear, so a gradient's product is a transpose and makes no forward pass. Their inputs are arguments: a
    # constant would be cast and laid out at compile time.
    by_kernel = jax.jit(lambda x, kernel, y: jax.linear_transpose(lambda other: forward(x, other), kernel)(y))
    by_input = jax.jit(lambda x, kernel, y: jax.linear_transpose(lambda other: forward(other, kernel), x)(y))
    calls = [functools.partial(jax.jit(forward), x, kernel), functools.partial(by_kernel, x, kernel, y)]
    return [*calls, functools.partial(by_input, x, kernel, y)] if with_input_gradient else calls
