"""A folder as a data set: `train/CLASS/*` and `val/CLASS/*`, or one level of class folders with a share held out.

With `data.validation=held_out` the share is held out of `train/`, and `val/` is the test's.
"""

import dataclasses
import math
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import iterators  # noqa: F401, for the end of a process: `_split` calls Python
from vgg_keras.data.headers import FIRST_BYTES, KINDS, is_image
from vgg_keras.data.splits import ChangedError, Source, Split, held_out
from vgg_keras.errors import UserError
from vgg_keras.paths import printable, user_path

_SMALL = 2**20  # bytes: a file up to this size is read whole sooner than it is opened twice


def open_folder(data: Data) -> Source:
    """The data set in the folder `data.source`; files are listed, sorted by name, and read while training runs.

    Raises:
        UserError: an empty folder or class, one class only, `train` without `val`, or classes that differ between them.
    """
    root, test, listing = user_path(data.source), None, _Listing()
    folders = _folders(root, [])
    _require_split_names(root, folders)
    if "train" in folders:
        classes, train = listing.classes(root / "train")
        val_classes, val = listing.classes(root / "val")
        _require_same_classes(root, classes, val_classes)
        division = "its own train/ and val/"
        if data.validation == "held_out":
            test = val
            train, val = _hold_out(root / "train", train, data.holdout)
            division = f"about {data.holdout:.0%} of each class of train/ held out, its val/ for the test"
    else:
        classes, files = listing.classes(root)
        train, val = _hold_out(root, files, data.holdout)
        division = f"about {data.holdout:.0%} of each class held out"
    return Source(
        name=printable(data.source),
        description=f"{printable(root)}: {len(classes)} classes, {division}",
        classes=classes,
        train=_split(root, train, classes, listing.notes),
        val=_split(root, val, classes, listing.notes),
        test=test and _split(root, test, classes, listing.notes),
    )


# Folders that are splits and no classes, by what they must be called; a test set is never one to validate on.
_SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "vali", "dev", "eval"),
    "test": ("test", "testing", "tst"),
}


def _require_split_names(root: Path, folders: list[str]) -> None:
    """Refuses train/ without val/, the reverse, and splits of other names, which would be taken for classes."""
    splits = [name for names in _SPLIT_NAMES.values() for name in names]
    if not {"train", "val"} & set(folders) and not (
        len(folders) > 1 and all(name.lower() in splits for name in folders)
    ):
        return
    missing = [split for split in ("train", "val") if split not in folders]
    if not missing:
        return
    others = {split: next((name for name in folders if name.lower() in _SPLIT_NAMES[split]), None) for split in missing}
    renamed = [f"Rename {printable(name)}/ to {split}/, if it holds them." for split, name in others.items() if name]
    if renamed:
        hint = " ".join(renamed)
    elif "train" in folders:
        hint = f"Or give {printable(root / 'train')}, of which a share of each class is held out to validate."
    else:
        hint = "Or give the class folders' own parent."
    without = " and ".join(f"{split}/" for split in missing)
    raise UserError(
        f"A folder with train/ needs val/ and the reverse. Received: {printable(root)} without {without}. {hint}"
    )


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that a test names: the folder's description, its classes, and the split `val`, `train`, `test` or `all`.

    Unlike a training, a test needs only those of train/ and val/ that hold its images, and `all` of class folders leaves
    out none, however few.

    Raises:
        UserError: as in `open_folder`.
    """
    root, listing = user_path(data.source), _Listing()
    given = [part for part in ("val", "train") if part in _folders(root, [])]
    name = name or ("test" if given and data.validation == "held_out" else "val")
    whole = {"val": "val", "train": "train"} if data.validation == "own" else {"test": "val"}  # a folder for each split
    if given and (name == "all" or whole.get(name) in given):
        parts = given if name == "all" else [whole[name]]
        listed = [listing.classes(root / part) for part in parts]
        if len(listed) == 2:
            _require_same_classes(root, listed[1][0], listed[0][0])
        classes, division = listed[0][0], " and ".join(f"{part}/" for part in parts)
        files = [file for _, found in listed for file in found]
    elif not given and name == "all":
        _require_split_names(root, _folders(root, []))
        (classes, files), division = listing.classes(root), "all of each class"
    else:
        source = open_folder(data)
        return source.description, source.classes, name, source.split(name)
    split = _split(root, files, classes, listing.notes)
    return f"{printable(root)}: {len(classes)} classes, {division}", classes, name, split


def of_files(paths: list[str]) -> Split:
    """These files as a split, in their order, without labels that mean anything."""
    return dataclasses.replace(
        _split(Path(), [(path, 0) for path in paths]), name=lambda image: printable(paths[image]), root="", labels=None
    )


def _hold_out(root: Path, files: list[tuple[str, int]], share: float) -> tuple[list, list]:
    """The files that are trained on, and those that validate: this share of each class."""
    counts = np.bincount([label for _, label in files])
    validates = np.concatenate([held_out(count, share) for count in counts])
    if not validates.any():
        raise UserError(
            f"A class needs {math.ceil(1 / share)} images to hold one out (data.holdout={share:g}). "
            f"Received: {printable(root)}, where none has so many. Name a larger share, or put images into train/ and val/."
        )
    train = [file for file, held in zip(files, validates, strict=True) if not held]
    return train, [file for file, held in zip(files, validates, strict=True) if held]


def _require_same_classes(root: Path, train: tuple[str, ...], val: tuple[str, ...]) -> None:
    if only := sorted(set(train) ^ set(val)):
        where = "train" if only[0] in train else "val"
        raise UserError(
            f"train/ and val/ must hold the same classes. Received: {printable(root)}, where '{only[0]}' is in {where}/ only"
            + (f" (and {len(only) - 1} more differ)." if len(only) > 1 else ".")
        )


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, ordered by path; hidden ones are left out, links are followed as in a data set."""
    return sorted(_Listing().files(folder))


