"""Boxes by arrays alone: Pillow's turned pictures and sums by hand are the truth."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.data.images import ORIENTATIONS
from tests.data.rectangles import STORED
from vgg_keras.data.boxes import Boxes, as_stored, cut, in_window, problem, shown_size, target


def edges(mask):
    """xmin, ymin, xmax, ymax of what is white in (height, width)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def drawn(orientation):
    """A white rectangle: its box, the upright picture's height and width, and the mask that a file of this orientation holds."""
    box, height, width = [5, 7, 21, 12], 30, 50
    picture = PIL.Image.new("L", (width, height))
    picture.paste(255, tuple(box))
    stored = picture.transpose(STORED[orientation]) if orientation > 1 else picture
    return box, (height, width), np.asarray(stored) > 0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_box_is_where_pillow_stores_it(orientation):
    box, shown, mask = drawn(orientation)
    assert shown_size(*mask.shape, orientation) == shown
    boxes, sizes = np.array([box, box], np.float32), np.array([mask.shape] * 2)
    found = as_stored(boxes, sizes, np.array([orientation] * 2))
    assert found.tolist() == [edges(mask)] * 2
    assert as_stored(boxes, sizes, None) is boxes


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_window_of_the_stored_image_shows_the_box_of_the_upright_one(orientation, flipped):
    """The window is cut out of the mask, turned upright by Pillow and mirrored; the box there is counted."""
    _, _, mask = drawn(orientation)
    x, y, *_ = edges(mask)
    top, left = (min(max(0, low - 3), side - 28) for low, side in zip((y, x), mask.shape, strict=True))
    window = top, left, 28, 28  # height, width: all of the box is inside
    pixels = PIL.Image.fromarray(mask[top : top + 28, left : left + 28])
    back = {6: PIL.Image.Transpose.ROTATE_270, 8: PIL.Image.Transpose.ROTATE_90}  # the others undo themselves
    upright = pixels.transpose(back.get(orientation, STORED.get(orientation))) if orientation > 1 else pixels
    shown = np.asarray(upright)[:, ::-1] if flipped else np.asarray(upright)
    arguments = tf.constant(edges(mask), tf.float32), tf.constant(window, tf.float32)
    found = in_window(*arguments, tf.constant(orientation), tf.constant(flipped)).numpy() * 28
    assert np.abs(found - edges(shown)).max() < 1e-4
    if orientation == 1:
        assert np.abs(in_window(*arguments, None, tf.constant(flipped)).numpy() * 28 - found).max() < 1e-5


def test_a_target_is_the_class_the_centre_and_the_size():
    found = target(tf.constant(7), tf.constant([0.25, 0.5, 0.75, 1.5])).numpy()
    assert found.tolist() == [7.0, 0.5, 1.0, 0.5, 1.0] and found.dtype == np.float32


@pytest.fixture
def boxes():
    """Of three images: two boxes, none, three of which two are of one size."""
    lists = [[(0, 0, 2, 2), (1, 1, 5, 4)], [], [(0, 0, 3, 4), (1, 1, 5, 4), (9, 9, 10, 10)]]
    return Boxes.of_lists([np.array(one, np.float64).reshape(-1, 4) for one in lists], [0, 1, 0])


def test_each_image_has_its_own_boxes_in_any_order(boxes):
    assert boxes.counts.tolist() == [2, 0, 3] and boxes.of(1).size == 0
    assert boxes.of(2)[2].tolist() == [9, 9, 10, 10]
    turned = boxes.select(np.array([2, 0]))
    assert turned.counts.tolist() == [3, 2] and turned.of(1).tolist() == boxes.of(0).tolist()
    both = turned.followed_by(boxes)
    assert both.counts.tolist() == [3, 2, 2, 0, 3] and both.others.tolist() == [0, 0, 0, 1, 0]
    assert both.of(4).tolist() == boxes.of(2).tolist() and both.of(2).tolist() == boxes.of(0).tolist()
    one = boxes.select(np.array([0])).mapped(lambda values, owners: values[:1]).values
    assert one.tolist() == [[0, 0, 2, 2]]


def test_the_largest_box_is_that_of_the_largest_area_and_of_equal_ones_the_first(boxes):
    assert boxes.select(np.array([2, 0])).largest().tolist() == [[0, 0, 3, 4], [1, 1, 5, 4]]  # of two of 12 pixels


def test_a_picture_has_a_single_box_whatever_the_class(boxes):
    one = np.array([[0.0, 0.0, 1.0, 1.0]])
    found = Boxes.of_lists([one, one, np.repeat(one, 2, axis=0)], [0, 1, 0])
    assert found.single.tolist() == [True, False, False]  # the second has another one, of another class
    assert boxes.single.tolist() == [False, True, False]


def test_the_digest_is_of_the_boxes_and_of_whose_each_is(boxes):
    moved = Boxes(boxes.values, np.array([0, 1, 2, 5]), boxes.others)  # the second one's is now the second image's
    larger = boxes.mapped(lambda values, owners: values + (owners == 2)[:, None])
    assert len({boxes.sha256, moved.sha256, larger.sha256}) == 3
    assert boxes.select(np.arange(3)).sha256 == boxes.sha256


def test_a_function_of_boxes_is_given_whose_each_is(boxes):
    owners = []
    boxes.mapped(lambda values, found: owners.extend(found.tolist()) or values)
    assert owners == [0, 0, 2, 2, 2]


def test_boxes_are_cut_at_the_edges_of_their_own_images():
    found = cut(np.array([[-1, -1, 9, 9], [2, 3, 99, 99]], np.float32), np.array([[6, 8], [50, 40]]))  # height, width
    assert found.tolist() == [[0, 0, 8, 6], [2, 3, 40, 50]]


def test_the_first_wrong_box_of_several_is_named():
    right, wrong = [0.0, 0.0, 5.0, 5.0], [6.0, 0.0, 5.0, 5.0]
    assert problem(np.array([right, right]), 10, 10) == ""
    assert problem(np.array([right, wrong]), 10, 10).startswith("its box 6, 0, 5, 5 is inverted")
    assert problem(np.array([[0, 0, 1, 1]]), 2, 2) == ""  # a pixel of a tiny image is no share of it
    assert problem(np.array([[0, 0, 1, 1]]), 3, 3).endswith("in shares of the image, where pixels are needed")
