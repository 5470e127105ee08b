"""The surest mistakes by hand: of one label per image, of several, of an SVM's decision values."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from tests.evaluation.many import few
from vgg_keras.evaluation import report_mistakes, rows
from vgg_keras.evaluation.measures import measure
from vgg_keras.evaluation.report_classes import of_several_labels
from vgg_keras.evaluation.report_mistakes import DECISION_VALUE, PROBABILITY, mistakes, surest_mistakes


def test_the_surest_wrong_answers_come_first(random):
    """Of five images the second is right; of two equal scores the earlier image is first."""
    rows = np.array([[0.6, 0.4, 0], [0, 1, 0], [0, 0.2, 0.8], [0.6, 0.3, 0.1], [0, 0.5, 0.5]], np.float32)
    made = dataclasses.replace(few(random, 5), probabilities=rows, labels=np.array([1, 1, 0, 2, 2], np.int32))
    assert surest_mistakes(made, 0.5) == [(2, 2), (0, 0), (3, 0), (4, 1)]
    first, second, *_ = mistakes(made, None, PROBABILITY)
    assert (first.name, first.label, first.answer) == ("train/ü 2.jpg", "a", "c")
    assert (first.answer_score, first.label_score, first.picture) == ("80.0 %", "0.0 %", "")
    assert (second.answer, second.label, second.label_score) == ("a", "b", "40.0 %")
    right = dataclasses.replace(made, labels=rows.argmax(axis=1).astype(np.int32))
    assert mistakes(right, None, PROBABILITY) == []


def test_no_more_are_shown_than_there_is_room_for(random):
    made = few(random, 200)
    wrong = dataclasses.replace(made, labels=((made.probabilities.argmax(axis=1) + 1) % 3).astype(np.int32))
    found = surest_mistakes(wrong, 0.5)
    assert len(found) == report_mistakes.MISTAKES
    best = np.sort(made.probabilities.max(axis=1))[::-1][: len(found)]
    assert np.array_equal([made.probabilities[pair] for pair in found], best)


def test_wrong_decisions_of_a_multi_label_net(random):
    """The furthest from the threshold are the surest, a class that is missed as one that is seen; -1 does not count."""
    scores = np.array([[-2.0, 0.5, 3.0], [0.0, -0.1, -1.0], [1.0, 1.0, -9.0]], np.float32)
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 1, -1]], np.int8)
    made = dataclasses.replace(few(random, 3), probabilities=scores, labels=labels)
    # missed: a of the first (2.0), b of the second (0.1). Seen: b of the first (0.5), a of the second (from 0 on)
    assert surest_mistakes(made, DECISION_VALUE.threshold) == [(0, 0), (0, 1), (1, 1), (1, 0)]
    missed, seen, *_ = mistakes(made, None, DECISION_VALUE)
    assert (missed.answer, missed.answer_score, missed.label, missed.label_score) == ("not a", "-2.00", "a, c", "")
    assert (seen.answer, seen.answer_score) == ("b", "0.50")


@pytest.fixture
def open_images(random):
    """Scores in steps, so that many are equal, and labels of a multi-label net that decides every second class wrongly."""
    scores = (random.integers(0, 256, (200, 5000)) / 255).astype(np.float32)
    labels = random.integers(-1, 2, scores.shape).astype(np.int8)
    classes = tuple(map(str, range(5000)))
    made = few(random, 200, ("a", "b"))
    return dataclasses.replace(made, probabilities=scores, labels=labels, classes=classes)


def test_of_many_classes_blocks_give_what_all_pairs_at_once_would(open_images, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 2**18)
    scores, labels = open_images.probabilities, open_images.labels
    images, places = np.nonzero(((scores >= 0.5) != (labels > 0)) & (labels >= 0))
    order = np.argsort(-np.abs(scores[images, places] - np.float32(0.5)), kind="stable")[: report_mistakes.MISTAKES]
    assert surest_mistakes(open_images, 0.5) == list(zip(images[order], places[order], strict=True))


def test_several_labels_of_many_classes_take_no_memory_for_each_pair(open_images, monkeypatch, tmp_path):
    """Of Open Images' 20,000 classes and 42,000 validation images the wrong pairs alone took 9 GB."""
    monkeypatch.setattr(rows, "BLOCK", 2**18)
    scores, labels = open_images.probabilities, open_images.labels
    for made in (
        lambda: surest_mistakes(open_images, 0.5),
        lambda: measure(scores, labels),
        lambda: of_several_labels(tmp_path, scores, labels, open_images.classes, 0.5),
    ):
        tracemalloc.start()
        made()
        assert tracemalloc.get_traced_memory()[1] < scores.nbytes
        tracemalloc.stop()