class _Listing:
    """The images below class folders, and what a user should know of how they were found.

    Links to folders are followed. A folder that is reached twice in one class is read once, and a link to a folder above
    itself is not followed: both are noted, and so is a folder that two classes or two splits share.
    """

    def __init__(self):
        self.notes: list[str] = []
        self._places: dict[tuple[int, int], str] = {}  # device and inode of each folder, and where it was met first

    def classes(self, root: Path) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """Class names and (path, label) of every file below them, hidden ones left out, ordered by class and path."""
        folders = _folders(root, self.notes)
        names = tuple(map(printable, folders))
        if len(names) < 2:
            raise UserError(
                "A data folder holds a folder of images for each of two or more classes. "
                f"Received: {printable(root)} with {len(names)}: {', '.join(names) or 'none'}."
            )
        files = []
        for label, folder in enumerate(folders):
            paths = sorted(self.files(root / folder))
            if not paths:
                noted = [note for note in self.notes if note.startswith(f"{printable(root / folder)}: ")]
                raise UserError(
                    f"Every class folder must hold images. Received: {printable(root / folder)}, which is empty."
                    + (f" {noted[0]}." if noted else "")
                )
            files += [(path, label) for path in paths]
        return names, files

    def files(self, folder: Path) -> Iterator[str]:
        """Every file below a folder, hidden ones left out."""
        above = {_identity(parent) for place in (folder.absolute(), folder.resolve()) for parent in place.parents}
        of_class: set[tuple[int, int]] = set()
        folders, links = [(str(folder), False)], []
        while folders or links:
            # links last, so that a linked folder keeps its own place
            inside, shared = folders.pop() if folders else links.pop()
            identity = _identity(inside)
            if identity in above or identity in of_class:
                where = "above it" if identity in above or _is_above(inside) else "of its class that is read already"
                self.notes.append(f"{printable(inside)}: a link to a folder {where}, which is not followed")
                continue
            of_class.add(identity)
            if not shared and identity in self._places:
                other = printable(self._places[identity])
                self.notes.append(f"{printable(inside)}: the same folder as {other}; its images are read for both")
            shared = shared or identity in self._places
            self._places.setdefault(identity, inside)
            for entry in os.scandir(inside):
                if entry.name.startswith("."):
                    continue
                if not _is_folder(entry):
                    yield entry.path  # whatever it is: the scan names what is no image
                else:
                    (links if entry.is_symlink() else folders).append((entry.path, shared))
            for waiting in (folders, links):
                waiting.sort(reverse=True)


