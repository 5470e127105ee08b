"""Images in memory as a data set: NumPy arrays with their labels, or a `tf.data.Dataset` of both."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data.array_labels import numbered
from vgg_keras.data.splits import Source, Split, divided
from vgg_keras.errors import UserError

CHANNELS = 16  # of an image at most
NAME = "arrays"  # as `data.source` in messages
_RULE = "Images in memory are (n, height, width) or (n, height, width, channels) in 0-255, with a class for each."


def is_arrays(source: Any) -> bool:
    """Whether a source is no name: arrays, a pair of them, or a dataset."""
    return not isinstance(source, str) and not hasattr(source, "__fspath__")


def open_arrays(source: Any, labels: Any, data: Data, classes: tuple[str, ...], complete: bool) -> Source:
    """The set of these images: all of them train, and all validate.

    With `data.validation=held_out` a share of each class validates: of an array with its classes in turn, evenly spaced images
    of the whole set could be of one class. Where images have several labels, it is a share of the set.

    Args:
        source: (n, height, width) or (n, height, width, channels) of integers or floats in 0-255; a pair of these and labels; or
            a `tf.data.Dataset` of (image, label), in batches or not, whose images may have several sizes.
        labels: as in `array_labels.numbered`; None where the source has them.
        data: its `validation` and `holdout` are read.
        classes, complete: as in `array_labels.numbered`.

    Raises:
        UserError: something else, labels that `numbered` refuses, values beyond 0-255 or in 0-1, or other numbers of images and
            labels.
    """
    if labels is None and isinstance(source, tuple | list) and len(source) == 2:
        source, labels = source
    if isinstance(source, tf.data.Dataset):
        if labels is not None:
            raise UserError(
                "A tf.data.Dataset is of (image, label). Received: one, and labels beside it. Leave them out."
            )
        images, labels = _of_dataset(source)
    elif labels is None:
        raise UserError(
            f"{_RULE} Received: {type(source).__name__} without labels. Give both: training_data(images, labels)."
        )
    elif not hasattr(source, "__len__"):
        raise UserError(f"{_RULE} Received: {type(source).__name__}, which has no length. Give an array or a list.")
    else:
        images = _pixels(source)
    numbers, classes = numbered(_array(labels, "labels"), classes, complete)
    if len(images) != len(numbers) or not len(numbers):
        raise UserError(f"{_RULE} Received: {len(images)} images and {len(numbers)} labels.")
    everything = split_of_arrays(images, numbers, classes)
    train = val = everything
    if data.validation == "held_out":
        train, val = divided(everything, data.holdout, NAME, by_class=not everything.multi_label)
    return Source(
        name=NAME,
        description=f"{NAME}: {len(numbers):,} images of {len(classes)} classes",
        classes=classes,
        train=train,
        val=val,
        holds_out=data.validation == "held_out",
    )


def split_of_arrays(images: Sequence[np.ndarray], labels: np.ndarray, classes: tuple[str, ...] = ()) -> Split:
    """These images, each (height, width, channels) uint8, of one number of channels, as a split that holds them in memory."""
    labels = labels.astype(np.int8 if labels.ndim == 2 else np.int32)
    shapes = np.array([image.shape for image in images], np.int64)
    offsets = np.append(0, np.cumsum(shapes.prod(axis=1)))
    flat = images.reshape(-1) if isinstance(images, np.ndarray) else np.concatenate([one.reshape(-1) for one in images])
    pixels, sizes, starts, table = (tf.constant(one) for one in (flat, shapes, offsets, labels))
    channels = int(shapes[0, 2])

    def read(image):
        start = tf.gather(starts, image)
        content = tf.slice(pixels, [start], [tf.gather(starts, image + 1) - start])
        return tf.ensure_shape(tf.reshape(content, tf.gather(sizes, image)), [None, None, channels]), tf.gather(
            table, image
        )

    prints = [hashlib.blake2b(np.ascontiguousarray(one), digest_size=7).digest() for one in images]
    return Split(
        size=len(labels),
        read=read,
        name=lambda image: f"image {image}",
        fingerprints=np.array([int.from_bytes(one, "little") for one in prints], np.int64),
        sizes=shapes[:, :2].astype(np.int32),
        jpegs=np.zeros(len(labels), bool),
        labels=labels,
        array_channels=channels,
        classes=classes,
    )


def _of_dataset(dataset: tf.data.Dataset) -> tuple[list[np.ndarray], np.ndarray]:
    """The images and the labels of a dataset, read once."""
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{_RULE} Received: a dataset without end. Leave repeat() out.")
    images, labels, ranges = [], [], []
    batched: bool | None = None
    for image, label in _pairs(dataset):
        batched = _is_batch(image, label) if batched is None else batched
        pixels, found = _rounded(image if batched else image[np.newaxis])
        images += list(pixels)
        labels += list(label if batched else label[np.newaxis])
        ranges.append(found)
    if not images:
        raise UserError(f"{_RULE} Received: a dataset without images.")
    _require_255(ranges)
    channels = {image.shape[2] for image in images}
    if len(channels) > 1:
        raise UserError(f"{_RULE} Received: images of {' and '.join(map(str, sorted(channels)))} channels.")
    return images, _array(labels, "labels")


def _is_batch(image: np.ndarray, label: np.ndarray) -> bool:
    """Whether an element of a dataset is a batch. One of grey images without their channel looks as a single image does.

    Its labels are as many as its images; a single image has one, or a row of 0 and a single 1.
    """
    if image.ndim != 3 or label.ndim != 1:
        return image.ndim == 4 or (image.ndim == 3 and label.ndim == 2)
    if len(label) != len(image) or image.shape[2] in (1, 3, 4):
        return False
    one_hot = len(label) > 1 and np.isin(label, (0, 1)).all() and label.sum() == 1
    return image.shape[2] > CHANNELS or not one_hot


def _pairs(dataset: tf.data.Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    spec = dataset.element_spec
    if isinstance(spec, dict) and {"image", "label"} <= set(spec):
        dataset = dataset.map(lambda element: (element["image"], element["label"]))
    elif not (isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(one, tf.TensorSpec) for one in spec)):
        raise UserError(f"{_RULE} Received: a dataset of {spec}. Map it to (image, label).")
    return ((np.asarray(image), np.asarray(label)) for image, label in dataset.as_numpy_iterator())


def _array(values: Any, what: str) -> np.ndarray:
    """An array of what is none yet, such as a list."""
    try:
        return np.asarray(values)
    except ValueError:  # in a line, not in NumPy's words
        hint = " Give images of several sizes as a tf.data.Dataset of (image, label)." if what == "images" else ""
        raise UserError(f"{_RULE} Received: {what} of several shapes.{hint}") from None


def _pixels(values: Any) -> np.ndarray:
    """Images as (n, height, width, channels) uint8, floats rounded."""
    pixels, found = _rounded(values)
    _require_255([found])
    return pixels


class _Range(NamedTuple):
    """The least and the largest value of images."""

    least: float
    most: float


def _rounded(values: Any) -> tuple[np.ndarray, _Range]:
    """Images as (n, height, width, channels) uint8, floats rounded, and the range that they had."""
    values = _array(values, "images")
    values = values[..., np.newaxis] if values.ndim == 3 else values
    if values.ndim != 4 or not 1 <= values.shape[3] <= CHANNELS or not values.size or values.dtype.kind not in "uif":
        raise UserError(f"{_RULE} Received: shape {values.shape} of {values.dtype}.")
    least, most = values.min(), values.max()
    if values.dtype == np.uint8:
        return values, _Range(least, most)
    if not (least >= 0 and most <= 255):
        raise UserError(f"{_RULE} Received: values from {least:g} to {most:g}.")
    return np.round(values).astype(np.uint8), _Range(least, most)


def _require_255(ranges: Sequence[_Range]) -> None:
    """Refuses images in 0-1, of two levels too. All are judged together: one that is nearly black has no larger values either."""
    least, most = min(one.least for one in ranges), max(one.most for one in ranges)
    if 0 < most <= 1:
        raise UserError(f"{_RULE} Received: values from {least:g} to {most:g}. Multiply them by 255.")
