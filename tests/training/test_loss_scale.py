"""float16's dynamic loss scale: down, a skipped step, up; an update in range is float32's."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import a_step
from vgg_keras.training import loss_scale


def test_the_scale_is_halved_at_once_and_doubled_after_many_good_steps(monkeypatch):
    assert loss_scale.GROWTH_STEPS == 2000
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 20)
    scale, expected, good = loss_scale.LossScale(), 2.0**15, 0
    for finite in [False, *[True] * 20, False, *[True] * 41, False]:  # by hand, in Python's numbers
        scale.update(tf.constant(finite))
        good = good + 1 if finite else 0
        expected *= 2 if good == 20 else 1 if finite else 0.5
        good %= 20
        assert (float(scale.scale), int(scale.good_steps)) == (expected, good)
    assert expected == 2.0**15


def test_the_scale_of_gradients_that_are_all_zero_stays_finite(monkeypatch):
    """Infinite, it would be halved to itself, and no step be made any more."""
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 1)
    scale = loss_scale.LossScale()
    for _ in range(200):
        scale.update(tf.constant(True))
    assert float(scale.scale) == 2.0**126
    scale.update(tf.constant(False))
    assert float(scale.scale) == 2.0**125


@pytest.mark.slow
def test_a_step_whose_float16_gradients_overflow_is_skipped(random, monkeypatch):
    """Scale down, skipped step, scale up. An update in range is float32's up to float16's sums, which a CPU makes in it too."""
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 2)
    images = tf.constant(random.uniform(0, 255, (16, 32, 32, 3)), tf.float32)
    batch = (images, tf.range(16) % 4, tf.fill([16], 1 / 16))
    state, step = a_step("runtime.precision=mixed_float16", "architecture.dropout=0", "architecture.batch_norm=true")
    exact, exact_step = a_step("architecture.dropout=0", "architecture.batch_norm=true")

    def everything():
        return [variable.numpy() for variable in (*state.model.weights, *state.optimizer.variables[2:])]

    state.loss_scale.scale.assign(2.0**60)
    before = everything()
    assert np.isfinite(step(batch).numpy()).all()  # the loss itself is finite
    assert all(np.array_equal(old, new) for old, new in zip(before, everything(), strict=True))
    assert state.step == 1 and float(state.loss_scale.scale) == 2.0**59 and int(state.loss_scale.good_steps) == 0

    state.loss_scale.scale.assign(2.0**10)
    start = [weight.numpy() for weight in exact.model.trainable_variables]
    exact_step(batch)
    step(batch)
    pairs = list(zip(state.model.trainable_variables, exact.model.trainable_variables, start, strict=True))
    assert (float(state.loss_scale.scale), int(state.loss_scale.good_steps)) == (2.0**10, 1)
    moved = [(ours.numpy() - first, theirs.numpy() - first) for ours, theirs, first in pairs]
    difference = max(np.abs(ours - theirs).max() for ours, theirs in moved)
    print(f"float16: largest difference {difference:.2g} of {max(np.abs(one).max() for _, one in moved):.2g}")
    assert difference <= 0.2 * max(np.abs(one).max() for _, one in moved)
    step(batch)
    assert (float(state.loss_scale.scale), int(state.loss_scale.good_steps)) == (2.0**11, 0)
