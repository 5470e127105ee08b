"""Rows of scores, (images, classes): on the disk where they would fill the memory, and read in blocks.

30,000 images of ImageNet-21k's 21,841 classes have 2.6 GB of posteriors, and a test of several scales holds several such
arrays. A mapped file is an array as any other; its pages are released block by block.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vgg_keras.files import writing

IN_MEMORY = 2**28  # bytes of an array; a larger one is a mapped file
BLOCK = 2**25  # bytes that are read at once


def zeros(shape: tuple[int, int], folder: Path | None) -> np.ndarray:
    """Rows to write into, (images, classes) float32.

    Args:
        shape: images and classes.
        folder: where a file without a name takes those that are too many for the memory; it is gone with the array. None:
            the system's folder for temporary files.

    Raises:
        DiskFullError: there is no room for it.
    """
    size = 4 * shape[0] * shape[1]
    if size <= IN_MEMORY:
        return np.zeros(shape, np.float32)
    folder = Path(folder or tempfile.gettempdir())
    with writing(folder), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a mapped file that finds the disk full ends the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, np.float32, "r+", shape=shape)


def copy(array: np.ndarray, folder: Path | None) -> np.ndarray:
    """The same rows to write into; `folder` as in `zeros`."""
    made = zeros(array.shape, folder)
    for part, block in blocks(array):
        made[part] = block
        release(made)
    return made


def blocks(array: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The rows in order, as many at once as BLOCK has room for, each block with its place; it is valid until the next."""
    rows = max(1, BLOCK // (array.itemsize * max(1, array.shape[1])))
    for first in range(0, len(array), rows):
        part = slice(first, min(first + rows, len(array)))
        yield part, np.asarray(array[part])
        release(array)


def columns(array: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The columns in order, as many at once as BLOCK has room for, each block with its place."""
    many = max(1, BLOCK // (array.itemsize * max(1, len(array))))
    for first in range(0, array.shape[1], many):
        place = slice(first, min(first + many, array.shape[1]))
        found = np.empty((len(array), place.stop - first), array.dtype)
        for part, block in blocks(array):
            found[part] = block[:, place]
        yield place, found


def release(array: np.ndarray) -> None:
    """Gives the pages of a mapped file back: what was written stays in the file, and the memory is the system's again."""
    if isinstance(array, np.memmap) and array.mode != "c" and isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
