"""Errors against hand-computed ranks and a plain sort."""

import numpy as np

from vgg_keras.evaluation.metrics import label_ranks, top_k_error


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
