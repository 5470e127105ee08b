"""The pipeline for a notebook: datasets that `model.fit` and `model.evaluate` take, on one device.

Each call opens the set as it is now. Files that have not changed are not decoded again, because the scan's findings are on disk.
Nor are they measured again: statistics are kept by the identity of their images.
"""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.config import READING, Architecture, Config, Data, fields_with, needs_of
from vgg_keras.data import arrays, pipeline, statistics
from vgg_keras.data.array_labels import class_names
from vgg_keras.data.scan import remarks, without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError, unknown_argument
from vgg_keras.paths import printable
from vgg_keras.plain_values import from_dict


def training_data(
    source: Any,
    labels: Any = None,
    *,
    crop: int = 224,
    channels: int = 3,
    classes: Sequence[str] = (),
    seed: int = 0,
    **fields: Any,
) -> tf.data.Dataset:
    """The training images of a set as 3.1 augments them, for `model.fit`.

    Each pass over the dataset is an epoch with an order, crops, flips and shifts of its own, the next one in the
    sequence that `seed` decides.

    Args:
        source: "digits", a TensorFlow Datasets name such as "cifar10", a folder of class folders, or a .csv list. Or images in
            memory: an array (n, height, width, channels) or (n, height, width) in 0-255, a pair of one and its labels, or a
            `tf.data.Dataset` of (image, label). All of these train, unless `validation="held_out"` holds out a share of each
            class.
        labels: of an array: (n,) integers or names, or one-hot (n, classes).
        crop: side of the images, as in `build`.
        channels: of the images, as in `build`: 1 reads them in grey, 3 in RGB; an array may have up to 16.
        classes: of images in memory, their names in the order of the labels, such as `describe_data` returned them; by default
            the `class_names` of a dataset that has them. Without them labels that are names are numbered in their sorted order,
            so that images which lack a class get other numbers.
        seed: of order and augmentation.
        **fields: of `config.Data` but `micro_batch` and those of boxes, such as `batch=64`, `scale=(256, 512)`, `flip=False`,
            `color_shift=0.0`. `scale` is 8/7 of the crop where not given, the paper's 256 for 224.

    Returns:
        A dataset of (images (batch, crop, crop, channels) float32 0-255, labels); the last batch of a pass may be
        smaller. It holds the images that the set has when this is called. Of one label per image the labels are (batch,)
        int32. Of a multi-label set they are (batch, classes) float32 of 0 and 1, for `build(multi_label=True)` and
        `keras.losses.BinaryCrossentropy(from_logits=True)`; one that is to be ignored is 0.

    Raises:
        UserError: an unknown set or field, or data that cannot be used.

    Example:
        model.fit(vgg_keras.training_data("digits", crop=32, batch=32, flip=False), epochs=10, shuffle=False)
    """
    config = _config(source, crop, channels, fields, seed)
    data, seed = config.data, config.seed
    train = _open(config, source, labels, classes, fields).train
    basis = _measure(train, data).color_basis
    steps = pipeline.steps_per_epoch(train.size, data.batch)
    passes = itertools.count()

    def begin():
        yield next(passes)

    def epoch(number):
        return pipeline.training(train, data, crop, basis, seed, number * steps, (number + 1) * steps)

    epochs = tf.data.Dataset.from_generator(begin, output_signature=tf.TensorSpec([], tf.int64))
    batches = epochs.flat_map(epoch).map(_unfilled).apply(tf.data.experimental.assert_cardinality(steps))
    return pipeline.without_autotune(batches)  # the options of a dataset inside another's flat_map have no effect


def validation_data(
    source: Any, labels: Any = None, *, crop: int = 224, channels: int = 3, classes: Sequence[str] = (), **fields: Any
) -> tf.data.Dataset:
    """The validation images of a set, each once, for `model.evaluate` or `validation_data=`: centre crops.

    Args:
        source, labels, crop, channels, classes, **fields: as in `training_data`; images in memory are all taken, too.
            Images are rescaled to S, or to the middle of its range.
        classes: of images in memory whose labels are names, those of `describe_data` for the training images. Else the labels
            of images that lack a class would have other numbers.

    Returns:
        A dataset of (images (batch, crop, crop, channels) float32 0-255, labels): of one label per image (batch,) int32, of a
        multi-label set (batch, classes) float32, as in `training_data`.

    Raises:
        UserError: as in `training_data`.
    """
    config = _config(source, crop, channels, fields)
    # where a share of these images is held out, the rest trains: all classes are there
    complete = config.data.validation == "held_out"
    val = _open(config, source, labels, classes, fields, complete).val
    return pipeline.validation(val, config.data, crop, config.middle_scale, config.data.batch).map(_unfilled)


