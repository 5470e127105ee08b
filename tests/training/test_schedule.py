"""The plateau rule by hand, and beside Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.training.schedule import Plateau

RULE = Training(learning_rate=1.0, plateau_patience=2, plateau_factor=0.1, plateau_divisions=2)


def test_divides_after_the_patience_and_ends_after_the_divisions():
    plateau = Plateau(RULE)
    trace = []
    for error in [50, 40, 40, 41, 30, 30, 31, 29, 30, 30]:
        best = plateau.update(1 / error, error)
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
        plateau.update(0.1, error)
    path = tf.train.Checkpoint(plateau=plateau).write(str(tmp_path / "state"))
    restored = Plateau(RULE)
    tf.train.Checkpoint(plateau=restored).read(path).assert_consumed()
    for rule in (plateau, restored):
        rule.update(0.1, 42)
    assert restored.learning_rate == plateau.learning_rate == pytest.approx(0.1)
    assert float(restored.best) == float(restored.top1_error) == 40


def test_on_the_loss_without_an_end_it_is_kerass_reduce_on_plateau(random):
    """The source recipe's rule: factor 0.1, patience 1, floor 1e-5. Keras's forgets its state in a stopped run, ours not."""
    losses = np.exp(-np.arange(40) / 15) + random.normal(0, 0.02, 40)
    rates = {"ours": [], "Keras's": []}
    plateau = Plateau(Training(plateau_metric="loss", plateau_patience=1, plateau_divisions=3, plateau_ends=False))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01))
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=1, min_lr=1e-5, min_delta=0.0)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        best = plateau.update(loss, 100 - epoch)  # the error falls throughout: the loss alone decides
        assert best == (loss == losses[: epoch + 1].min())
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rates["ours"].append(plateau.learning_rate)
        rates["Keras's"].append(float(model.optimizer.learning_rate))
    print(f"largest relative difference {np.abs(np.divide(*rates.values()) - 1).max():.2g}")
    assert rates["ours"] == pytest.approx(rates["Keras's"], rel=1e-6)
    assert min(rates["ours"]) == pytest.approx(1e-5) and not plateau.finished
    assert float(plateau.top1_error) == 100 - losses.argmin()
