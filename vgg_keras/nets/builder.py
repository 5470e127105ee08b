"""The Keras functional builder: one `Architecture` in, one model out, RGB 0-255 to logits."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError, unknown_argument
from vgg_keras.field_types import checked
from vgg_keras.nets.architectures import IMAGENET_MEAN, LAST, Layer, layers, mean_of_channels
from vgg_keras.nets.keras_layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    LocalResponseNormalization,
    MeanSubtraction,
)
from vgg_keras.nets.model import VGG
from vgg_keras.overrides import require_effect


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
        classifier_activation: "softmax" ends the model in probabilities, "sigmoid" makes it a multi-label net that does; None,
            the default, ends it in logits.
        dtype: Keras dtype policy of the layers, "float32", "mixed_bfloat16" or "mixed_float16"; None: the global policy. Mean
            subtraction and logits are float32 under either.
        seed: of initial weights and dropout; None: drawn.
        **fields: of `Architecture`, such as `num_classes=10`, `width=0.5`, `crop=128`, `batch_norm=True`, `head="gap"`.
            `num_classes` is 1000 and `mean` ImageNet's (123.68, 116.779, 103.939) where not given.

    Returns:
        A model of (batch, crop, crop, channels) images in 0-255, RGB by default, uint8 or float, to (batch, num_classes) logits.
        Its `architecture` is its `Architecture`.

    Raises:
        UserError: an unknown name or field, one without effect, a value out of its range, a seed that is no integer, or a floatx
            of Keras other than float32.

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
    if classifier_activation == "sigmoid":
        fields["multi_label"] = True
    if fields.get("num_classes", 1) == 0:  # which is a net without its head elsewhere
        raise _without_head("num_classes=0.")
    architecture = dataclasses.replace(architecture, **fields)
    require_effect(
        [Config(architecture=architecture)], {f"architecture.{name}": value for name, value in fields.items()}
    )
    _require_activation(architecture, classifier_activation)
    architecture = architecture.resolved(1000, mean_of_channels(IMAGENET_MEAN, architecture.channels))
    seed = None if seed is None else checked(seed, int, "seed")  # NumPy's integers are none to Keras
    return _functional(architecture, classifier_activation, dtype, seed)


def build_trained(architecture: Architecture, weights: dict[str, list[Any]], dtype: str | None = None) -> VGG:
    """Builds a net around its weights: no initializer runs for them, and at most a layer is in memory twice.

    Args:
        architecture: `num_classes` and `mean` known.
        weights: arrays or tensors by the names of their layers, in the order of Keras's `set_weights` and of the layers' shapes.
            Each is taken out of the dictionary when it is in the net. A layer without an entry gets random weights.
        dtype: as of `build`.
    """
    require_float32()
    return _functional(architecture, None, dtype, None, weights)


def _unknown(name: str, value: Any, known: Sequence[str]) -> UserError:
    """The error of an argument that `build` does not take."""
    if name in ("weights", "pretrained"):
        return UserError(
            f"build() makes random weights. Received: {name}=... "
            "vgg_keras.load_weights(model, source) fills a net; load_weights(None, 'imagenet') builds and fills one."
        )
    if name in ("name", "model_name", "arch", "net"):
        return UserError(f"build() takes the net's name as its first argument, `architecture`. Received: {name}=...")
    if name in ("include_top", "top"):
        return _without_head(f"{name}=...")
    return unknown_argument("build()", name, value, known)


def _without_head(received: str) -> UserError:
    return UserError(
        f"build() makes a net with its head: head='fc', 'gap' or 'gmp'. Received: {received} "
        "Its maps are outputs of its layers, such as model.get_layer('block5_pool').output."
    )


def _require_activation(architecture: Architecture, activation: Any) -> None:
    """Refuses an end of a net that gives no probabilities of its classes."""
    if architecture.boxes == "none":
        own = "sigmoid" if architecture.multi_label else "softmax"
        rule = f"classifier_activation is {own!r}, which gives the probabilities of this net's classes, or None"
    else:
        own, rule = None, "classifier_activation of a net of boxes is None"
    if activation not in (None, own):
        raise UserError(f"{rule}, which ends it in its own outputs. Received: {activation!r}.")


def _functional(architecture: Architecture, classifier_activation, dtype, seed, weights=None) -> VGG:
    # Layouts and number formats are stated: Keras's own defaults come from a user's keras.json.
    image = keras.Input((architecture.crop, architecture.crop, architecture.channels), dtype="float32", name="image")
    x = MeanSubtraction(architecture.mean, architecture.std, name="mean_subtraction")(image)
    make = _Layers(architecture, dtype, seed, weights if weights is not None else {})
    for layer in layers(architecture):
        if layer.kind == "conv":
            x = make.convolution(layer, x)
        elif layer.kind == "lrn":
            x = LocalResponseNormalization(name=layer.name)(x)
        elif layer.kind == "pool":
            x = keras.layers.MaxPooling2D(2, data_format="channels_last", dtype=dtype, name=layer.name)(x)
        elif layer.kind == "gap":
            # a mean of many values: in float32 whatever the policy
            x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name=layer.name)(x)
        elif layer.kind == "gmp":
            x = keras.layers.GlobalMaxPooling2D(data_format="channels_last", dtype=dtype, name=layer.name)(x)
        else:
            if len(x.shape) == 4:
                x = keras.layers.Flatten(data_format="channels_last", dtype=dtype, name="flatten")(x)
            x = make.fc(layer, x, "float32") if layer.name == LAST else make.hidden_fc(layer, x)
    if classifier_activation:
        x = keras.layers.Activation(classifier_activation, dtype="float32", name="probabilities")(x)
    name = f"vgg_{architecture.name.lower().replace('-', '_')}"
    return VGG(image, x, name=name, architecture=architecture)


class _Layers:
    """Makes a net's layers with weights, in order: each draws a seed of its own."""

    def __init__(self, architecture: Architecture, dtype: str | None, seed: int | None, weights: dict[str, list[Any]]):
        self._architecture, self._dtype, self._seed, self._drawn = architecture, dtype, seed, itertools.count(1)
        self._weights = weights

    def convolution(self, layer: Layer, x):
        """A convolution, batch norm where the architecture has it, and the activation."""
        convolution = Conv2D(
            layer.units,
            layer.kernel,
            padding="same",
            data_format="channels_last",
            use_bias=not self._architecture.batch_norm,
            kernel_initializer=self._initializer(self._architecture.initializer),
            dtype=self._dtype,
            name=layer.name,
        )
        x = self._called(convolution, x)
        if self._architecture.batch_norm:
            # float32 statistics, whatever the policy
            normalization = BatchNormalization(axis=-1, dtype=self._dtype, name=f"{layer.name}_bn")
            x = normalization(x)
            if arrays := self._weights.pop(normalization.name, None):  # four short ones
                normalization.set_weights(arrays)
        return self._activated(layer, x)

    def hidden_fc(self, layer: Layer, x):
        """A hidden FC layer, the activation, and behind it dropout (3.1)."""
        x = self._activated(layer, self.fc(layer, x, self._dtype))
        rate, seed = self._architecture.dropout, self._next_seed()
        return keras.layers.Dropout(rate, seed=seed, dtype=self._dtype, name=f"{layer.name}_dropout")(x)

    def fc(self, layer: Layer, x, dtype: str | None):
        kind = self._architecture.fc_initializer
        gaussian = kind == "gaussian" or (kind == "gaussian_last" and layer.name == LAST)
        initializer = self._initializer("gaussian" if gaussian else self._architecture.initializer)
        return self._called(Dense(layer.units, kernel_initializer=initializer, dtype=dtype, name=layer.name), x)

    def _called(self, layer: keras.layers.Layer, x):
        """The layer's output; where it has trained weights its variables begin with them."""
        arrays = self._weights.pop(layer.name, None)
        if arrays is None:
            return layer(x)
        own = layer.kernel_initializer, layer.bias_initializer
        given = [lambda shape, dtype, array=array: keras.ops.convert_to_tensor(array, dtype) for array in arrays]
        layer.kernel_initializer, layer.bias_initializer = [*given, own[1]][:2]  # under batch norm there is no bias
        del arrays
        x = layer(x)
        layer.kernel_initializer, layer.bias_initializer = own  # which the net's configuration names
        return x

    def _activated(self, layer: Layer, x):
        name = f"{layer.name}_relu"
        if self._architecture.activation == "leaky_relu":
            return keras.layers.LeakyReLU(self._architecture.negative_slope, dtype=self._dtype, name=name)(x)
        return keras.layers.ReLU(dtype=self._dtype, name=name)(x)

    def _initializer(self, kind: str):
        seed = self._next_seed()
        if kind == "gaussian":
            return keras.initializers.RandomNormal(stddev=self._architecture.initializer_std, seed=seed)
        if kind == "he_fan_out":  # as torchvision's nets: of the outputs, and not truncated
            return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed)
        return {"glorot": keras.initializers.GlorotUniform, "he": keras.initializers.HeNormal}[kind](seed=seed)

    def _next_seed(self) -> int | None:
        """One for each random layer: Keras gives equal seeds equal draws."""
        return None if self._seed is None else (self._seed * 1_000_003 + next(self._drawn)) % 2**31