def describe_data(
    source: Any, labels: Any = None, *, crop: int = 224, channels: int = 3, classes: Sequence[str] = (), **fields: Any
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The class names of a set as it is now and the mean colour of its training images.

    They are for `build(num_classes=len(classes), mean=mean)`.

    Args:
        source, labels, crop, channels, classes, **fields: as in `training_data`.

    Returns:
        The names in the order of the labels, and R, G, B in 0-255, of other channels a value for each.

    Raises:
        UserError: as in `training_data`.
    """
    config = _config(source, crop, channels, fields)
    found = _open(config, source, labels, classes, fields)
    return found.classes, _measure(found.train, config.data).mean


def _config(source: Any, crop: int, channels: int, fields: dict[str, Any], seed: int = 0) -> Config:
    """The configuration of these arguments; its checks hold for a notebook too, such as S against the crop."""
    names = [field.name for field in dataclasses.fields(Data) if field.name not in ("source", "micro_batch")]
    known = [name for name in names if not needs_of(f"data.{name}")]  # no boxes; and `model.fit` takes a batch at once
    for name, value in fields.items():
        if name not in known:
            others = {*known, "crop", "channels", "classes", "seed"} - {name}  # `seed` is training_data's alone
            raise unknown_argument("training_data(), as its relatives,", name, value, others)
    in_memory = arrays.is_arrays(source)
    data = from_dict(Data, {"source": arrays.NAME if in_memory else os.fspath(source), **fields})
    # else all would train, and the same ones validate
    if in_memory and "holdout" in fields and data.validation != "held_out":
        raise UserError(
            "Images in memory are all taken, unless a share of them is held out. "
            f"Received: holdout={data.holdout:g} alone. Give validation='held_out' too."
        )
    return Config(architecture=Architecture(crop=crop, channels=channels), data=data, seed=seed)


# by source: the identity of its images, what was printed
_opened: dict[str, tuple[str, list[str]]] = {}
# by the identity of training images, how many of them are measured, and their channels
_measured: dict[tuple[str, int, int], statistics.Statistics] = {}


def _open(
    config: Config, given: Any, labels: Any, classes: Sequence[str], fields: Collection[str], complete: bool = True
) -> Source:
    """The set as it is now; `fields` are those that a user states.

    The scan's remarks are printed once, and a line where the set has changed.
    """
    # a dataset of keras.utils.image_dataset_from_directory has its folders' names
    data, classes = config.data, class_names(classes) or class_names(getattr(given, "class_names", ()))
    if arrays.is_arrays(given):
        found = without_bad_images(arrays.open_arrays(given, labels, data, classes, complete), config)[0]
        for line in remarks([], found.notes):
            print(line)
        return found
    if labels is not None:
        raise UserError(
            f"training_data() takes labels beside an array of images. Received: {printable(data.source)} and labels."
        )
    if classes:
        raise UserError(
            "training_data() takes classes beside images in memory: the classes of a folder, a list or a data set are its own. "
            f"Received: {printable(data.source)} and classes."
        )
    source, bad = without_bad_images(open_source(data, [f"data.{name}" for name in fields]), config)
    lines = remarks(bad, (*source.notes, *_ignored_labels(source)))
    identity = " ".join([*map(repr, source.classes), *(_identity(split) for split in (source.train, source.val))])
    key = " ".join(repr(getattr(data, name)) for name in fields_with(READING, Data))
    before, known = _opened.get(key, (identity, []))
    if identity != before:
        print(
            f"{printable(data.source)} has other images than when it was last opened: datasets made before still expect the "
            "old ones"
        )
    for line in lines:
        if line not in known:
            print(line)
    _opened[key] = identity, lines
    return source


def _ignored_labels(source: Source) -> list[str]:
    """A line where a multi-label set has labels to ignore: Keras's losses and metrics know 0 and 1 alone."""
    if not source.multi_label:
        return []
    count = sum(int(np.count_nonzero(np.asarray(split.labels) < 0)) for split in (source.train, source.val))
    return [f"{count:,} labels are to be ignored: a notebook's datasets give 0 for them"] if count else []


def _measure(train: Split, data: Data) -> statistics.Statistics:
    """Mean and covariance of these training images, measured once for the same images."""
    key = _identity(train), data.statistics_images, train.channels
    if key not in _measured:
        _measured[key] = statistics.measure(train, data.statistics_images)
    return _measured[key]


def _identity(split: Split) -> str:
    """sha256 over the names and the contents of the images, in their order.

    By contents and not by path: another folder at the same path is measured again, a moved folder is not.
    """
    contents = b"" if split.fingerprints is None else split.fingerprints.tobytes()
    return hashlib.sha256(split.digest().encode() + contents).hexdigest()


def _unfilled(images, labels, weights):
    """A batch without the images that pad the last one, its labels as Keras's losses and metrics take them."""
    real = weights > 0
    if labels.shape.rank == 2:
        labels = tf.cast(labels > 0, tf.float32)
    return tf.boolean_mask(images, real), tf.boolean_mask(labels, real)
