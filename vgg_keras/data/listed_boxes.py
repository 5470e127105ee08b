"""The boxes of a list's rows (appendix A): four columns of a row, and the boxes of each of the list's images."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vgg_keras.data.boxes import Boxes
from vgg_keras.data.splits import Split
from vgg_keras.paths import printable

# xmin, ymin, xmax, ymax in pixels; () in a list without boxes, None where the image has none
Box: TypeAlias = tuple[float, ...] | None


def parsed(values: Sequence[str]) -> Box:
    """A box of four texts; None where all are empty.

    Raises:
        ValueError: one is no number.
    """
    return tuple(map(float, values)) if any(values) else None


class ListedBoxes:
    """The boxes of a list's images, each image by its file and its class."""

    def __init__(self, rows: Sequence[tuple[str, str, Box]]):
        """
        Args:
            rows: the file, the class and the box of each row.
        """
        self._any = rows[0][2] != ()
        # of an image of a class; none where it has none
        self._boxes: dict[tuple[str, str], list[tuple[float, ...]]] = {}
        self._count: dict[str, int] = {}  # of a picture, whatever their classes
        for path, label, box in rows if self._any else ():
            file = os.path.abspath(path)
            found = self._boxes.setdefault((file, label), [])
            if box is not None and box not in found:  # a row may come again, as that of an image
                found.append(box)
                self._count[file] = self._count.get(file, 0) + 1

    def notes(self, path: Path) -> list[str]:
        """A line where images have boxes of several classes."""
        several = len(self._boxes) - len({file for file, _ in self._boxes})
        described = (
            f"{printable(path)}: images with boxes of several classes are an image of each, {several} more in all"
        )
        return [described] if several else []

    def added_to(self, split: Split, images: Sequence[tuple[str, str]]) -> Split:
        """The split with the boxes of its images, whose files and classes are given; as it is, in a list without boxes."""
        if not self._any:
            return split
        keys = [(os.path.abspath(file), label) for file, label in images]
        found = [np.array(self._boxes[key], np.float64).reshape(-1, 4) for key in keys]
        others = [self._count.get(key[0], 0) - len(one) for key, one in zip(keys, found, strict=True)]
        return dataclasses.replace(split, boxes=Boxes.of_lists(found, others))
