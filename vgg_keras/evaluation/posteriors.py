"""Posteriors, the currency of section 4: one format on disk, and the mean over scales, protocols and nets."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.config import UserError
from vgg_keras.files import replacing


@dataclass(frozen=True)
class Posteriors:
    """What nets say of every image of a set.

    Attributes:
        probabilities: (images, classes) float32.
        labels: (images,) int32.
        ids: what each image is called.
        classes: their names, in the order of the columns.
        nets: how each of the averaged nets was asked: what it is, the protocol, the scales and the rest.
        done: (images,) bool; False where a row is not known yet.
        seconds: that it took.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    nets: tuple[dict[str, Any], ...]
    done: np.ndarray
    seconds: float


_WORDS = ("ids", "classes", "nets", "seconds")  # the rest are arrays


def save(posteriors: Posteriors, path: Path) -> None:
    """Writes an `.npz` file of arrays alone: `probabilities`, `labels`, `done`, and the rest as JSON in `description`."""
    words = json.dumps({name: getattr(posteriors, name) for name in _WORDS}).encode()
    with replacing(path) as temporary:
        np.savez(
            temporary,
            probabilities=posteriors.probabilities,
            labels=posteriors.labels,
            done=posteriors.done,
            description=np.frombuffer(words, np.uint8),
        )


def load(path: Path) -> Posteriors:
    """What `save` wrote, finished or not. Nothing in the file is run: it holds arrays alone, no pickles.

    Raises:
        UserError: no such file, or another one.
    """
    if path.is_dir():
        raise UserError(
            f"Posteriors are .npz files of an evaluation. Received: a folder. Did you mean {path}/posteriors.npz?"
        )
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            words = json.loads(arrays["description"].tobytes())
            probabilities, labels, done = arrays["probabilities"], arrays["labels"], arrays["done"]
        ids, classes = tuple(map(str, words["ids"])), tuple(map(str, words["classes"]))
        nets, seconds = tuple(map(dict, words["nets"])), float(words["seconds"])
        if (probabilities.shape, probabilities.dtype) != ((len(ids), len(classes)), np.float32):
            raise ValueError(f"{probabilities.dtype} probabilities of shape {probabilities.shape}")
        if (labels.shape, labels.dtype, done.shape, done.dtype) != ((len(ids),), np.int32, (len(ids),), np.bool_):
            raise ValueError(f"labels of shape {labels.shape}, done of shape {done.shape}")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(classes):
            raise ValueError("labels that are no classes")
        if not np.allclose(probabilities[done].sum(axis=1), 1, atol=1e-3):
            raise ValueError("rows that do not add up to 1")
    except FileNotFoundError:
        raise UserError(f"Posteriors are .npz files of an evaluation. Received: {path}, which is not there.") from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise UserError(
            f"Posteriors are .npz files of an evaluation. Received: {path}, another or a damaged file: {error}."
        ) from None
    return Posteriors(probabilities, labels, ids, classes, nets, done, seconds)


def mean(parts: Sequence[Posteriors], names: Sequence[str]) -> Posteriors:
    """The mean of posteriors of the same images and classes, as of several nets (4.5).

    Args:
        parts: one or more.
        names: what messages call them.

    Raises:
        UserError: the first difference between their images, classes or labels, or a part that is not finished.
    """
    first = parts[0]
    for part, name in zip(parts, names, strict=True):
        if not part.done.all():
            raise UserError(
                f"Posteriors must be finished. Received: {name}, with {part.done.sum():,} of {len(part.done):,} images. "
                "Run its evaluation again: it goes on where it stood."
            )
        rule = f"Posteriors are averaged over the same images and classes. Received: {names[0]} and {name}, where"
        if found := _first_difference(first.classes, part.classes):
            raise UserError(f"{rule} class {found}.")
        if found := _first_difference(first.ids, part.ids):
            raise UserError(f"{rule} image {found}.")
        if (first.labels != part.labels).any():
            image = int(np.argmax(first.labels != part.labels))
            classes = [first.classes[labels[image]] for labels in (first.labels, part.labels)]
            raise UserError(f"{rule} {first.ids[image]!r} is of class {classes[0]!r} and of class {classes[1]!r}.")
    total = sum(part.probabilities.astype(np.float64) for part in parts)
    return Posteriors(
        probabilities=(total / len(parts)).astype(np.float32),
        labels=first.labels,
        ids=first.ids,
        classes=first.classes,
        nets=tuple(net for part in parts for net in part.nets),
        done=first.done,
        seconds=sum(part.seconds for part in parts),
    )


def _first_difference(old: Sequence[str], new: Sequence[str]) -> str | None:
    """The first place where two lists differ, as `number: the one, the other`."""
    for place in range(max(len(old), len(new))):
        words = [repr(names[place]) if place < len(names) else "none" for names in (old, new)]
        if words[0] != words[1]:
            return f"{place}: {words[0]} and {words[1]}"
    return None
