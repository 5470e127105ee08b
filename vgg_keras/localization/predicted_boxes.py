"""The boxes that nets give for every image of a set, the currency of appendix A: one format on disk, and the union of several.

A row holds all that is known of an image, in numbers of float32 that `Layout` divides:

    the true boxes of its class
    the posterior of each class, 0 where there was no classifier
    slots of boxes: the true class's first, then those of the k best classes, the true one again if it is among them; of each
    box the class score at its window
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from vgg_keras.evaluation import image_rows
from vgg_keras.evaluation.evaluated_net import NetOnImages
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.runs import BOXES


class Slot(NamedTuple):
    """A class's label, its boxes (n, 4) in pixels of the image, and the class score at the window of each (n,)."""

    label: int
    boxes: np.ndarray
    scores: np.ndarray


class Row(NamedTuple):
    """What is known of an image.

    Attributes:
        truth: (n, 4), its true boxes.
        posteriors: (classes,), 0 where there was no classifier.
        true: the boxes of the true class, for the box error alone: the net does not know that class. None of a photograph
            without a label.
        slots: the boxes of the k best classes, of which the answers are made; empty without a classifier.
    """

    truth: np.ndarray
    posteriors: np.ndarray
    true: Slot | None
    slots: list[Slot]


@dataclass(frozen=True)
class Layout:
    """How many numbers a row has room for.

    Attributes:
        truth: true boxes of an image.
        classes: of the set.
        slots: of boxes, the true class's among them.
        boxes: in a slot.
    """

    truth: int
    classes: int
    slots: int
    boxes: int

    @property
    def columns(self) -> int:
        """How many numbers a row has."""
        return 1 + 4 * self.truth + self.classes + self.slots * (2 + 5 * self.boxes)

    def packed(self, row: Row) -> np.ndarray:
        """A row of an image with a label as (columns,) float32."""
        found = np.zeros(self.columns, np.float32)
        truth, posteriors, slots = self._parts(found)
        truth[0] = len(row.truth)
        truth[1 : 1 + row.truth.size] = row.truth.ravel()
        posteriors[:] = row.posteriors
        slots[:, 0] = -1
        for place, slot in zip(slots, [row.true, *row.slots], strict=False):
            place[:2] = slot.label, len(slot.boxes)
            numbers = np.concatenate([slot.boxes, slot.scores[:, np.newaxis]], axis=1)
            place[2 : 2 + numbers.size] = numbers.ravel()
        return found

    def unpacked(self, numbers: np.ndarray) -> Row:
        """The row of (columns,) numbers."""
        truth, posteriors, slots = self._parts(np.asarray(numbers))
        found = []
        for place in slots:
            if place[0] >= 0:
                boxes = place[2 : 2 + 5 * int(place[1])].reshape(-1, 5)
                found.append(Slot(int(place[0]), boxes[:, :4], boxes[:, 4]))
        return Row(truth[1 : 1 + 4 * int(truth[0])].reshape(-1, 4), posteriors, found[0], found[1:])

    def _parts(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Views of a row's three parts."""
        ends = np.cumsum([1 + 4 * self.truth, self.classes])
        truth, posteriors, slots = np.split(numbers, ends)
        return truth, posteriors, slots.reshape(self.slots, -1)


@dataclass(frozen=True, kw_only=True)
class LocalizingNet(NetOnImages):
    """A net of boxes and how its boxes were found.

    Attributes:
        training_scale: S; empty where it is not known.
        protocol: center or dense.
        windows: `localization.windows` of the dense test; empty: the centre crop has none.
        best_classes: k, whose boxes an image's answers are made of; 0: without a classifier there are none.
        several_left_out: whether pictures with several boxes are.
        boxes_sha256: of the images' boxes, which the rows hold too.
        layout: `Layout`'s four numbers.
        trained_layers: `training.layers` of its run; empty: it is another source's.
        classifier_sha256: of the weights whose scores go with the boxes; empty: there are none.
        mean_box: of its training images, shares of the image: centre x, y, width, height; empty where it is not known.
    """

    training_scale: tuple[int, ...]
    protocol: str
    windows: str
    best_classes: int
    several_left_out: bool
    boxes_sha256: str
    layout: tuple[int, ...]
    trained_layers: str
    classifier_sha256: str
    mean_box: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PredictedBoxes(ImageRows):
    """The boxes of nets for every image of a set.

    Attributes:
        boxes: (images, columns) float32, of `Layout`.
    """

    FILE: ClassVar[str] = BOXES
    NAME: ClassVar[str] = "boxes"
    RULE: ClassVar[str] = "Boxes are .npz files of an evaluation of a box net. Received:"
    NET: ClassVar[type] = LocalizingNet
    BY_LABEL: ClassVar[bool] = True  # a box of the class that the image has
    OF_IMAGES: ClassVar[tuple[str, ...]] = ("boxes_sha256", "layout")

    boxes: np.ndarray

    @property
    def layout(self) -> Layout:
        """The layout of its rows."""
        return Layout(*self.nets[0].layout)

    def row(self, image: int) -> Row:
        """What is known of an image."""
        return self.layout.unpacked(self.boxes[image])

    def check(self) -> None:
        super().check()
        if len(self.nets) != 1 or len(self.nets[0].layout) != 4 or self.layout.columns != self.boxes.shape[1]:
            raise ValueError("boxes of another layout")


def load(path: Path) -> PredictedBoxes:
    """The boxes in a file, finished or not.

    Raises:
        UserError: no such file, or one of another kind.
    """
    return image_rows.load(PredictedBoxes, path)


def union(rows: Sequence[Row]) -> Row:
    """What several nets, or one at several Q, know of an image: the mean of the posteriors, and all boxes, class by class.

    The true class's boxes are joined apart, so that where it is not among the k best no answer has them.
    """
    slots: dict[int, list[Slot]] = {}
    for row in rows:
        for slot in row.slots:
            slots.setdefault(slot.label, []).append(slot)
    true = [row.true for row in rows if row.true is not None]
    return Row(
        rows[0].truth,
        np.mean([row.posteriors for row in rows], axis=0),
        _joined(true) if true else None,
        [_joined(of_class) for of_class in slots.values()],
    )


def _joined(slots: Sequence[Slot]) -> Slot:
    """One with the boxes of several of one class."""
    return Slot(
        slots[0].label,
        np.concatenate([slot.boxes for slot in slots]),
        np.concatenate([slot.scores for slot in slots]),
    )
