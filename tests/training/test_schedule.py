"""The plateau rule by hand."""

import pytest
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.training.schedule import Plateau

RULE = Training(learning_rate=1.0, plateau_patience=2, plateau_factor=0.1, plateau_divisions=2)


def test_divides_after_the_patience_and_ends_after_the_divisions():
    plateau = Plateau(RULE)
    trace = []
    for error in [50, 40, 40, 41, 30, 30, 31, 29, 30, 30]:
        best = plateau.update(error)
        trace.append((best, round(plateau.learning_rate, 4), bool(plateau.finished)))
    assert trace == [
        (True, 1.0, False),
        (True, 1.0, False),
        (False, 1.0, False),  # equal is not lower
        (False, 0.1, False),
        (True, 0.1, False),
        (False, 0.1, False),
        (False, 0.01, False),
        (True, 0.01, False),
        (False, 0.01, False),
        (False, 0.01, True),  # two divisions are spent: the next plateau ends the run
    ]
    assert plateau.learning_rate == pytest.approx(0.01)


def test_its_state_survives_a_checkpoint_in_mid_patience(tmp_path):
    plateau = Plateau(RULE)
    for error in [50, 40, 41]:
        plateau.update(error)
    path = tf.train.Checkpoint(plateau=plateau).write(str(tmp_path / "state"))
    restored = Plateau(RULE)
    tf.train.Checkpoint(plateau=restored).read(path).assert_consumed()
    for rule in (plateau, restored):
        rule.update(42)
    assert restored.learning_rate == plateau.learning_rate == pytest.approx(0.1)
    assert float(restored.best) == 40
