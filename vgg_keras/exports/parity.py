"""Whether an export computes what its net computes: both run on the same images, one at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vgg_keras.config import Export
from vgg_keras.errors import UserError
from vgg_keras.evaluation.measures import HALF
from vgg_keras.evaluation.metrics import hamming_loss
from vgg_keras.log_filter import without_noise


class Outputs(Protocol):
    """What a net's outputs mean, for a comparison. An array of outputs has an image a row.

    Attributes:
        unit: by which their difference is divided.
    """

    unit: float

    def answers(self, found: np.ndarray, net: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
        """The share of equal answers of an export and its net, and the errors of both in percent."""


class Probabilities:
    """Probabilities of classes: the answer is the most probable one, of a multi-label net every class above a half."""

    unit = 1.0

    def answers(self, found, net, labels):
        if labels.ndim == 2:
            ours, theirs = found >= HALF, net >= HALF
            both, either = np.sum(ours & theirs), np.sum(ours | theirs)
            agreement = float(both / either) if either else 1.0
            return agreement, hamming_loss(found, labels, HALF), hamming_loss(net, labels, HALF)
        ours, theirs = found.argmax(axis=1), net.argmax(axis=1)
        errors = (100 * float(np.mean(answers != labels)) for answers in (ours, theirs))
        return float(np.mean(ours == theirs)), *errors


@dataclass(frozen=True)
class Parity:
    """An export compared with its net.

    Attributes:
        form: saved_model, onnx, or a variant of tflite.
        difference: the largest of two probabilities, or of two numbers of boxes as shares of the crop or the image.
        agreement: the share of images with the same top class, or with boxes that meet by more than half; of a multi-label net,
            of the classes that either of the two finds in an image, the share that both find. Most answers are no, which would
            hide all others.
        error, net_error: top-1 errors, or box errors, in percent; of a multi-label net Hamming losses.
        size: bytes on disk.
        seconds, net_seconds: for an image, without loading.
        images: that both were run on.
    """

    form: str
    difference: float
    agreement: float
    error: float
    net_error: float
    size: int
    seconds: float
    net_seconds: float
    images: int


PROBABILITIES = Probabilities()


def compare(
    form: str,
    path: Path,
    opened: Callable[[Path], Callable[[Any], np.ndarray]],
    images: Sequence[Any],
    net: np.ndarray,
    net_seconds: float,
    labels: np.ndarray,
    rules: Export,
    outputs: Outputs = PROBABILITIES,
) -> Parity:
    """Runs an export on images and compares it with its net.

    Args:
        form: its name.
        path: its file or folder.
        opened: a function of a path that returns a function of one image to outputs (classes,).
        images: n of them, as that function takes them.
        net: the net's outputs, (n, classes).
        net_seconds: that the net took for an image.
        labels: (n,); of a multi-label net (n, classes), of boxes (n, 5).
        rules: the limits.
        outputs: what they mean.

    Raises:
        UserError: it differs by more than its limit.
    """
    with without_noise():
        run = opened(path)
        run(images[0])  # not timed, because the first call does more than the others; the net's is not timed either
    began = time.perf_counter()
    found = np.stack([run(image) for image in images])
    seconds = (time.perf_counter() - began) / len(labels)
    agreement, error, net_error = outputs.answers(found, net, labels)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    parity = Parity(
        form=form,
        difference=float(np.abs(found - net).max()) / outputs.unit,
        agreement=agreement,
        error=error,
        net_error=net_error,
        size=sum(file.stat().st_size for file in files),
        seconds=seconds,
        net_seconds=net_seconds,
        images=len(labels),
    )
    _require_parity(parity, rules, isinstance(outputs, Probabilities) and labels.ndim == 2)
    return parity


def _require_parity(parity: Parity, rules: Export, multi_label: bool) -> None:
    """Refuses an export that differs from its net by more than the limit of its form."""
    if parity.form in ("dynamic", "int8"):
        if not parity.agreement >= rules.min_agreement:
            of_what = "classes that one of the two finds in an image" if multi_label else "images"
            raise UserError(
                f"An export must have its net's answer for export.min_agreement={rules.min_agreement:g} of the {of_what}. "
                f"Received: {parity.form} with {parity.agreement:.3f}, measured on {parity.images} images. "
                "Nothing was written. --set=export.min_agreement=0 writes every file whatever its answers."
            )
        return
    name, limit = "max_difference", rules.max_difference
    if parity.form == "float16":
        name, limit = "max_difference_float16", rules.max_difference_float16
    if not parity.difference <= limit:
        raise UserError(
            f"An export's outputs must be its net's within export.{name}={limit:g}. "
            f"Received: {parity.form}, which differs by {parity.difference:.3g}. Nothing was written."
        )
