"""Right and wrong boxes, counted by hand: the true class's box, the first answer, one of several answers."""

import numpy as np
import pytest

from vgg_keras import stop
from vgg_keras.config import Localization
from vgg_keras.errors import StoppedError
from vgg_keras.localization import judgement, merging
from vgg_keras.localization.judgement import answers, best_box, judge
from vgg_keras.localization.predicted_boxes import Row, Slot

GOOD, NEAR, BAD = (0, 0, 10, 10), (0, 0, 10, 6), (50, 50, 60, 60)  # IoU with GOOD: 1, 0.6, 0


def slot(label, *boxes, scores=None):
    return Slot(label, np.array(boxes, float), np.array(scores or [1.0] * len(boxes)))


def row(truth, posteriors, true, *others):
    """With the true class's boxes among those of the k best."""
    return Row(truth, np.array(posteriors), true, [*others, true])


def test_answers_by_hand():
    truth = np.array([GOOD, (90, 90, 99, 99)], float)
    rows = [
        # the best box is the one with the highest sum: two weak ones together beat a strong one
        row(truth, [0.7, 0.2, 0.1], slot(0, GOOD, BAD, GOOD, scores=[0.3, 0.5, 0.3]), slot(1, GOOD)),
        # the true class is second; its box is right by the second true box
        row(truth, [0.2, 0.5, 0.3], slot(2, (90, 90, 99, 99)), slot(1, GOOD)),
        # the box of the true class is wrong
        row(truth, [0.6, 0.3, 0.1], slot(0, BAD), slot(1, GOOD)),
        # an IoU of 0.6 is right above 0.5 and wrong above 0.6
        row(truth, [0.1, 0.8, 0.1], slot(1, NEAR), slot(0, BAD)),
    ]
    labels = np.array([0, 2, 0, 1])
    judged = judge(rows, labels, Localization())
    np.testing.assert_allclose(judged.ious, [1, 1, 0, 0.6])
    assert judged.box_error == 25 and judged.right.tolist() == [True, True, False, True]
    assert judged.top1.tolist() == [True, False, False, True] and judged.top1_error == 50
    assert judged.top5.tolist() == [True, True, False, True] and judged.top5_error == 25
    assert judge(rows, labels, Localization(answers=1)).top5_error == 50
    assert judge(rows, labels, Localization(iou=0.6)).box_error == 50
    assert [one.label for one in answers(rows[1], Localization())] == [1, 2]
    best = best_box(rows[0].true, rows[0], Localization())
    assert best.box.tolist() == list(GOOD) and best.score == pytest.approx(0.6) and best.posterior == 0.7
    alone = [Row(row.truth, np.zeros(3), row.true, []) for row in rows]
    assert judge(alone, labels, Localization()).top5_error is None


def test_boxes_of_the_true_class_are_merged_once_and_a_stop_ends_the_merging(monkeypatch):
    """Of 50,000 images a merging of 60 boxes takes six minutes."""
    merged = []
    monkeypatch.setattr(
        judgement, "merge", lambda boxes, *rest: merged.append(len(boxes)) or merging.merge(boxes, *rest)
    )
    truth = np.array([GOOD], float)
    whole = row(truth, [0.7, 0.3], slot(0, GOOD, BAD, GOOD), slot(1, GOOD))
    # joined of two nets, of which one had not the true class among its best
    part = Row(truth, np.array([0.7, 0.3]), slot(0, GOOD, GOOD, BAD), [slot(0, BAD)])
    judged = judge([whole, part], np.array([0, 0]), Localization())
    assert merged == [3, 3, 1] and judged.top5.tolist() == [True, False] and judged.right.all()
    monkeypatch.setattr(stop, "_requested", True)
    with pytest.raises(StoppedError):
        judge([whole], np.array([0]), Localization())


def test_a_true_class_that_is_not_among_the_best_is_no_answer():
    """Nine classes, the probability falling with the label. The box of the true class is right in each row."""
    truth, posteriors = np.array([GOOD], float), np.arange(9, 0, -1) / 45
    best = [slot(label, BAD) for label in range(5)]
    rows = [
        Row(truth, posteriors, slot(8, GOOD), best),  # the ninth
        Row(truth, posteriors, slot(5, GOOD), [*best[1:], slot(5, GOOD)]),  # the sixth, with boxes among the k best
        Row(truth, posteriors, slot(0, GOOD), best[1:]),  # the most probable, without boxes among the k best
        Row(truth, posteriors, slot(4, GOOD), [*best[:4], slot(4, GOOD)]),  # the fifth
        Row(truth, posteriors, slot(1, GOOD), [slot(1, GOOD)]),  # k=1: the second, the first has no box
        Row(truth, posteriors, slot(1, GOOD), [slot(0, BAD)]),  # k=1: it has none
        Row(truth, posteriors, slot(1, GOOD), []),
    ]
    judged = judge(rows, np.array([8, 5, 0, 4, 1, 1, 1]), Localization())
    assert judged.box_error == 0
    assert judged.top5.tolist() == [False, False, False, True, True, False, False] and not judged.top1.any()
    assert [one.label for one in answers(rows[1], Localization())] == [1, 2, 3, 4]
    assert answers(rows[-1], Localization()) == []
