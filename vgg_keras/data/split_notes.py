"""What a user should know of a scanned split, a line each: its classes, and copies of training images."""

import dataclasses
import unicodedata
from collections.abc import Sequence

import numpy as np

from vgg_keras.data.splits import Split

MAJORITY = 0.9  # a class with a larger share of a split's images is named
_NAMED = 20  # classes in a line


def noting_classes(split: Split, name: str) -> Split:
    """The split with notes on its classes: those that are probably one, one with nearly all images, those with none.

    Args:
        split: scanned.
        name: train, val or test.
    """
    if len(split.classes) < 2 or split.labels is None:
        return split
    counts = split.class_counts
    similar = _similar_classes(split.classes) if name == "train" else ()
    majority = () if split.multi_label else _majority(split, name, counts)
    return dataclasses.replace(split, notes=(*split.notes, *similar, *majority, *_absent_classes(split, name, counts)))


def noting_copies(split: Split, name: str, train: Split) -> Split:
    """The split with a line where files of it have the bytes of training images; arguments as of `noting_classes`."""
    copies = np.flatnonzero(np.isin(split.fingerprints, train.fingerprints))
    if not len(copies):
        return split
    note = (
        f"{len(copies):,} of {split.size:,} {name} images are copies of training images, such as "
        f"{split.path(int(copies[0]))}: the errors on them are too low"
    )
    return dataclasses.replace(split, notes=(*split.notes, note))


def _similar_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """A line where the names of two classes differ in case or spaces alone, as one class that several people wrote."""
    known: dict[str, str] = {}
    pairs = []
    for name in classes:
        visible = (one for one in name.casefold() if unicodedata.category(one) not in ("Zs", "Cf"))  # Cf: zero width
        first = known.setdefault("".join(visible), name)
        pairs += [(first, name)] if first != name else []
    if not pairs:
        return ()
    more = f", and so do {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return (f"the classes {pairs[0][0]!r} and {pairs[0][1]!r} differ in case or spaces alone{more}",)


def _majority(split: Split, name: str, counts: np.ndarray) -> tuple[str, ...]:
    """A line where one class has nearly all images."""
    label, share = int(np.argmax(counts)), counts.max() / split.size
    if not MAJORITY < share < 1:  # of 1 the other classes are named as absent
        return ()
    return (
        f"{share:.1%} of the {name} images are of class '{split.classes[label]}': a net that answers nothing else has an "
        f"error of {1 - share:.1%}",
    )


def _absent_classes(split: Split, name: str, counts: np.ndarray) -> tuple[str, ...]:
    """A line with the classes of which no image can be read; empty where there are none."""
    absent = [split.classes[label] for label in np.flatnonzero(counts == 0)]
    if not absent:
        return ()
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    lacking = f"{len(absent)} of {len(split.classes)} classes have no readable {name} image"
    effect = "nothing trains them" if name == "train" else "no error counts them"
    names = ", ".join(f"'{one}'" for one in absent[:_NAMED])
    return (f"{lacking}, so that {effect}: {names}{more}",)
