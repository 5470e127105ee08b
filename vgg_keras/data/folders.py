"""A folder as a data set: `train/CLASS/*` and `val/CLASS/*`, or one level of class folders with a share held out.

With `data.validation=held_out` the share is held out of `train/`, and `val/` is the test's.
"""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data, UserError
from vgg_keras.data.splits import Source, Split, held_out
from vgg_keras.files import printable, user_path


def open_folder(data: Data) -> Source:
    """The data set in the folder `data.source`; files are listed, sorted by name, and read while training runs.

    Raises:
        UserError: an empty folder or class, one class only, `train` without `val`, or classes that differ between them.
    """
    root = user_path(data.source)
    folders, test = _folders(root), None
    if "train" in folders or "val" in folders:
        for split in ("train", "val"):
            if split not in folders:
                other = next((name for name in folders if name not in ("train", "val")), None)
                hint = (
                    f"Rename {other}/ to {split}/, if it holds them."
                    if other
                    else "Or give the class folders' own parent."
                )
                raise UserError(
                    f"A folder with train/ needs val/ and the reverse. Received: {root} without {split}/. {hint}"
                )
        classes, train = _list(root / "train")
        val_classes, val = _list(root / "val")
        _require_same_classes(root, classes, val_classes)
        division = "its own train/ and val/"
        if data.validation == "held_out":
            test = val
            train, val = _hold_out(root / "train", train, data.holdout)
            division = f"about {data.holdout:.0%} of each class of train/ held out, its val/ for the test"
    else:
        classes, files = _list(root)
        train, val = _hold_out(root, files, data.holdout)
        division = f"about {data.holdout:.0%} of each class held out"
    return Source(
        name=data.source,
        description=f"{printable(root)}: {len(classes)} classes, {division}",
        classes=classes,
        train=_split(root, train),
        val=_split(root, val),
        test=test and _split(root, test),
    )


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that a test names: the folder's description, its classes, and the split `val`, `train`, `test` or `all`.

    Unlike a training, a test needs only those of train/ and val/ that hold its images, and `all` of class folders leaves
    out none, however few.

    Raises:
        UserError: as in `open_folder`.
    """
    root = user_path(data.source)
    given = [part for part in ("val", "train") if part in _folders(root)]
    name = name or ("test" if given and data.validation == "held_out" else "val")
    whole = {"val": "val", "train": "train"} if data.validation == "own" else {"test": "val"}  # a folder for each split
    if given and (name == "all" or whole.get(name) in given):
        parts = given if name == "all" else [whole[name]]
        listed = [_list(root / part) for part in parts]
        if len(listed) == 2:
            _require_same_classes(root, listed[1][0], listed[0][0])
        classes, division = listed[0][0], " and ".join(f"{part}/" for part in parts)
        files = [file for _, found in listed for file in found]
    elif not given and name == "all":
        (classes, files), division = _list(root), "all of each class"
    else:
        source = open_folder(data)
        return source.description, source.classes, name, source.split(name)
    return f"{printable(root)}: {len(classes)} classes, {division}", classes, name, _split(root, files)


def of_files(paths: list[str]) -> Split:
    """These files as a split, in their order, without labels that mean anything."""
    return dataclasses.replace(_split(Path(), [(path, 0) for path in paths]), name=lambda image: paths[image], root="")


def _hold_out(root: Path, files: list[tuple[str, int]], share: float) -> tuple[list, list]:
    """The files that are trained on, and those that validate: this share of each class."""
    counts = np.bincount([label for _, label in files])
    validates = np.concatenate([held_out(count, share) for count in counts])
    if not validates.any():
        raise UserError(
            f"A class needs {math.ceil(1 / share)} images to hold one out (data.holdout={share:g}). "
            f"Received: {root}, where none has so many. Name a larger share, or put images into train/ and val/."
        )
    train = [file for file, held in zip(files, validates, strict=True) if not held]
    return train, [file for file, held in zip(files, validates, strict=True) if held]


def _require_same_classes(root: Path, train: tuple[str, ...], val: tuple[str, ...]) -> None:
    if only := sorted(set(train) ^ set(val)):
        where = "train" if only[0] in train else "val"
        raise UserError(
            f"train/ and val/ must hold the same classes. Received: {root}, where {only[0]!r} is in {where}/ only"
            + (f" (and {len(only) - 1} more differ)." if len(only) > 1 else ".")
        )


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))


def _list(root: Path) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """Class names and (path, label) of every file below them, hidden ones left out, ordered by class and path."""
    classes = tuple(_folders(root))
    if len(classes) < 2:
        raise UserError(
            f"A data folder holds a folder of images for each of two or more classes. Received: {root} with {len(classes)}: "
            f"{', '.join(classes) or 'none'}."
        )
    files = []
    for label, name in enumerate(classes):
        paths = sorted(_files(root / name))
        if not paths:
            raise UserError(f"Every class folder must hold images. Received: {root / name}, which is empty.")
        files += [(path, label) for path in paths]
    return classes, files


def _files(folder: Path) -> Iterator[str]:
    def refuse(error: OSError):  # else an unreadable folder would look empty
        raise error

    for inside, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(inside, name) for name in names if not name.startswith("."))


def _split(root: Path, files: list[tuple[str, int]]) -> Split:
    names = [path for path, _ in files]
    paths = tf.constant([os.fsencode(path) for path in names])  # a name need not be UTF-8
    labels = tf.constant([label for _, label in files], tf.int32)

    def stamp(image: int) -> str:
        try:
            status = os.stat(names[image])
        except OSError as error:  # such as a link to nowhere: the scan reads it and says so
            return f"{names[image]} {error}"
        return f"{os.path.abspath(names[image])} {status.st_size} {status.st_mtime_ns}"

    def name(image: int) -> str:
        return printable(os.path.relpath(names[image], root))

    return Split(
        size=len(files),
        read=lambda image: (tf.io.read_file(tf.gather(paths, image)), tf.gather(labels, image)),
        name=name,
        root=str(root),
        stamp=stamp,
    )
