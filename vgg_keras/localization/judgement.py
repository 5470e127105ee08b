"""An image's boxes are merged and judged: appendix A's measures from rows of boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vgg_keras import stop
from vgg_keras.config import Localization
from vgg_keras.localization.boxes import iou
from vgg_keras.localization.merging import merge
from vgg_keras.localization.predicted_boxes import Row, Slot
from vgg_keras.progress import progress


class Answer(NamedTuple):
    """A class with its box (4,), the class's posterior, and the sum of the scores of the boxes that were merged."""

    label: int
    box: np.ndarray
    posterior: float
    score: float


@dataclass(frozen=True)
class Judgement:
    """What was found of a set's images.

    Attributes:
        boxes: (images, 4), the best box of the true class.
        ious: (images,), its intersection over union with the nearest true box.
        top1, top5: (images,) bool, whether the first answer, or one of the first answers, has the true class and a right box;
            None where there was no classifier.
    """

    boxes: np.ndarray
    ious: np.ndarray
    top1: np.ndarray | None
    top5: np.ndarray | None
    right_from: float

    @property
    def right(self) -> np.ndarray:
        """(images,) bool, whether the true class's box is right."""
        return self.ious > self.right_from

    @property
    def box_error(self) -> float:
        """The share of images whose true class has a wrong box, in percent: Table 8's."""
        return 100 * float(np.mean(~self.right))

    @property
    def top1_error(self) -> float | None:
        """The share of images whose most probable class, or its box, is wrong, in percent."""
        return None if self.top1 is None else 100 * float(np.mean(~self.top1))

    @property
    def top5_error(self) -> float | None:
        """The share of images none of whose answers is right, in percent: Table 9's."""
        return None if self.top5 is None else 100 * float(np.mean(~self.top5))


def judge(rows: Sequence[Row], labels: np.ndarray, rules: Localization) -> Judgement:
    """Judges the rows of images, whose classes are given. Of ILSVRC's 50,000 images the merging takes minutes.

    Raises:
        StoppedError: by a signal.
    """
    classified = any(row.posteriors.any() for row in rows)
    boxes, ious, hits = np.zeros((len(rows), 4)), np.zeros(len(rows)), np.zeros((len(rows), 2), bool)
    for image, row in enumerate(progress(rows, "merging of boxes")):
        boxes[image] = best_box(row.true, row, rules).box
        ious[image] = nearest_iou(boxes[image], row.truth)
        if classified:
            hits[image] = _hits(row, int(labels[image]), boxes[image], rules)
        stop.raise_if_requested()
    return Judgement(boxes, ious, *(hits.T if classified else (None, None)), rules.iou)


def answers(row: Row, rules: Localization) -> list[Answer]:
    """The most probable of all classes with their boxes, the most probable first; those without a box are left out."""
    slots = {slot.label: slot for slot in row.slots}
    return [best_box(slots[label], row, rules) for label in _most_probable(row, rules) if label in slots]


def best_box(slot: Slot, row: Row, rules: Localization) -> Answer:
    """The merged box of a class of an image with the highest sum of scores."""
    boxes, scores = merge(slot.boxes, slot.scores, rules.threshold)
    return Answer(slot.label, boxes[0], float(row.posteriors[slot.label]), float(scores[0]))


def nearest_iou(box: np.ndarray, truth: np.ndarray) -> float:
    """The intersection over union of a box with that of an image's true boxes (n, 4) which it meets best."""
    return float(iou(box, truth).max(initial=0.0))


def _most_probable(row: Row, rules: Localization) -> list[int]:
    """The labels of the answers. The true class is not known to the net: it is ranked as every other."""
    return np.argsort(-row.posteriors, kind="stable")[: rules.answers].tolist()


def _hits(row: Row, label: int, true_box: np.ndarray, rules: Localization) -> tuple[bool, bool]:
    """Whether the first answer is right, and whether one of all is. An answer without a box is wrong.

    Args:
        row, label: of an image.
        true_box: the best of the true class, of all nets: most often the answer's too.
        rules: of the merging.
    """
    most_probable = _most_probable(row, rules)
    slot = next((slot for slot in row.slots if slot.label == label), None)
    if slot is None or label not in most_probable:
        return False, False
    of_all = len(slot.boxes) == len(row.true.boxes)  # each net, at each Q, had the class among its best
    box = true_box if of_all else best_box(slot, row, rules).box
    right = nearest_iou(box, row.truth) > rules.iou
    return right and most_probable[0] == label, right
