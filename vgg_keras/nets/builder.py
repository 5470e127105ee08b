"""The Keras functional builder: one `Architecture` in, one model out, RGB 0-255 to logits."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError, unknown_argument
from vgg_keras.nets.architectures import IMAGENET_MEAN, layers
from vgg_keras.nets.model import VGG


@keras.saving.register_keras_serializable(package="vgg_keras")
class MeanSubtraction(keras.layers.Layer):
    """2.1's only preprocessing, as the first layer: a model carries it along, so no caller can get it wrong.

    Takes (batch, height, width, 3) RGB images in 0-255 and subtracts `mean`, three values, in float32. With `std`, three
    values too, it divides by them, which the paper does not. Keras's own Rescaling would do, but cannot be called where
    TensorFlow is not installed, whatever the backend.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float] = (), **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.mean = [float(value) for value in mean]
        self.std = [float(value) for value in std]

    def call(self, images):
        centred = images - keras.ops.convert_to_tensor(self.mean, dtype=self.compute_dtype)
        return centred / keras.ops.convert_to_tensor(self.std, dtype=self.compute_dtype) if self.std else centred

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable(package="vgg_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """A-LRN's normalisation over channels, as AlexNet's paper (3.3) defines it.

    y_c = x_c / (k + alpha * sum of x_j^2 over the n channels nearest c)^beta, with k=2, n=5, alpha=1e-4, beta=0.75.
    Caffe divides alpha by n: with its layer the same numbers mean a fifth of this alpha.
    Input and output: (batch, height, width, channels). Computed in float32.
    """

    def __init__(self, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.k, self.n, self.alpha, self.beta = k, n, alpha, beta

    def call(self, inputs):
        # The sums over windows of channels are one product with a matrix of a band of ones, and x^(-3/4) is two roots: with
        # slices and powers the layer took longer than all of A's convolutions together.
        channel = keras.ops.arange(inputs.shape[-1])
        ahead = channel[:, None] - channel[None]
        near = keras.ops.logical_and(ahead >= -(self.n // 2), ahead < self.n - self.n // 2)
        window = keras.ops.matmul(keras.ops.square(inputs), keras.ops.cast(near, inputs.dtype))
        total = self.k + self.alpha * window
        if self.beta == 0.75:
            root = keras.ops.rsqrt(total)
            return inputs * root * keras.ops.sqrt(root)
        return inputs * keras.ops.power(total, -self.beta)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k, "n": self.n, "alpha": self.alpha, "beta": self.beta}


def _plus_bias(outputs, bias):
    """(..., units) in bf16 plus (units,), so that the bias's gradient is summed in float32.

    TensorFlow's BiasAdd, which Keras calls, sums it in bf16 on a CPU. Such a sum stops growing after some hundred values: of
    the gradients of 112x112 positions of eight images nine tenths were lost. The gradient of a plain addition is not.
    """
    return outputs + keras.ops.convert_to_tensor(bias, dtype=outputs.dtype)


@keras.saving.register_keras_serializable(package="vgg_keras")
class Conv2D(keras.layers.Conv2D):
    """Keras's, with the gradient of its bias summed in float32 in bf16 too."""

    def call(self, inputs):
        if self.compute_dtype != "bfloat16" or not self.use_bias:
            return super().call(inputs)
        return self.activation(_plus_bias(self.convolution_op(inputs, self.kernel), self.bias))


@keras.saving.register_keras_serializable(package="vgg_keras")
class Dense(keras.layers.Dense):
    """Keras's, with the gradient of its bias summed in float32 in bf16 too."""

    def call(self, inputs, training=None):
        if self.compute_dtype != "bfloat16" or not self.use_bias:
            return super().call(inputs, training=training)
        return self.activation(_plus_bias(keras.ops.matmul(inputs, self.kernel), self.bias))


@keras.saving.register_keras_serializable(package="vgg_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's over channels, with a batch's mean and variance taken axis by axis: rows, then images, then the batch.

    TensorFlow adds up all positions of a channel in one float32 sum on a CPU: of 64 images of 224x224 the variance was off by
    3 parts in 1000, and by more than itself where a channel hardly varies. Everything is float32, whatever the policy.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        values = keras.ops.cast(inputs, "float32")  # (batch, height, width, channels)
        mean, variance = keras.ops.moments(values, axes=[2])
        for axis in (1, 0):
            # the variance of all is the mean of the variances plus the variance of the means
            within = keras.ops.mean(variance, axis=axis)
            mean, between = keras.ops.moments(mean, axes=[axis])
            variance = within + between
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        outputs = keras.ops.batch_normalization(
            values, mean, variance, axis=-1, offset=self.beta, scale=self.gamma, epsilon=self.epsilon
        )
        return keras.ops.cast(outputs, self.compute_dtype)


def require_float32() -> None:
    """Refuses a floatx of Keras in which learning rates, losses and inputs are not float32.

    Raises:
        UserError: it is another.
    """
    if keras.config.floatx() != "float32":
        raise UserError(
            f"Keras's floatx must be float32. Received: {keras.config.floatx()}, of keras.json or keras.config. "
            "Call keras.config.set_floatx('float32') first; build(dtype=...) chooses another precision for a net."
        )


def build(
    architecture: Architecture | str = "D",
    *,
    classifier_activation: str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    **fields: Any,
) -> VGG:
    """Builds one of the paper's nets as a Keras functional model with random weights.

    Args:
        architecture: an `Architecture`, or a name of Table 1 ("A", "A-LRN", "B", "C", "D", "E") or "B-5x5".
        classifier_activation: "softmax" ends the model in probabilities; None, the default, in logits.
        dtype: Keras dtype policy of the layers, "float32" or "mixed_bfloat16"; None: the global policy. Mean
            subtraction and logits are float32 under either.
        seed: of initial weights and dropout; None: drawn.
        **fields: of `Architecture`, such as `num_classes=10`, `width=0.5`, `crop=128`, `batch_norm=True`, `head="gap"`.
            `num_classes` is 1000 and `mean` ImageNet's (123.68, 116.779, 103.939) where not given.

    Returns:
        A model of (batch, crop, crop, 3) RGB images in 0-255, uint8 or float, to (batch, num_classes) logits. Its
        `architecture` is its `Architecture`.

    Raises:
        UserError: an unknown name or field, a value out of its range, or a floatx of Keras other than float32.

    Example:
        model = vgg_keras.build("E", num_classes=10, crop=32, width=0.25)
    """
    require_float32()
    known = [field.name for field in dataclasses.fields(Architecture) if field.name != "name"]
    for name, value in fields.items():
        if name not in known:
            raise _unknown(name, value, [*known, "classifier_activation", "dtype", "seed"])
    if isinstance(architecture, str):
        architecture = Architecture(name=architecture)
    if not isinstance(architecture, Architecture):
        raise UserError(f"build() takes an Architecture or its name. Received: {architecture!r}")
    architecture = dataclasses.replace(architecture, **fields)
    architecture = architecture.resolved(1000, IMAGENET_MEAN)
    return _functional(architecture, classifier_activation, dtype, seed)


def _unknown(name: str, value: Any, known: Sequence[str]) -> UserError:
    """The error of an argument that `build` has not."""
    if name in ("weights", "pretrained"):
        return UserError(
            f"build() makes random weights. Received: {name}=... "
            "vgg_keras.load_weights(model, source) fills a net; load_weights(None, 'imagenet') builds and fills one."
        )
    if name in ("name", "model_name", "arch", "net"):
        return UserError(f"build() takes the net's name as its first argument, `architecture`. Received: {name}=...")
    if name in ("include_top", "top"):
        return UserError(
            f"build() makes a net with its head: head='fc' or 'gap'. Received: {name}=... "
            "Its maps are outputs of its layers, such as model.get_layer('block5_pool').output."
        )
    return unknown_argument("build()", name, value, known)


def _functional(architecture: Architecture, classifier_activation, dtype, seed) -> VGG:
    drawn = itertools.count(1)

    def next_seed():  # one for each random layer: Keras gives equal seeds equal draws
        return None if seed is None else (seed * 1_000_003 + next(drawn)) % 2**31

    def initializer(kind):
        if kind == "gaussian":
            return keras.initializers.RandomNormal(stddev=architecture.initializer_std, seed=next_seed())
        if kind == "he_fan_out":  # as torchvision's nets: of the outputs, and not truncated
            return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=next_seed())
        return {"glorot": keras.initializers.GlorotUniform, "he": keras.initializers.HeNormal}[kind](seed=next_seed())

    def fc_initializer():
        same = architecture.fc_initializer == "as_convolutions"
        return initializer(architecture.initializer if same else architecture.fc_initializer)

    def activate(x, name):
        if architecture.activation == "leaky_relu":
            return keras.layers.LeakyReLU(architecture.negative_slope, dtype=dtype, name=name)(x)
        return keras.layers.ReLU(dtype=dtype, name=name)(x)

    # Layouts and number formats are stated: Keras's own defaults come from a user's keras.json.
    image = keras.Input((architecture.crop, architecture.crop, 3), dtype="float32", name="image")
    x = MeanSubtraction(architecture.mean, architecture.std, name="mean_subtraction")(image)
    net = layers(architecture)
    for layer in net:
        if layer.kind == "conv":
            x = Conv2D(
                layer.units,
                layer.kernel,
                padding="same",
                data_format="channels_last",
                use_bias=not architecture.batch_norm,
                kernel_initializer=initializer(architecture.initializer),
                dtype=dtype,
                name=layer.name,
            )(x)
            if architecture.batch_norm:
                # float32 statistics, whatever the policy
                x = BatchNormalization(axis=-1, dtype=dtype, name=f"{layer.name}_bn")(x)
            x = activate(x, f"{layer.name}_relu")
        elif layer.kind == "lrn":
            x = LocalResponseNormalization(name=layer.name)(x)
        elif layer.kind == "pool":
            x = keras.layers.MaxPooling2D(2, data_format="channels_last", dtype=dtype, name=layer.name)(x)
        elif layer.kind == "gap":
            # a mean of many values: in float32 whatever the policy
            pool = keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name=layer.name)
            x = pool(x)
        elif layer.kind == "fc":
            if layer.name == "fc1":
                x = keras.layers.Flatten(data_format="channels_last", dtype=dtype, name="flatten")(x)
            hidden = layer is not net[-1]
            x = Dense(
                layer.units,
                kernel_initializer=fc_initializer(),
                dtype=dtype if hidden else "float32",
                name=layer.name,
            )(x)
            if hidden:
                # 3.1: dropout stands behind the ReLU
                x = activate(x, f"{layer.name}_relu")
                x = keras.layers.Dropout(
                    architecture.dropout, seed=next_seed(), dtype=dtype, name=f"{layer.name}_dropout"
                )(x)
    if classifier_activation:
        x = keras.layers.Activation(classifier_activation, dtype="float32", name="probabilities")(x)
    name = f"vgg_{architecture.name.lower().replace('-', '_')}"
    return VGG(image, x, name=name, architecture=architecture)
