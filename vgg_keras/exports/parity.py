"""Whether an export says what its net says: both asked about the same images, one at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.config import Export
from vgg_keras.errors import UserError
from vgg_keras.log_filter import without_noise


@dataclass(frozen=True)
class Parity:
    """An export beside its net.

    Attributes:
        form: saved_model, onnx, or a variant of tflite.
        difference: the largest of two probabilities.
        agreement: the share of images with the same top class.
        error, net_error: top-1 errors in percent.
        size: bytes on disk.
        seconds, net_seconds: for an image, loading left out.
        images: that both were asked about.
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


def compare(
    form: str,
    path: Path,
    opened: Callable[[Path], Callable[[Any], np.ndarray]],
    images: Sequence[Any],
    net: np.ndarray,
    net_seconds: float,
    labels: np.ndarray,
    rules: Export,
) -> Parity:
    """Asks an export and compares.

    Args:
        form: its name.
        path: its file or folder.
        opened: of a path, returns a function of one image to probabilities (classes,).
        images: n of them, as that function takes them.
        net: the net's.
        net_seconds: that they took, for an image.
        labels: (n,).
        rules: the limits.

    Raises:
        UserError: it differs by more than its limit.
    """
    with without_noise():
        ask = opened(path)
        ask(images[0])  # what only the first call does is left out, as it is of the net's seconds
    began = time.perf_counter()
    found = np.stack([ask(image) for image in images])
    seconds = (time.perf_counter() - began) / len(labels)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    parity = Parity(
        form,
        float(np.abs(found - net).max()),
        float(np.mean(found.argmax(axis=1) == net.argmax(axis=1))),
        100 * float(np.mean(found.argmax(axis=1) != labels)),
        100 * float(np.mean(net.argmax(axis=1) != labels)),
        sum(file.stat().st_size for file in files),
        seconds,
        net_seconds,
        len(labels),
    )
    limit = rules.max_difference_float16 if form == "float16" else rules.max_difference
    if form in ("dynamic", "int8"):
        if not parity.agreement >= rules.min_agreement:
            raise UserError(
                f"An export must have its net's top class for export.min_agreement={rules.min_agreement:g} of the images. "
                f"Received: {form} with {parity.agreement:.3f} of {parity.images}. Nothing was left."
            )
    elif not parity.difference <= limit:
        name = "max_difference_float16" if form == "float16" else "max_difference"
        raise UserError(
            f"An export's probabilities must be its net's within export.{name}={limit:g}. "
            f"Received: {form}, which differs by {parity.difference:.3g}. Nothing was left."
        )
    return parity
