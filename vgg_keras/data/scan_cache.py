"""What the scan found of each image, kept on disk by the image's path, size and time."""

import functools
import hashlib
import os
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sweep
from vgg_keras.paths import user_path


class Found(NamedTuple):
    """What is kept of a good image.

    Attributes:
        fingerprint: of the file's bytes.
        orientation: EXIF's, 1 to 8.
        height, width: as stored.
        jpeg: whether the file is a JPEG.
        label: its class.
    """

    fingerprint: int
    orientation: int
    height: int
    width: int
    jpeg: bool
    label: int


_ROW = np.dtype(list(zip(Found._fields, (np.int64, np.int32, np.int32, np.int32, np.bool_, np.int32), strict=True)))


class ScanCache:
    """The findings of one split's earlier scans, by the number that `digest` makes of an image's stamp.

    Attributes:
        good: what was found of images that can be used.
        bad: why others cannot be decoded.
    """

    def __init__(self, path: Path | None):
        """Reads the file. None, a missing or a damaged file is an empty cache: the images are inspected again."""
        self.path = path
        self.good: dict[int, Found] = {}
        self.bad: dict[int, str] = {}
        if path is None:
            return
        try:
            with open(path, "rb") as file, np.load(file) as arrays:
                found = map(Found._make, arrays["found"][list(Found._fields)].tolist())
                good = dict(zip(arrays["good"].tolist(), found, strict=True))
                bad = dict(zip(arrays["bad"].tolist(), arrays["reasons"].tolist(), strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        self.good, self.bad = good, bad

    def write(self, stamps: list[int]) -> None:
        """Keeps what was found of these images and of no others, so that the file does not grow with a folder's history."""
        if self.path is None:
            return
        known = set(stamps)
        good = {stamp: found for stamp, found in self.good.items() if stamp in known}
        bad = {stamp: reason for stamp, reason in self.bad.items() if stamp in known}
        try:
            with replacing(self.path) as temporary:
                np.savez(
                    temporary,
                    good=np.array(list(good), np.uint64),
                    found=np.array(list(good.values()), _ROW),
                    bad=np.array(list(bad), np.uint64),
                    reasons=np.array(list(bad.values()), np.str_),
                )
        except OSError as error:  # the next run scans again; this one need not end
            print(
                f"the scan's result cannot be kept (runtime.cache_dir): {self.path}: {error.strerror}", file=sys.stderr
            )


def cache_path(root: str, name: str, config: Config) -> Path | None:
    """The file of a split's findings, one for each division and each limit of sizes; None where nothing can be kept.

    Args:
        root: the split's folder.
        name: what the set calls the split.
    """
    data = config.data
    division = f" {data.holdout}" * (data.validation == "held_out")
    limits = f"{data.max_pixels} {data.max_file_bytes}"
    key = digest(" ".join((os.path.abspath(root), data.source, name)) + f"{division} {limits}")
    folder = _folder(config.runtime.cache_dir)
    return folder and folder / f"scan-{key:016x}.npz"


@functools.cache  # its message is printed once
def _folder(name: str) -> Path | None:
    try:
        folder = user_path(name)
    except UserError as error:  # a user without a home
        print(f"the scan's result cannot be kept (runtime.cache_dir): {error}", file=sys.stderr)
        return None
    sweep(folder)
    return folder


def digest(text: str) -> int:
    """A number of 64 bits for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def findings_table(found: list[Found]) -> np.ndarray:
    """Findings as an array with a field for each of theirs."""
    return np.array(found, _ROW)
