"""Errors against hand-computed ranks and a plain sort."""

import numpy as np
from sklearn.metrics import confusion_matrix

from vgg_keras.evaluation.metrics import confusion, interval, label_ranks, predictions, top_k_error


def test_ranks_equal_a_stable_sort(random):
    scores = random.integers(0, 5, (300, 9)).astype(np.float32)  # with ties
    labels = random.integers(0, 9, 300)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [int(np.flatnonzero(row == label)[0]) for row, label in zip(order, labels, strict=True)]
    assert label_ranks(scores, labels).tolist() == expected


def test_errors_by_hand():
    scores = np.array([[0.5, 0.3, 0.2, 0, 0, 0], [0.1, 0.2, 0.3, 0.15, 0.24, 0.01]], np.float32)
    assert top_k_error(scores, np.array([0, 5]), 1) == 50.0
    assert top_k_error(scores, np.array([0, 5]), 5) == 50.0
    assert top_k_error(scores, np.array([1, 0]), 5) == 0.0


def test_a_net_that_says_nothing_is_not_right_by_a_tie_or_by_nan():
    labels = np.arange(10)
    assert top_k_error(np.zeros((10, 10)), labels, 1) == 90.0
    assert top_k_error(np.full((10, 10), np.nan), labels, 1) == 100.0


def test_top_5_of_five_classes_means_nothing():
    assert top_k_error(np.eye(5), np.arange(5), 5) is None


def test_the_interval_by_hand():
    """Wilson: (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)."""
    for wrong, images in ((0, 30), (1, 4), (12_345, 50_000), (7, 7)):
        share, z = wrong / images, 1.959963984540054
        middle = share + z**2 / (2 * images)
        spread = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
        expected = 100 * (middle + np.array([-spread, spread])) / (1 + z**2 / images)
        assert np.abs(interval(100 * wrong / images, images) - expected).max() < 1e-9


def test_confusion_equals_scikit_learns(random):
    scores, labels = random.uniform(0, 1, (500, 7)), random.integers(0, 7, 500)
    predicted, best = predictions(scores)
    assert np.array_equal(predicted, scores.argmax(axis=1)) and np.array_equal(best, scores.max(axis=1))
    expected = confusion_matrix(labels, predicted, labels=range(7))
    assert np.array_equal(confusion(predicted, labels, 7).toarray(), expected)


def test_blocks_change_no_number(random, monkeypatch):
    scores, labels = random.integers(0, 5, (300, 9)).astype(np.float32), random.integers(0, 9, 300)
    ranks, (predicted, best) = label_ranks(scores, labels), predictions(scores)
    monkeypatch.setattr("vgg_keras.evaluation.rows.BLOCK", 4 * 9 * 7)  # 42 blocks of 7 rows and one of 6
    assert np.array_equal(label_ranks(scores, labels), ranks)
    assert [one.tolist() for one in predictions(scores)] == [predicted.tolist(), best.tolist()]
