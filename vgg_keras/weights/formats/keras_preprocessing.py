"""What a Keras model's first layers do to its images, as one subtraction and one division; and the side of its images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer, is_of_caffe
from vgg_keras.weights.source_weights import CAFFE, CAFFE_WORDS, Preprocessing

_KERAS_EPSILON = 1e-7  # keras.config.epsilon(), the least standard deviation of Normalization


def preprocessing_of(
    layers: Sequence[SavedLayer], tensors: Mapping[str, tuple], file: ModelFile, channels: int
) -> Preprocessing | None:
    """The first layers as one: ((x - a) / b - c) / d is (x - (a + b c)) / (b d). None: arithmetic that changes nothing.

    Raises:
        UserError: a division by 0, values that are not finite, or channels in another order than RGB and BGR.
    """
    source, mean, std = np.arange(channels), np.zeros(channels), np.ones(channels)
    for layer in layers:
        taken, subtracted, divisor = _step(layer, tensors, file, channels)
        source, mean, std = source[taken], mean[taken], std[taken]
        mean, std = mean + std * subtracted, std * divisor
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and std.all()):
        raise file.another(f"{layers[-1].name} of values that are not finite or too large")
    order = source.tolist()
    if order not in (list(range(channels)), [2, 1, 0]):
        raise file.another(f"channels in the order {order} at {layers[-1].name}")
    bgr = order == [2, 1, 0]
    if not bgr and not mean.any() and (std == 1).all() and {layer.kind for layer in layers} <= {"Affine"}:
        return None  # such as a cast
    return Preprocessing(*(tuple((values[::-1] if bgr else values).tolist()) for values in (mean, std)), bgr=bgr)


def doubt(preprocessing: Preprocessing | None, layers: Sequence[SavedLayer] = ()) -> str:
    """What is assumed of the images, in words; empty: nothing.

    A Lambda of Keras 3 holds the name `preprocess_input` alone, which Keras Applications has for each net. Values far above
    255 are those of images that were divided before.
    """
    if any(layer.kind == "Lambda" and not is_of_caffe(layer.config) for layer in layers):
        return f"Keras Applications' preprocess_input, {CAFFE_WORDS}"
    largest = max((abs(255 - mean) / abs(std) for mean, std in _pairs(preprocessing)), default=0.0)
    if largest <= 2 * 255:
        return ""
    return f"a net of images in 0-255, of which its first layers make values up to {largest:,.0f}"


def _pairs(preprocessing: Preprocessing | None) -> list[tuple[float, float]]:
    return list(zip(preprocessing.mean, preprocessing.std, strict=True)) if preprocessing else []


def _step(
    layer: SavedLayer, tensors: Mapping[str, tuple], file: ModelFile, channels: int
) -> tuple[Any, np.ndarray, np.ndarray]:
    """The channels that a layer takes, what it subtracts of each, and what it divides by then."""
    config, every = layer.config, list(range(channels))
    if layer.kind == "Affine":
        return config["channels"], _for_each(config["mean"], channels), _for_each(config["std"], channels)
    if layer.kind == "Lambda":  # preprocess_input of three channels
        return [2, 1, 0], _for_each(CAFFE.mean[::-1], channels), _for_each(1.0, channels)
    if layer.kind == "MeanSubtraction":
        return every, _for_each(config["mean"], channels), _for_each(config.get("std") or 1.0, channels)
    if layer.kind == "Rescaling":
        scale = _for_each(config["scale"], channels)
        if not scale.all():
            raise file.another(f"{layer.name} of scale=0")
        return every, -_for_each(config.get("offset", 0.0), channels) / scale, 1.0 / scale
    stored = config.get("mean"), config.get("variance")
    if None in stored:  # adapted to data
        stored = tensors[layer.name][:2]
    mean, variance = (_for_each(part, channels) for part in stored)
    if variance.min() < 0:
        raise UserError(f"A variance is not negative. Received: {file.path}, whose {layer.name} has one that is.")
    return every, mean, np.maximum(np.sqrt(variance), _KERAS_EPSILON)


def _for_each(value: Any, channels: int) -> np.ndarray:
    """A number, or one for each channel, as so many."""
    if isinstance(value, dict):  # an array, as Keras 3 serializes it
        value = value["config"]["value"]
    array = np.asarray(value, np.float64)
    if array.size not in (1, channels) or array.shape[:-1] != (1,) * (array.ndim - 1):
        raise ValueError(f"{array.size} values for {channels} channels")
    return np.broadcast_to(array.reshape(-1), channels).astype(np.float64)


def input_side(layers: Sequence[SavedLayer], file: ModelFile, channels: int) -> tuple[int, str]:
    """The side of the square that the net takes, 0 where it takes others too; and the one size that is no square, in words.

    Args:
        layers: before the first convolution, and this one.
        file: for messages.
        channels: that the first convolution takes.

    Raises:
        UserError: images of other channels, or a Resizing from one fixed size to another.
    """
    sides: set[int] = set()
    uneven = ""
    for layer in layers:
        shape = next((layer.config[key] for key in ("batch_shape", "batch_input_shape") if layer.config.get(key)), None)
        if layer.kind == "Resizing":
            if not {"height", "width"} <= set(layer.config) or layer.config.get("pad_to_aspect_ratio"):
                raise file.another(f"Resizing at {layer.name} that pads images")
            shape = [None, layer.config["height"], layer.config["width"], None]
        if shape is None:
            continue
        if len(shape) != 4 or shape[3] not in (None, channels):
            raise file.another(
                f"an input of the shape {str(tuple(shape[1:]))[:50]}, not of images of {channels} channels"
            )
        height, width = shape[1:3]
        if height != width:
            uneven = f"an input of {height}x{width}, not a square"
        if type(height) is int and height == width:
            sides.add(height)
    if len(sides) > 1:
        raise file.another(f"a Resizing of images of {min(sides)} to {max(sides)}: a net takes images of one size")
    return (0 if uneven or not sides else sides.pop()), uneven
