"""What scores are worth, against scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn import metrics as judge

from vgg_keras.evaluation.measures import measure


def test_the_balanced_error_is_scikit_learns(random):
    scores = random.dirichlet(np.ones(6), 300)
    labels = random.choice([0, 1, 2, 4], 300, p=[0.85, 0.1, 0.04, 0.01])
    found = measure(scores, labels)
    expected = 100 - 100 * judge.recall_score(labels, scores.argmax(axis=1), average=None, labels=[0, 1, 2, 4]).mean()
    assert found.balanced_error == pytest.approx(expected) and abs(found.balanced_error - found.top1_error) > 1
    assert [name for name, _, _ in found.figures(6)] == ["top-1 error", "top-5 error", "balanced error"]


def test_the_hamming_loss_is_scikit_learns(random):
    scores, labels = random.uniform(size=(50, 7)), (random.uniform(size=(50, 7)) < 0.3).astype(np.int8)
    found = measure(scores, labels)
    assert found.hamming_loss == pytest.approx(100 * judge.hamming_loss(labels, scores >= 0.5))
    assert found.multi_label and found.top1_error is None
    # a decision that does not count is neither right nor wrong
    labels[0] = -1
    assert measure(scores, labels).hamming_loss == pytest.approx(
        100 * judge.hamming_loss(labels[1:], scores[1:] >= 0.5)
    )
