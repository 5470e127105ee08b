"""The plateau rule by hand, and beside Keras's own."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.errors import UserError
from vgg_keras.training.schedule import Plateau, rate_of_step, require_possible

RULE = Training(learning_rate=1.0, plateau_patience=2, plateau_factor=0.1, plateau_divisions=2)


def rate(plateau, rule=RULE):
    """The rate after the divisions so far."""
    return rate_of_step(rule, 0, 1, int(plateau.divisions))


def test_divides_after_the_patience_and_ends_after_the_divisions():
    plateau = Plateau(RULE)
    trace = []
    for error in [50, 40, 40, 41, 30, 30, 31, 29, 30, 30]:
        best = plateau.update(error, error)
        trace.append((best, round(rate(plateau), 4), bool(plateau.finished)))
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
    assert rate(plateau) == pytest.approx(0.01)


def test_its_state_survives_a_checkpoint_in_mid_patience(tmp_path):
    plateau = Plateau(RULE)
    for error in [50, 40, 41]:
        plateau.update(error, error)
    path = tf.train.Checkpoint(plateau=plateau).write(str(tmp_path / "state"))
    restored = Plateau(RULE)
    tf.train.Checkpoint(plateau=restored).read(path).assert_consumed()
    for rule in (plateau, restored):
        rule.update(42, 42)
    assert rate(restored) == rate(plateau) == pytest.approx(0.1)
    assert float(restored.best) == float(restored.top1_error) == 40


def test_on_the_loss_without_an_end_it_is_kerass_reduce_on_plateau(random):
    """The source recipe's rule: factor 0.1, patience 1, floor 1e-5. Keras's forgets its state in a stopped run, ours not."""
    losses = np.exp(-np.arange(40) / 15) + random.normal(0, 0.02, 40)
    rates = {"ours": [], "Keras's": []}
    rule = Training(plateau_metric="loss", plateau_patience=1, plateau_divisions=3, plateau_ends=False)
    plateau = Plateau(rule)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01))
    callback = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=1, min_lr=1e-5, min_delta=0.0)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        best = plateau.update(loss, 100 - epoch)  # the error falls throughout: the loss alone decides
        assert best == (loss == losses[: epoch + 1].min())
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rates["ours"].append(rate(plateau, rule))
        rates["Keras's"].append(float(model.optimizer.learning_rate))
    print(f"largest relative difference {np.abs(np.divide(*rates.values()) - 1).max():.2g}")
    assert rates["ours"] == pytest.approx(rates["Keras's"], rel=1e-6)
    assert min(rates["ours"]) == pytest.approx(1e-5) and not plateau.finished
    assert float(plateau.top1_error) == 100 - losses.argmin()


def test_cosine_and_steps_are_kerass_schedules_behind_a_linear_rise():
    """60 steps, 12 an epoch, of which 6 rise; the falling part is Keras's, which knows no step but its own."""
    schedules = keras.optimizers.schedules
    for fields, theirs in (
        ({"schedule": "cosine"}, lambda step: schedules.CosineDecay(0.1, 54)(step - 6)),
        (
            {"schedule": "step", "step_epochs": (2, 4), "step_factor": 0.2},
            schedules.PiecewiseConstantDecay([23, 47], [0.1, 0.02, 0.004]),
        ),
        ({"schedule": "constant"}, lambda step: 0.1),
    ):
        training = Training(learning_rate=0.1, epochs=5, warmup_steps=6, **fields)
        ours = [rate_of_step(training, step, 12, 0) for step in range(60)]
        assert ours[:6] == pytest.approx([0.1 * share / 6 for share in range(1, 7)])
        expected = [float(theirs(step)) for step in range(6, 60)]
        print(f"{fields}: largest difference {np.abs(np.subtract(ours[6:], expected)).max():.2g}")
        assert ours[6:] == pytest.approx(expected, abs=1e-8)
    assert rate_of_step(Training(learning_rate=0.1, epochs=5, schedule="cosine"), 60, 12, 0) == pytest.approx(0)


def test_under_another_schedule_nothing_is_divided_and_the_last_net_may_be_kept():
    for kept, expected in (("best", [True, False, False]), ("last", [True, True, True])):
        plateau = Plateau(Training(schedule="constant", plateau_patience=1, plateau_divisions=0, kept_net=kept))
        assert [plateau.update(error, error) for error in (30, 40, 35)] == expected
        assert not plateau.finished and int(plateau.divisions) == 0
        assert float(plateau.top1_error) == {"best": 30, "last": 35}[kept] and float(plateau.best) == 30


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "step"}, "needs training.step_epochs before the last of training.epochs"),
        ({"schedule": "step", "step_epochs": (3, 9), "epochs": 9}, r"Received: '\(3, 9\) of 9 epochs'"),
        ({"schedule": "step", "step_epochs": (5, 3)}, "each above the one before"),
        ({"validation_epochs": 2}, "schedule=plateau needs a validation after every epoch"),
        ({"warmup_steps": -1}, r"training.warmup_steps must be 0 \(none\) or more"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        Training(**fields)


def test_a_warm_up_that_the_run_does_not_end_is_refused():
    training = Training(warmup_steps=60, epochs=5, schedule="cosine")
    require_possible(training, 13)
    with pytest.raises(UserError, match=r"fewer than the run's 60 updates\. Received: 60\."):
        require_possible(training, 12)
    require_possible(dataclasses.replace(training, min_steps=61), 12)


def test_a_fall_of_the_rate_behind_the_runs_last_epoch_is_refused():
    """With `min_steps` the images decide how many epochs there are."""
    training = Training(schedule="step", step_epochs=(2, 5), epochs=1, min_steps=60)
    require_possible(training, 10)
    with pytest.raises(UserError, match=r"before the last of the run's 5 epochs\. Received: \(2, 5\)"):
        require_possible(training, 12)
