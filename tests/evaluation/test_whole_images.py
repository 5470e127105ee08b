"""Tiles and windows of whole images against NumPy: together they are the map of the whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture
from vgg_keras.evaluation import whole_images
from vgg_keras.evaluation.whole_images import Windows, halo, tiles


def map_of(images, reach):
    """A net in NumPy: at each position the sum of its own 32 x 32 pixels and of those of `reach` positions around."""
    count, height, width, channels = images.shape
    rows, columns = height // 32, width // 32
    blocks = images[:, : 32 * rows, : 32 * columns].reshape(count, rows, 32, columns, 32, channels).sum(axis=(2, 4))
    padded = np.pad(blocks, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    span = range(2 * reach + 1)
    return sum(padded[:, down : down + rows, right : right + columns] for down in span for right in span)


def tiled(images, pixels, overlap, reach):
    """The tiles' own positions side by side, and the tiles."""
    found = list(tiles(tf.constant(images), pixels, overlap))
    axis = found[0].axis
    own = []
    for tile in found:
        assert tile.axis == axis
        part = [slice(None)] * 4
        part[axis] = slice(tile.first, tile.end)
        own.append(map_of(tile.images.numpy(), reach)[tuple(part)])
    return np.concatenate(own, axis=axis), found


@pytest.mark.parametrize("shape", [(1, 70, 1037, 1), (2, 900, 64, 1), (1, 290, 290, 2), (3, 33, 32, 1)])
@pytest.mark.parametrize("reach", [0, 1, 2])
def test_tiles_side_by_side_are_the_whole_map(random, shape, reach):
    images = random.integers(0, 9, shape).astype(np.float64)
    expected, (count, height, width, _) = map_of(images, reach), shape
    shorter = min(height, width)
    for positions in (1, 2 * reach + 1, 2 * reach + 3, 100):  # of a tile, along the longer side
        limit = count * shorter * 32 * positions
        found, parts = tiled(images, limit, reach, reach)
        assert np.array_equal(found, expected), (positions, len(parts))
        assert (len(parts) > 1) == (height * width > limit // count and max(height, width) // 32 > 1)
        if positions > 2 * reach:  # the last tile keeps the pixels behind the last position
            assert all(tf.size(part.images[..., 0]) <= limit + 31 * shorter * count for part in parts)


def test_a_smaller_overlap_would_not_do(random):
    images = random.integers(0, 9, (1, 64, 900, 1)).astype(np.float64)
    assert not np.array_equal(tiled(images, 64 * 32 * 7, 1, 2)[0], map_of(images, 2))


@pytest.mark.parametrize(("net", "expected"), [("A", 2), ("B", 2), ("D", 3), ("E", 4)])
def test_the_overlap_is_half_the_receptive_field_beyond_a_position(net, expected):
    """By hand: 150, 156, 212 and 268 pixels at the last pooling, of which 32 are the position's own."""
    assert halo(Architecture(net)) == expected


def test_the_windows_of_many_maps_go_through_the_fc_layers_together(random, monkeypatch):
    """Five at once; maps of 6, 1, 12 and 2 windows, against a loop."""
    monkeypatch.setattr(whole_images, "WINDOWS", 5)
    x = keras.Input((2, 2, 3))
    fc = keras.Model(x, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    kernel, bias = random.normal(size=(12, 4)).astype(np.float32), random.normal(size=4).astype(np.float32)
    fc.layers[-1].set_weights([kernel, bias])
    windows = Windows(fc)
    maps = [random.normal(size=(*size, 3)).astype(np.float32) for size in ((3, 4), (2, 2), (4, 5), (2, 3))]
    expected = [
        (owner, one[row : row + 2, column : column + 2].reshape(-1) @ kernel + bias)
        for owner, one in enumerate(maps)
        for row in range(one.shape[0] - 1)
        for column in range(one.shape[1] - 1)
    ]
    parts = list(windows.over(maps))
    owners, outputs = (np.concatenate(values) for values in zip(*parts, strict=True))
    difference = np.abs(outputs - [row for _, row in expected]).max()
    print(f"largest difference from a loop over {len(expected)} windows {difference:.2g}, in {len(parts)} parts")
    assert owners.tolist() == [owner for owner, _ in expected] and difference < 1e-5
    assert [windows.positions(one) for one in maps] == [(2, 3), (1, 1), (3, 4), (1, 2)]
    assert windows.columns == 4 and max(len(part) for part, _ in parts) < 2 * 5
