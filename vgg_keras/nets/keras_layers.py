"""Layers that Keras does not have, and Keras's own with sums in float32 whatever the precision."""

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="vgg_keras")
class MeanSubtraction(keras.layers.Layer):
    """2.1's only preprocessing, as the first layer: a model carries it along, so no caller can get it wrong.

    Takes images (batch, height, width, channels) in 0-255 and subtracts `mean`, a value for each channel, in float32. With
    `std`, as many values, it divides by them, which the paper does not. Keras's own Rescaling would do, but cannot be called
    where TensorFlow is not installed, whatever the backend.
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
        # The sums over windows of channels are one product with a matrix of a band of ones. x^(-3/4) is two roots. With slices
        # and powers the layer took longer than all of A's convolutions together.
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

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras passes subclasses over, whose `call` might differ. Ours differs in the sum of a gradient alone
        super().quantize(mode, type_check=False, config=config)


@keras.saving.register_keras_serializable(package="vgg_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's over channels, with a batch's mean and variance taken axis by axis: rows, then images, then the batch.

    TensorFlow adds up all positions of a channel in one float32 sum on a CPU. Of 64 images of 224x224 the variance was off by
    3 parts in 1000. Where a channel hardly varies, it was off by more than itself. Everything is float32, whatever the policy.
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
