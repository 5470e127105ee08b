"""Image files as a split: how they were when they were listed, and whether they still are when they are read.

A source that knows paths and labels, as a folder does, makes its splits by `split_of_files`.
"""

import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import iterators  # noqa: F401, for the end of a process: a split of files calls Python
from vgg_keras.data.headers import FIRST_BYTES, KINDS, is_image
from vgg_keras.data.splits import ChangedError, Split
from vgg_keras.data.stamps import stamps
from vgg_keras.paths import printable

_SMALL = 2**20  # bytes: reading a file up to this size takes less time than opening it twice


def split_of_files(
    root: Path,
    files: list[tuple[str, int]],
    classes: tuple[str, ...] = (),
    notes: Sequence[str] = (),
    rows: np.ndarray | None = None,
) -> Split:
    """The split of these files in their order.

    Args:
        root: the folder below which images are named.
        files: path and label of each.
        classes: the names of the labels.
        notes: lines for the user about how the files were found.
        rows: of a multi-label set the labels by their numbers, (numbers, classes) int8.
    """
    listed = _Files([path for path, _ in files])
    numbers = np.array([label for _, label in files], np.int32)
    labels = numbers if rows is None else rows[numbers]
    paths = tf.constant([os.fsencode(path) for path in listed.paths])  # a name need not be UTF-8
    table = tf.constant(labels)

    def require_unchanged(images):
        return tf.numpy_function(listed.require_unchanged, [tf.reshape(images, [-1])], tf.int64)

    return Split(
        size=len(files),
        read=lambda image: (tf.io.read_file(tf.gather(paths, image)), tf.gather(table, image)),
        require_unchanged=require_unchanged,
        name=lambda image: printable(*_below(root, [listed.paths[image]])),
        root=printable(root),
        stamps=stamps(_below(root, listed.paths), listed.sizes, listed.times, listed.changes),
        inspect=listed.inspect,
        changed=listed.changed,
        labels=labels,
        classes=classes,
        notes=tuple(dict.fromkeys(notes)),
    )


def _below(root: Path, paths: Sequence[str]) -> list[str]:
    """Paths as they are named below a folder."""
    start = f"{root}{os.sep}"
    return [path[len(start) :] if path.startswith(start) else os.path.relpath(path, root) for path in paths]


def of_files(paths: list[str]) -> Split:
    """These files as a split, in their order, without labels."""
    return dataclasses.replace(
        split_of_files(Path(), [(path, 0) for path in paths]),
        name=lambda image: printable(paths[image]),
        root="",
        labels=None,
    )


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _no_image(mode: int, size: int) -> str:
    """Why a file cannot hold an image, without opening it, in a few words; empty where it may hold one."""
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        return f"{kind}, where a file is needed"
    return "" if size else "an empty file"


class _Files:
    """Files as they were when they were listed, and whether they still are when they are read.

    Attributes:
        paths: of the files.
        modes, sizes, times, changes: of each: its kind, its bytes, and in ns when its content was modified and when anything of
            it was changed, as the system gave them. `cp -p` keeps the former time, and no tool can set the latter.
        errors: why the system gave none for some, by their number.
    """

    def __init__(self, paths: list[str]):
        self.paths, self.errors = paths, {}
        rows = np.fromiter(self._statuses(), np.dtype((np.int64, 4)), len(paths))
        self.modes, self.sizes, self.times, self.changes = np.ascontiguousarray(rows.T)

    def _statuses(self) -> Iterator[tuple[int, int, int, int]]:
        for image, path in enumerate(self.paths):
            try:
                status = os.stat(path)
                yield status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
            except OSError as error:  # such as of a link to nowhere: the scan names it
                self.errors[image] = error.strerror
                yield 0, 0, 0, 0

    def inspect(self, image: int, max_bytes: int) -> str:
        """Why a file is not to be read, in a few words; empty where it is. Of a large file the first bytes are inspected."""
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
        """Refuses files that are no longer those that were listed; returns how many were checked.

        TensorFlow would wait for ever at a FIFO, and read a device until the memory is full.

        Raises:
            ChangedError: a file is another one, or gone.
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
        """Whether a file was written anew; a deleted one is named where it is read."""
        try:
            return os.stat(self.paths[image]).st_mtime_ns != self.times[image]
        except OSError:
            return False
