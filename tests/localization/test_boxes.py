"""Numbers of a net as boxes of an image: by hand, by counted pixels."""

import dataclasses

import numpy as np
import pytest

from vgg_keras.config import Architecture
from vgg_keras.data.rescaling import rescaled_size
from vgg_keras.localization.boxes import Geometry, in_crop, iou


def test_iou_is_that_of_counted_pixels():
    random = np.random.default_rng(1)
    for _ in range(50):
        low = random.integers(0, 30, (2, 2))
        boxes = np.concatenate([low, low + random.integers(0, 30, (2, 2))], axis=1)
        counted = np.zeros((2, 64, 64), bool)
        for image, (xmin, ymin, xmax, ymax) in zip(counted, boxes, strict=True):
            image[ymin:ymax, xmin:xmax] = True
        union_pixels = (counted[0] | counted[1]).sum()
        expected = (counted[0] & counted[1]).sum() / union_pixels if union_pixels else 0
        assert iou(boxes[0].astype(float), boxes[1].astype(float)) == pytest.approx(expected)


def test_a_box_of_a_crop_in_the_image_by_hand():
    """An image of 300 x 500 at Q=150: a crop of 100 at (top 20, left 40) is 200 pixels of the image at (40, 80)."""
    place = Geometry.of(300, 500, 150)
    assert place == Geometry(300, 500, (150, 250))
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.75, 1.5]])
    found = place.of_crop(boxes, np.array(20), np.array(40), 100)
    np.testing.assert_allclose(found, [[80, 40, 280, 240], [130, 140, 230, 340]])
    np.testing.assert_allclose(place.mirrored(found), [[220, 40, 420, 240], [270, 140, 370, 340]])
    # each crop has its own corner, and one that is rescaled by two factors has both: 7 x 10 at Q=5 is 5 x 7
    place = Geometry.of(7, 10, 5)
    assert place.rescaled == (5, 7)
    found = place.of_crop(np.array([[[0.0, 0.0, 1.0, 1.0]]] * 2), np.array([[0], [1]]), np.array([[0], [2]]), 4)
    np.testing.assert_allclose(found[:, 0], [[0, 0, 40 / 7, 28 / 5], [20 / 7, 7 / 5, 60 / 7, 35 / 5]])


def test_the_sides_are_those_of_the_rescaled_image(random):
    sizes = [(1, 2000), (2000, 1), *random.integers(20, 3000, (200, 2)).tolist()]
    for height, width in sizes:
        expected = tuple(int(side) for side in rescaled_size(height, width, 256))
        assert Geometry.of(height, width, 256).rescaled == expected, (height, width)


def test_a_nets_numbers_are_edges_by_hand():
    """Two boxes by centre and size, in shares of the crop and in its pixels; a negative size is a point."""
    numbers = np.array([[0.5, 0.25, 0.5, 0.25, 0.25, 0.5, -0.5, 0.25]], np.float32)
    expected = [[[0.25, 0.125, 0.75, 0.375], [0.25, 0.375, 0.25, 0.625]]]
    shares = Architecture("D", num_classes=2, crop=64, boxes="pcr")
    assert in_crop(numbers, shares).tolist() == expected
    assert in_crop(64 * numbers, dataclasses.replace(shares, box_unit="pixels")).tolist() == expected
    assert in_crop(numbers, shares).dtype == np.float64


def test_boxes_without_area_meet_nothing():
    point, line = np.array([3.0, 3, 3, 3]), np.array([0.0, 3, 9, 3])
    assert iou(point, point) == iou(line, line) == iou(point, np.array([0.0, 0, 9, 9])) == 0
    assert iou(np.array([0.0, 0, 2, 2]), np.array([[1.0, 1, 3, 3], [2, 0, 4, 2]])).tolist() == [1 / 7, 0]