def _folders(root: Path, notes: list[str]) -> list[str]:
    """The names of the folders in `root`, hidden ones left out; links that lead nowhere are noted."""
    found = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            found.append(entry.name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            notes.append(f"{printable(entry.path)}: a link that leads nowhere, which is left out")
    return found


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_above(link: str) -> bool:
    """Whether a link's folder contains the link."""
    return Path(link).parent.resolve().is_relative_to(Path(link).resolve())


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _no_image(mode: int, size: int) -> str:
    """Why a file cannot hold an image, judged without opening it, in a few words; empty where it may hold one."""
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        return f"{kind}, where a file is needed"
    return "" if size else "an empty file"


class _Files:
    """Files as they were when they were listed, and whether they still are when they are read.

    Attributes:
        paths: of the files.
        modes, sizes, times: what the system said of each: its kind, its bytes, its nanoseconds of change.
        errors: why the system said nothing of some, by their number.
    """

    def __init__(self, paths: list[str]):
        self.paths, self.errors = paths, {}
        rows = np.zeros((len(paths), 3), np.int64)
        for image, path in enumerate(paths):
            try:
                status = os.stat(path)
                rows[image] = status.st_mode, status.st_size, status.st_mtime_ns
            except OSError as error:  # such as of a link to nowhere: the scan names it
                self.errors[image] = error.strerror
        self.modes, self.sizes, self.times = rows.T

    def stamp(self, image: int) -> str:
        """Words that change when the file does."""
        return f"{os.path.abspath(self.paths[image])} {self.sizes[image]} {self.times[image]}"

    def inspect(self, image: int, max_bytes: int) -> str:
        """Why a file is not to be read, in a few words; empty where it is. Of a large one the first bytes are judged."""
        size = int(self.sizes[image])
        if reason := self.errors.get(image) or _no_image(int(self.modes[image]), size):
            return reason
        if size > max_bytes:
            return f"{size:,} bytes, more than data.max_file_bytes={max_bytes}"
        if size <= _SMALL:
            return ""
        try:
            with open(os.open(self.paths[image], os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                return "" if is_image(file.read(FIRST_BYTES)) else f"no {KINDS} file"
        except OSError as error:
            return error.strerror

    def require_unchanged(self, images: np.ndarray) -> np.int64:
        """Refuses files that are about to be read and are no longer those that were listed; returns how many were checked.

        TensorFlow would wait for ever at a FIFO, and read a device until the memory is full.

        Raises:
            ChangedError: one is another, or none.
        """
        for image in images:
            self._require_unchanged(image)
        return np.int64(len(images))

    def _require_unchanged(self, image: np.int64) -> None:
        path = self.paths[image]
        try:
            now = os.stat(path)
        except OSError as error:
            raise ChangedError(f"{printable(path)}: {error.strerror}") from None
        reason = _no_image(now.st_mode, now.st_size)
        if not reason and now.st_size != self.sizes[image]:
            reason = f"{now.st_size:,} bytes, another file than when the run began"
        if reason:
            raise ChangedError(f"{printable(path)}: {reason}")

    def changed(self, image: int) -> bool:
        """Whether a file was written anew; one that is gone is named where it is read."""
        try:
            return os.stat(self.paths[image]).st_mtime_ns != self.times[image]
        except OSError:
            return False


def _split(root: Path, files: list[tuple[str, int]], classes: tuple[str, ...] = (), notes: Sequence[str] = ()) -> Split:
    listed = _Files([path for path, _ in files])
    labels = np.array([label for _, label in files], np.int32)
    paths = tf.constant([os.fsencode(path) for path in listed.paths])  # a name need not be UTF-8
    table = tf.constant(labels)

    def require_unchanged(images):
        return tf.numpy_function(listed.require_unchanged, [tf.reshape(images, [-1])], tf.int64)

    return Split(
        size=len(files),
        read=lambda image: (tf.io.read_file(tf.gather(paths, image)), tf.gather(table, image)),
        require_unchanged=require_unchanged,
        name=lambda image: printable(os.path.relpath(listed.paths[image], root)),
        root=printable(root),
        stamp=listed.stamp,
        inspect=listed.inspect,
        changed=listed.changed,
        labels=labels,
        classes=classes,
        notes=tuple(notes),
    )
