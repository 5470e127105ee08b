"""The labels of images in memory: the numbers of their classes, and the names of these."""

from typing import Any

import numpy as np

from vgg_keras.data.class_names import class_name, order_of, require_list
from vgg_keras.errors import UserError, described, nearest

# Numbers without names are below: a stray 2**32 - 1 would else fill the memory with the names of so many classes.
MOST_CLASSES = 10**6


def class_names(classes: Any) -> tuple[str, ...]:
    """Names that a user gives for classes.

    Raises:
        UserError: they are no list of names, or two are equal.
    """
    require_list(classes)
    classes = list(classes)
    if other := [one for one in classes if not isinstance(one, str | bytes | int | np.integer) or one in ("", b"")]:
        raise UserError(f"classes must be a list of names. Received: {described(other[0])} among them.")
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
        The numbers (n,) int64, of several labels per image (n, classes) int8 of 0 and 1; and the names.

    Raises:
        UserError: other labels, one of no class, or names without the `classes` that they need.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:  # as of keras.datasets.cifar10
        labels = labels[:, 0]
    numbers = labels.dtype.kind == "O" and all(isinstance(one, int | np.integer) for one in labels.flat)  # as of pandas
    if labels.ndim == 1 and labels.dtype.kind in "USO" and not numbers:
        return _of_names(labels, classes, complete)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return _of_rows(labels, classes)
    return _of_numbers(labels, classes)


def _of_names(labels: np.ndarray, classes: tuple[str, ...], complete: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """`numbered` of labels (n,) that are names."""
    # as a table has them: None, a NaN, which is not equal to itself, or an empty text
    missing = [image for image, label in enumerate(labels.tolist()) if label in (None, "", b"") or label != label]
    if missing:
        label = labels[missing[0]]
        received = "an empty one" if label in ("", b"") else label
        raise UserError(f"Each image has a label. Received: image {missing[0]} with {received}.")
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


def _of_numbers(labels: np.ndarray, classes: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """`numbered` of labels (n,) that are numbers."""
    if labels.ndim != 1 or labels.dtype.kind not in "uifbO":
        raise _other_labels(labels)
    most = len(classes) or MOST_CLASSES
    right = (labels >= 0) & (labels < most)  # floats too, as Keras's binary labels
    right[right] = labels[right] % 1 == 0
    if not right.all():
        image = int(np.argmin(right))
        of = (
            f"one of the {most} classes, 0 to {most - 1}"
            if classes
            else f"a whole number from 0 to {most - 1:,}, or a name"
        )
        raise UserError(f"Each label is {of}. Received: image {image} with {labels[image]}.")
    numbers = labels.astype(np.int64)
    return numbers, classes or tuple(map(str, range(int(numbers.max(initial=0)) + 1)))


def _of_rows(labels: np.ndarray, classes: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """`numbered` of labels (n, classes)."""
    if labels.dtype.kind not in "uifb":
        raise _other_labels(labels)
    other = ~np.isin(labels, (0, 1))
    if other.any():
        image, place = np.argwhere(other)[0]
        raise UserError(
            "Labels of several columns are 0 or 1 for each class, one-hot or of several labels. "
            f"Received: image {image} with {labels[image, place]} for class {place}."
        )
    count = labels.shape[1]
    if classes and count != len(classes):
        raise UserError(f"Each label is one of the {len(classes)} classes. Received: labels of {count} classes.")
    one_hot = (labels.sum(axis=1) == 1).all()
    return labels.argmax(axis=1) if one_hot else labels.astype(np.int8), classes or tuple(map(str, range(count)))


def _other_labels(labels: np.ndarray) -> UserError:
    return UserError(
        "Labels are (n,) integers from 0 on or names, or (n, classes) of 0 and 1. "
        f"Received: shape {labels.shape} of {labels.dtype}."
    )


def _name(value: Any) -> str:
    """A label, or a name of a class, as `class_name` writes it."""
    return class_name(value if isinstance(value, bytes) else str(value))
