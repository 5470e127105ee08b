"""Posteriors, the currency of section 4: one format on disk, and the mean over scales, protocols and nets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.evaluation import image_rows, rows
from vgg_keras.evaluation.evaluated_net import EvaluatedNet
from vgg_keras.evaluation.image_rows import ImageRows, other_images, other_labels
from vgg_keras.runs import POSTERIORS


@dataclass(frozen=True, kw_only=True)
class Posteriors(ImageRows):
    """Posteriors of every image of a set; the labels are columns.

    Attributes:
        probabilities: (images, classes) float32.
    """

    FILE: ClassVar[str] = POSTERIORS
    NAME: ClassVar[str] = "probabilities"
    RULE: ClassVar[str] = "Posteriors are .npz files of an evaluation. Received:"
    NET: ClassVar[type] = EvaluatedNet

    probabilities: np.ndarray

    def check(self) -> None:
        super().check()
        if self.probabilities.shape[1] != len(self.classes):
            raise ValueError(f"probabilities of shape {self.probabilities.shape} and {len(self.classes)} classes")
        for part, block in rows.blocks(self.probabilities):
            known = block[self.done[part]]
            sums = known.sum(axis=1)
            right = (known <= 1).all() if self.multi_label else np.allclose(sums, 1, atol=1e-3)
            if not (known >= 0).all() or not right:
                raise ValueError("rows that are no probabilities")


save = image_rows.save


def load(path: Path) -> Posteriors:
    """The posteriors in a file, finished or not.

    Raises:
        UserError: no such file, or one of another kind.
    """
    return image_rows.load(Posteriors, path)


def mean(parts: Sequence[Posteriors], names: Sequence[str], folder: Path | None = None) -> Posteriors:
    """The mean of posteriors of the same images and classes, such as of several nets (4.4).

    Args:
        parts: one or more.
        names: of the parts, for messages.
        folder: on whose disk a mean lies that is too large for the memory; None: that of temporary files.

    Raises:
        UserError: the first difference between their images, classes or labels, or a part that is not finished.
    """
    first = parts[0]
    for part, name in zip(parts, names, strict=True):
        if len(part.nets) > 1:
            raise UserError(
                f"The nets of a fusion have equal weight, so its parts are single nets' posteriors. Received: {name}, itself a "
                f"fusion of {len(part.nets)}. Name its parts instead."
            )
        if not part.done.all():
            raise UserError(
                f"Posteriors must be finished. Received: {name}, with {part.done.sum():,} of {len(part.done):,} images. "
                "Run its evaluation again: it resumes."
            )
        rule = f"Posteriors are averaged over the same images and classes. Received: {names[0]} and {name}, where"
        if found := other_images(first, part):
            raise UserError(f"{rule} {found}.")
        if first.multi_label != part.multi_label:
            raise UserError(f"{rule} one is of a net of one class per image and one of a multi-label net.")
        if found := other_labels(first, part):
            raise UserError(f"{rule} {found}.")
    return Posteriors(
        probabilities=_mean([part.probabilities for part in parts], folder),
        labels=first.labels,
        ids=first.ids,
        fingerprints=first.fingerprints,
        classes=first.classes,
        nets=tuple(net for part in parts for net in part.nets),
        done=first.done,
        seconds=sum(part.seconds for part in parts),
    )


def _mean(arrays: Sequence[np.ndarray], folder: Path | None) -> np.ndarray:
    """The mean of arrays of float32, summed in float64."""
    if len(arrays) == 1:
        return arrays[0]
    result = rows.zeros(arrays[0].shape, folder)
    for part, block in rows.blocks(result):
        block[:] = sum(array[part].astype(np.float64) for array in arrays) / len(arrays)
        for array in arrays:
            rows.release(array)
    return result
