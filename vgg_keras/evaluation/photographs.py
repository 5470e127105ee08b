"""Photographs in whatever form a function is given them: paths, folders, arrays, Pillow images, one or several."""

import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from vgg_keras.config import Data
from vgg_keras.data.arrays import split_of_arrays
from vgg_keras.data.decoding import FILE_CHANNELS
from vgg_keras.data.image_files import of_files
from vgg_keras.data.listing import files_below
from vgg_keras.data.scan import inspected
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError, described
from vgg_keras.paths import local_path

# of the image files in a folder; browsers on Windows save photographs as .jfif
ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".bmp", ".gif", ".webp")
_RULE = "Photographs are a path, an array (height, width, channels) of uint8, a Pillow image, or a list of these."


class Photograph(NamedTuple):
    """A photograph in a file, by its path; or one in memory, by a name for messages, with its pixels."""

    name: str
    pixels: np.ndarray | None = None


# The photographs in order, and those in files and those in memory as splits, each with their places in the order.
Opened: TypeAlias = tuple[list[Photograph], list[tuple[list[int], Split]]]


def opened(images: Any, data: Data, channels: int = 3) -> Opened:
    """The photographs in order, and those in files and those in memory as splits, each with their places in the order.

    Args:
        images: as of `listed`.
        data: its rules of which files are read.
        channels: of the net.

    Raises:
        UserError: something else, a path that does not exist, or files that are no images: all of them are named.
    """
    found = listed(images, data.exif_orientation, channels)
    scanned = [(places, *inspected(split, data, channels)) for places, split in splits_of(found)]
    if bad := [str(one) for _, _, of_split in scanned for one in of_split]:
        raise UserError(f"Photographs must be image files. Received: {'; '.join(bad)}.")
    return found, [(places, split) for places, split, _ in scanned]


def listed(images: Any, upright: bool, channels: int = 3) -> list[Photograph]:
    """The photographs in order.

    Args:
        images: a path of a file or a folder, an array, a Pillow image, or several of these, as of `predict_images`.
        upright: whether Pillow's are turned by their EXIF orientation.
        channels: of the net: arrays have as many, or 3 where it takes grey or alpha.

    Raises:
        UserError: something else, a path that does not exist, or no photograph at all.
    """
    found: list[Photograph] = []
    for one in _each(images):
        if isinstance(one, str) and not one:  # which would be the folder that the process is in
            raise UserError(f"{_RULE} Received: an empty path.")
        if isinstance(one, str | os.PathLike):
            found += map(Photograph, _files(one))
        else:
            name = f"image {len(found)}"
            found.append(Photograph(name, _pixels(one, name, upright, channels)))
    if not found:
        raise UserError("Photographs or folders of them are needed. Received: none.")
    return found


def _each(images: Any) -> Iterator[Any]:
    """The paths, arrays and Pillow images one by one, whether one is given or several."""
    if isinstance(images, str | os.PathLike | Image.Image):
        yield images
    elif hasattr(images, "__array__") and np.asarray(images).dtype.kind not in "OU":
        yield from _arrays(images)
    # an open file would give its lines, and stand elsewhere then
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | memoryview | Mapping | io.IOBase):
        for one in images:
            if isinstance(one, str | os.PathLike | Image.Image):
                yield one
            elif hasattr(one, "__array__"):
                yield from _arrays(one)
            else:
                raise UserError(f"{_RULE} Received: {described(one)} among them.")
    else:
        raise UserError(f"{_RULE} Received: {described(images)}.")


def _arrays(images: Any) -> Iterable[np.ndarray]:
    """The images of a batch, or the one array."""
    array = np.asarray(images)
    return array if array.ndim == 4 else [array]


def _pixels(image: Any, name: str, upright: bool, channels: int) -> np.ndarray:
    """An array or a Pillow image as (height, width, channels) uint8; the name is for messages."""
    if isinstance(image, Image.Image):
        if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
            raise UserError(
                "A Pillow image must have 8 bits a channel, in grey, a palette, RGB, CMYK or YCbCr. "
                f"Received: one of mode {image.mode!r}."
            )
        if not all(image.size):
            raise UserError(f"A Pillow image must have pixels. Received: one of {image.width} x {image.height} pixels.")
        try:  # Pillow reads the pixels of an opened file now
            shown = ImageOps.exif_transpose(image) if upright else image
            return np.asarray(shown.convert(FILE_CHANNELS.get(channels, "RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"A Pillow image must be whole and open. Received: {name}: {error}.") from None
    array = np.asarray(image)
    array = array[..., np.newaxis] if array.ndim == 2 and channels == 1 else array
    taken = (channels, 3) if channels in FILE_CHANNELS else (channels,)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in taken or not array.size:
        raise UserError(
            f"An array of an image is (height, width, {channels}) of uint8{', RGB' * (channels == 3)} in 0-255. "
            f"Received: shape {array.shape} of {array.dtype}."
        )
    return array


def splits_of(found: Sequence[Photograph]) -> Iterator[tuple[list[int], Split]]:
    """A split of the photographs in files and one of those in memory, each with their places in the order."""
    files = [place for place, image in enumerate(found) if image.pixels is None]
    held = {}  # by their channels
    for place, image in enumerate(found):
        if image.pixels is not None:
            pixels = image.pixels[..., np.newaxis] if image.pixels.ndim == 2 else image.pixels  # Pillow's grey
            held.setdefault(pixels.shape[2], {})[place] = pixels
    if files:
        yield files, of_files([found[place].name for place in files])
    for images in held.values():
        places = list(images)
        split = split_of_arrays(list(images.values()), np.zeros(len(places), np.int32))
        yield places, dataclasses.replace(split, name=lambda image, places=places: found[places[image]].name)


def _files(given: str | os.PathLike) -> list[str]:
    """The file itself, or the pictures of a folder."""
    path = local_path(given, "Photographs")
    if not path.exists():
        raise UserError(f"Photographs must exist. Received: {path}, which does not.")
    if not path.is_dir():
        return [str(path)]
    inside = [file for file in files_below(path) if Path(file).suffix.lower() in ENDINGS and Path(file).is_file()]
    if not inside:
        raise UserError(f"A folder to predict holds pictures. Received: {path}, without any {', '.join(ENDINGS)}.")
    return inside
