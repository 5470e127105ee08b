"""What the scan found of each image, kept on disk by the image's stamp.

A scan that goes on writes what is new into files of their own, each once. Its end writes everything into one file. So a scan that
is interrupted loses a minute, and a file of a million images is not written again each minute.
"""

import contextlib
import functools
import hashlib
import os
import secrets
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import open_regular, replacing, sweep
from vgg_keras.paths import user_path

# What is kept of a good image: a hash of the file's bytes, EXIF's orientation (1 to 8), height and width as stored, whether the
# file is a JPEG, and its label.
ROW = np.dtype(
    [
        ("fingerprint", np.int64),
        ("orientation", np.int32),
        ("height", np.int32),
        ("width", np.int32),
        ("jpeg", np.bool_),
        ("label", np.int32),
    ]
)


class ScanCache:
    """The findings of one split's earlier scans, by the images' stamps.

    Attributes:
        bad: why some images cannot be decoded, by stamp.
    """

    def __init__(self, path: Path | None):
        """Reads the files. None, missing and damaged files are an empty cache: the images are inspected again."""
        self._path, self.bad = path, {}
        self._stamps, self._rows = np.zeros(0, np.uint64), np.zeros(0, ROW)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []
        self._new_bad: dict[int, str] = {}
        self._parts = list(path.parent.glob(f"{path.stem}.part-*.npz")) if path else []
        found = [_read(one) for one in [path, *self._parts] if one]
        if found:
            self._set(*(np.concatenate(arrays) for arrays in zip(*(one[:2] for one in found), strict=True)))
        for *_, bad in found:
            self.bad |= bad

    def __len__(self):
        return len(self._stamps) + len(self.bad)

    def known(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of images, zeros of those that are not known to be good, and which are."""
        if not len(self._stamps):
            return np.zeros(len(stamps), ROW), np.zeros(len(stamps), bool)
        places = np.minimum(np.searchsorted(self._stamps, stamps), len(self._stamps) - 1)
        good = self._stamps[places] == stamps
        return np.where(good, self._rows[places], np.zeros(1, ROW)), good

    def add(self, stamps: np.ndarray, rows: np.ndarray) -> None:
        """Keeps good images until the next `save`."""
        self._new.append((stamps, rows))

    def add_bad(self, stamp: int, reason: str) -> None:
        """The same of an image that cannot be decoded."""
        self._new_bad[stamp] = reason

    def save(self) -> None:
        """Writes what is new into a file of its own."""
        if self._path and (self._new or self._new_bad):
            part = self._path.with_name(f"{self._path.stem}.part-{secrets.token_hex(4)}.npz")
            stamps, rows = (np.concatenate([empty, *new]) for empty, new in zip(_EMPTY, self._take(), strict=True))
            self._write(part, stamps, rows, self._new_bad)
            self._parts.append(part)
        self._new_bad = {}

    def write(self, stamps: np.ndarray, rows: np.ndarray, bad: dict[int, str]) -> None:
        """Keeps these images and no others, in one file, so that it does not grow with a folder's history."""
        self._set(stamps, rows)
        self.bad = bad
        if self._path and self._write(self._path, self._stamps, self._rows, bad):
            for part in self._parts:
                with contextlib.suppress(OSError):  # a cache that several users share: the next scan reads it once more
                    part.unlink()

    def _take(self) -> tuple[list, list]:
        new, self._new = self._new, []
        return [stamps for stamps, _ in new], [rows for _, rows in new]

    def _set(self, stamps: np.ndarray, rows: np.ndarray) -> None:
        self._stamps, places = np.unique(stamps, return_index=True)  # which orders them
        self._rows = rows[places]

    def _write(self, path: Path, stamps: np.ndarray, rows: np.ndarray, bad: dict[int, str]) -> bool:
        """Writes a file; returns whether there was room."""
        texts = np.array(list(bad.values()), np.str_)
        try:
            with replacing(path) as temporary:
                np.savez(temporary, good=stamps, found=rows, bad=np.array(list(bad), np.uint64), reasons=texts)
        except OSError as error:  # the next run scans again; this one need not end
            print(f"the scan's result cannot be kept (runtime.cache_dir): {path}: {error.strerror}", file=sys.stderr)
            return False
        return True


_EMPTY = np.zeros(0, np.uint64), np.zeros(0, ROW)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The stamps, the rows and the bad images of a file; empty ones where it cannot be read."""
    try:
        with open_regular(path) as file, np.load(file) as arrays:
            good, rows, bad, reasons = (arrays[name] for name in ("good", "found", "bad", "reasons"))
        if rows.dtype != ROW or good.dtype != np.uint64 or len(rows) != len(good):
            return *_EMPTY, {}
        return good, rows, dict(zip(bad.tolist(), reasons.tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return *_EMPTY, {}


def cache_path(root: str, name: str, config: Config) -> Path | None:
    """The file of a split's findings, one for each division and each limit of sizes; None where nothing can be kept.

    Args:
        root: the split's folder.
        name: what the set calls the split.
    """
    data = config.data
    division = f" {data.holdout}" * (data.validation == "held_out")
    limits = f"{data.max_pixels} {data.max_file_bytes}"
    text = " ".join((os.path.abspath(root), data.source, name)) + f"{division} {limits}"
    key = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    folder = _folder(config.runtime.cache_dir)
    return folder and folder / f"scan-{key}.npz"


@functools.cache  # its message is printed once
def _folder(name: str) -> Path | None:
    try:
        folder = user_path(name)
    except UserError as error:  # a user without a home
        print(f"the scan's result cannot be kept (runtime.cache_dir): {error}", file=sys.stderr)
        return None
    sweep(folder)
    return folder
