"""Multi-label sets: an image has any number of classes, so its label is a row of numbers, one for each class.

1 is a class that the image has, 0 one that it has not, -1 one that is neither trained nor counted, such as an
object of VOC that is marked as difficult.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError


def label_row(numbers: Mapping[str, int], present: Iterable[str], ignored: Iterable[str] = ()) -> np.ndarray:
    """The label (classes,) int8 of an image.

    Args:
        numbers: of the classes, by name.
        present: the classes that it has.
        ignored: those that are neither trained nor counted; one that it has is counted.
    """
    row = np.zeros(len(numbers), np.int8)
    row[[numbers[name] for name in ignored]] = -1
    row[[numbers[name] for name in present]] = 1
    return row


def label_text(label: int | np.ndarray, classes: Sequence[str]) -> str:
    """A label as `pipeline.picture` has it, by name: the class of an image, or all its classes."""
    if np.ndim(label) == 0:
        return classes[int(label)]
    return ", ".join(classes[place] for place in np.flatnonzero(np.asarray(label) > 0)) or "none"


def for_net(split: Split, architecture: Architecture, data: str) -> Split:
    """A split as a net's outputs need its labels: a multi-label net takes one label per image as a row with a single 1.

    Args:
        split: its labels are known.
        architecture: of the net.
        data: what a message calls the set.

    Raises:
        UserError: images of several labels for a net of one class per image.
    """
    if split.multi_label and not architecture.multi_label:
        raise UserError(
            "A net that ends in a soft-max answers one class for an image. "
            f"Received: {data}, whose images have any number of classes. "
            "Name data with one label per image, or train a net on it."
        )
    if split.multi_label or not architecture.multi_label:
        return split
    classes, read = len(split.classes), split.read

    def one_row(image):
        encoded, label = read(image)
        return encoded, tf.one_hot(label, classes, dtype=tf.int8)

    return dataclasses.replace(split, read=one_row, labels=np.eye(classes, dtype=np.int8)[split.labels])


def for_training(source: Source, architecture: Architecture) -> Source:
    """A source as a net that is trained on it needs its labels: multi-label if the data or the configuration is so."""
    if source.multi_label or not architecture.multi_label:
        return source
    splits = {
        name: for_net(split, architecture, source.name)
        for name, split in (("train", source.train), ("val", source.val), ("test", source.test))
        if split
    }
    return dataclasses.replace(source, **splits)
