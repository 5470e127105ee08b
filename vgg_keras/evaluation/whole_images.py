"""A net over whole images of any size: large ones in tiles, its FC layers over the windows of many images at once."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture
from vgg_keras.nets.architectures import costs

STRIDE = 32  # pixels from one position of the last map to the next: five poolings
WINDOWS = 256  # positions that go through the FC layers at once, so that reading their weights takes little of the time


class Tile(NamedTuple):
    """A part of images, with the pixels around it that its positions see.

    Attributes:
        images: (n, height, width, channels).
        axis: along which the images are cut, 1 or 2.
        first: of the tile's own positions in its last map, along that axis.
        end: behind the last of them; None: they are the image's last ones.
    """

    images: tf.Tensor
    axis: int
    first: int
    end: int | None


def tiles(images: tf.Tensor, pixels: int, halo: int) -> Iterator[Tile]:
    """Images (n, height, width, channels) as one tile where they have few pixels, else cut along their longer side.

    Tiles overlap by what a position sees, so their own positions, side by side, are the map of the whole image.

    Args:
        images: of one size.
        pixels: of a tile at most, all images together.
        halo: of the net.
    """
    shape = tf.shape(images).numpy()
    pixels = pixels // shape[0]
    if shape[1] * shape[2] <= pixels:
        yield Tile(images, 1, 0, None)
        return
    axis = 1 if shape[1] > shape[2] else 2
    length = shape[axis] // STRIDE
    tile = max(1, pixels // shape[3 - axis] // STRIDE - 2 * halo)
    for first in range(0, length, tile):
        last = min(first + tile, length)
        before = max(0, first - halo)
        # the last position sees pixels behind it, which make no position of their own
        end = shape[axis] if last + halo >= length else (last + halo) * STRIDE
        span = np.arange(before * STRIDE, end)
        own = None if last == length else last - before
        yield Tile(tf.gather(images, span, axis=axis), axis, first - before, own)


def halo(architecture: Architecture) -> int:
    """How many positions a tile must overlap its neighbours by: as far as a position of the last map sees beyond its own."""
    field = next(cost.receptive_field for cost in costs(architecture) if cost.layer.name == "block5_pool")
    return math.ceil((field - STRIDE) / 2 / STRIDE)


class Windows:
    """The FC layers over every window of last maps; the windows of many maps go through them together."""

    def __init__(self, fc: keras.Model):
        """
        Args:
            fc: of windows (n, k, k, channels) to (n, columns).
        """
        self._side, channels = fc.input_shape[1], fc.input_shape[3]
        self.columns = fc.output_shape[-1]
        windows = tf.TensorSpec([None, self._side, self._side, channels], fc.input.dtype)
        self.outputs = tf.function(lambda x: fc(x, training=False), [windows], jit_compile=False, autograph=False)

    def positions(self, last_map: np.ndarray) -> tuple[int, int]:
        """Rows and columns of the windows of a map (height, width, channels)."""
        return last_map.shape[0] - self._side + 1, last_map.shape[1] - self._side + 1

    def of(self, last_map: np.ndarray) -> Iterator[np.ndarray]:
        """The windows of one map, by rows, (n, k, k, channels), at most WINDOWS at once."""
        windows = np.lib.stride_tricks.sliding_window_view(last_map, (self._side, self._side), axis=(0, 1))
        rows, columns = np.indices(windows.shape[:2]).reshape(2, -1)
        for first in range(0, len(rows), WINDOWS):
            part = slice(first, first + WINDOWS)
            yield windows[rows[part], columns[part]].transpose(0, 2, 3, 1)  # (n, channels, k, k) -> (n, k, k, channels)

    def over(self, maps: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The outputs at all windows of maps, some at once: the place of each one's map (n,), and they (n, columns)."""
        held: list[np.ndarray] = []
        owners: list[int] = []
        for owner, last_map in enumerate(maps):
            for windows in self.of(last_map):
                held.append(windows)
                owners += [owner] * len(windows)
                if len(owners) >= WINDOWS:
                    yield np.array(owners), self.outputs(np.concatenate(held)).numpy()
                    held, owners = [], []
        if held:
            yield np.array(owners), self.outputs(np.concatenate(held)).numpy()
