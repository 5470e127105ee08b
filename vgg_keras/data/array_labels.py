"""The labels of images in memory: the numbers of their classes, and the names of these."""

from typing import Any

import numpy as np

from vgg_keras.data.class_names import class_name, order_of, require_list
from vgg_keras.errors import UserError, nearest


def class_names(classes: Any) -> tuple[str, ...]:
    """Names that a user gives for classes.

    Raises:
        UserError: they are no list of names, or two are equal.
    """
    require_list(classes)
    names = tuple(map(_name, classes))
    if len(set(names)) < len(names):
        raise UserError(f"classes must be a list of different names. Received: {list(names)}.")
    return names


def numbered(labels: np.ndarray, classes: tuple[str, ...], complete: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels as numbers of their classes, and the names of all classes.

    Args:
        labels: (n,) integers from 0 on or names, (n, 1), or (n, classes) of 0 and 1, one-hot or of several labels.
        classes: of `class_names`: labels that are names are found among them, integers are places in them. Empty: the integers
            as text, or the labels' own names, sorted.
        complete: whether images may be taken to have every class; else `classes` are needed where labels are names.

    Returns:
        The numbers (n,) int64, of several labels an image (n, classes) int8 of 0 and 1; and the names.

    Raises:
        UserError: other labels, one of no class, or names without the `classes` that they need.
    """
    if labels.dtype.kind == "O" and all(isinstance(one, int | np.integer) for one in labels.flat):  # as of pandas
        labels = labels.astype(np.int64)
    if labels.ndim == 2 and labels.shape[1] == 1:  # as of keras.datasets.cifar10
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind in "USO":
        return _of_names(labels, classes, complete)
    numbers, count = _of_numbers(labels)
    if not classes:
        return numbers, tuple(map(str, range(count)))
    if count > len(classes) or (labels.ndim == 2 and count < len(classes)):
        raise UserError(f"Each label is one of the {len(classes)} classes. Received: labels of {count} classes.")
    return numbers, classes


def _of_names(labels: np.ndarray, classes: tuple[str, ...], complete: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """`numbered` of labels (n,) that are names."""
    missing = [image for image, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:  # as a table has them: None, or a NaN, which is not equal to itself
        raise UserError(f"Each image has a label. Received: image {missing[0]} with {labels[missing[0]]}.")
    if not classes and not complete:
        raise UserError(
            "validation_data() takes the classes of the training images beside labels that are names: where images lack a class, "
            "the others would have other numbers. Received: none. Give classes=..., of describe_data()."
        )
    names = [_name(label) for label in labels.tolist()]
    classes = classes or tuple(sorted(set(names), key=order_of(set(names))))
    numbers = {name: number for number, name in enumerate(classes)}
    for image, name in enumerate(names):
        if name not in numbers:
            raise UserError(
                f"Each label is one of the classes. Received: image {image} with {name!r}. {nearest(name, classes)}"
            )
    return np.array([numbers[name] for name in names], np.int64), classes


def _of_numbers(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """`numbered` of labels that are numbers, and how many classes these show."""
    if labels.ndim == 2 and labels.shape[1] > 1 and np.isin(labels, (0, 1)).all():
        one_hot = (labels.sum(axis=1) == 1).all()
        return labels.argmax(axis=1) if one_hot else labels.astype(np.int8), labels.shape[1]
    whole = labels.dtype.kind == "f" and (labels % 1 == 0).all()  # as Keras's binary labels
    if whole or labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.ndim != 1 or labels.dtype.kind not in "ui" or (labels.size and labels.min() < 0):
        raise UserError(
            "Labels are (n,) integers from 0 on or names, or (n, classes) of 0 and 1. "
            f"Received: shape {labels.shape} of {labels.dtype}."
        )
    return labels.astype(np.int64), int(labels.max(initial=0)) + 1


def _name(value: Any) -> str:
    """A label, or a name of a class, as `class_name` writes it."""
    return class_name(value if isinstance(value, bytes) else str(value))
