"""Rows of boxes: packed into numbers and back, joined, read from files."""

import dataclasses

import numpy as np
import pytest

from tests.localization.toy import described
from vgg_keras.errors import UserError
from vgg_keras.evaluation.image_rows import save
from vgg_keras.localization.predicted_boxes import Layout, PredictedBoxes, Row, Slot, load, union


def test_rows_are_packed_and_joined():
    layout = Layout(truth=3, classes=4, slots=3, boxes=5)
    random = np.random.default_rng(0)
    slots = [
        Slot(label, random.uniform(size=(count, 4)), random.uniform(size=count))
        for label, count in ((2, 5), (0, 2), (2, 5))
    ]
    row = Row(random.uniform(size=(2, 4)), random.uniform(size=4), slots[0], slots[1:])
    back = layout.unpacked(layout.packed(row))
    np.testing.assert_allclose(back.truth, row.truth, rtol=1e-6)
    np.testing.assert_allclose(back.posteriors, row.posteriors, rtol=1e-6)
    assert [slot.label for slot in (back.true, *back.slots)] == [2, 0, 2]
    for one, other in zip([back.true, *back.slots], slots, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, rtol=1e-6)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
    one = np.ones((1, 4)), np.ones(1)
    other = Row(
        row.truth, np.zeros(4), Slot(2, *one), [Slot(3, *one)]
    )  # at this Q the true class is not among the best
    joined = union([row, other])
    assert (joined.true.label, len(joined.true.boxes)) == (2, 6)
    assert [(slot.label, len(slot.boxes)) for slot in joined.slots] == [(0, 2), (2, 5), (3, 1)]
    np.testing.assert_allclose(joined.posteriors, row.posteriors / 2)


def test_a_row_is_the_numbers_that_its_file_states():
    """Room for two true boxes, three classes, two slots of two boxes: 1 + 8, 3, and twice 2 + 10."""
    layout = Layout(truth=2, classes=3, slots=2, boxes=2)
    true = Slot(1, np.array([[1.0, 2, 3, 4]]), np.array([0.5]))
    row = Row(np.array([[5.0, 6, 7, 8]]), np.array([0.25, 0.75, 0]), true, [])
    expected = [1, 5, 6, 7, 8, 0, 0, 0, 0, 0.25, 0.75, 0, 1, 1, 1, 2, 3, 4, 0.5, *[0] * 5, -1, *[0] * 11]
    assert layout.columns == 36 and layout.packed(row).tolist() == expected
    assert layout.unpacked(layout.packed(row)).slots == []


def test_a_union_of_photographs_without_labels_has_no_true_boxes():
    unlabelled = Row(np.zeros((0, 4)), np.array([0.5, 0.5]), None, [Slot(0, np.ones((1, 4)), np.ones(1))])
    assert union([unlabelled]).true is None and [slot.label for slot in union([unlabelled]).slots] == [0]


def test_boxes_of_another_layout_are_refused(tmp_path):
    layout = Layout(truth=1, classes=2, slots=1, boxes=1)
    found = PredictedBoxes(
        boxes=np.stack(
            [layout.packed(Row(np.ones((1, 4)), np.zeros(2), Slot(1, np.ones((1, 4)), np.ones(1)), []))] * 3
        ),
        labels=np.ones(3, np.int32),
        ids=("a", "b", "c"),
        fingerprints=np.arange(3),
        classes=("x", "y"),
        nets=(described(layout=dataclasses.astuple(layout)),),
        done=np.ones(3, np.bool_),
        seconds=1.0,
    )
    save(found, tmp_path / "boxes.npz")
    assert load(tmp_path / "boxes.npz").row(2).true.boxes.tolist() == [[1, 1, 1, 1]]
    for other in ((1, 2, 1, 2), (1, 2, 1), (0, 2, 1, 1)):
        save(dataclasses.replace(found, nets=(described(layout=other),)), tmp_path / "other.npz")
        with pytest.raises(UserError, match=r"Boxes are \.npz files .*other\.npz, .*: boxes of another layout"):
            load(tmp_path / "other.npz")
