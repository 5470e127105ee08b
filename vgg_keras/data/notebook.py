"""The pipeline for a notebook: datasets that `model.fit` and `model.evaluate` take, on one device."""

import functools
import itertools
from typing import Any

import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data, from_dict
from vgg_keras.data import pipeline, statistics
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source


def training_data(source: str, *, crop: int = 224, seed: int = 0, **fields: Any) -> tf.data.Dataset:
    """The training images of a set as 3.1 augments them, for `model.fit`.

    Each pass over the dataset is an epoch with an order, crops, flips and shifts of its own, the next one in the
    sequence that `seed` decides.

    Args:
        source: "digits", a TensorFlow Datasets name such as "cifar10", or a folder of class folders.
        crop: side of the images, as in `build`.
        seed: of order and augmentation.
        **fields: of `config.Data`, such as `batch=64`, `scale=(256, 512)`, `flip=False`, `color_shift=0.0`. `scale` is
            8/7 of the crop where not given, the paper's 256 for 224.

    Returns:
        A dataset of (images (batch, crop, crop, 3) float32 RGB 0-255, labels (batch,) int32); the last batch of a pass
        may be smaller.

    Raises:
        UserError: an unknown set or field, or data that cannot be used.

    Example:
        model.fit(vgg_keras.training_data("digits", crop=32, batch=32, flip=False), epochs=10, shuffle=False)
    """
    data = _data(source, crop, fields)
    Config(architecture=Architecture(crop=crop), data=data)  # checks S against the crop
    train = _open(data).train
    basis = _measured(data).color_basis
    steps = pipeline.steps_per_epoch(train.size, data.batch)
    passes = itertools.count()

    def begin():
        yield next(passes)

    def epoch(number):
        return pipeline.training(train, data, crop, basis, seed, number * steps, (number + 1) * steps)

    epochs = tf.data.Dataset.from_generator(begin, output_signature=tf.TensorSpec([], tf.int64))
    batches = epochs.flat_map(epoch).map(_unfilled).apply(tf.data.experimental.assert_cardinality(steps))
    return pipeline.plainly(batches)  # the options of a dataset inside another's flat_map have no effect


def validation_data(source: str, *, crop: int = 224, **fields: Any) -> tf.data.Dataset:
    """The validation images of a set, each once, for `model.evaluate` or `validation_data=`: centre crops.

    Args:
        source, crop, **fields: as in `training_data`; images are rescaled to S, or to the middle of its range.

    Returns:
        A dataset of (images (batch, crop, crop, 3) float32 RGB 0-255, labels (batch,) int32).

    Raises:
        UserError: as in `training_data`.
    """
    data = _data(source, crop, fields)
    config = Config(architecture=Architecture(crop=crop), data=data)
    return pipeline.validation(_open(data).val, data, crop, config.middle_scale, data.batch).map(_unfilled)


def describe_data(source: str, *, crop: int = 224, **fields: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The class names of a set and the mean colour of its training images, for `build(num_classes=len(classes), mean=mean)`.

    Args:
        source, crop, **fields: as in `training_data`.

    Returns:
        The names in the order of the labels, and R, G, B in 0-255.

    Raises:
        UserError: as in `training_data`.
    """
    data = _data(source, crop, fields)
    return _open(data).classes, _measured(data).mean


def _data(source: str, crop: int, fields: dict[str, Any]) -> Data:
    return from_dict(Data, {"source": source, "scale": (round(crop * 8 / 7),), **fields})


def _open(data: Data) -> Source:
    return _opened(_reading_of(data))


def _measured(data: Data) -> statistics.Statistics:
    return _measured_once(_reading_of(data))


def _reading_of(data: Data) -> Data:
    """The fields that decide which images there are; whatever else differs, a set is opened and measured once."""
    names = ("source", "data_dir", "validation", "holdout", "max_bad_fraction", "exif_orientation", "max_pixels")
    names += ("statistics_images",)
    return Data(**{name: getattr(data, name) for name in names})


@functools.cache
def _opened(data: Data) -> Source:
    source, bad_images = without_bad_images(open_source(data), Config(data=data))
    for image in bad_images:
        print(f"skipped: {image}")
    return source


@functools.cache
def _measured_once(data: Data) -> statistics.Statistics:
    return statistics.measure(_opened(data).train, data.statistics_images)


def _unfilled(images, labels, weights):
    """Without the images that fill a last batch up."""
    real = weights > 0
    return tf.boolean_mask(images, real), tf.boolean_mask(labels, real)
