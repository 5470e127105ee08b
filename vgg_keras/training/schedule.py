"""The learning rate of each step, and which net is kept.

3.1's rule: the rate is divided when the validation error stops falling, three times in all. The other schedules know their
rates beforehand.
"""

import bisect
import math

import numpy as np
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.errors import UserError


def epochs_of(training: Training, steps_per_epoch: int) -> int:
    """The epochs of a run: `epochs`, or more where these have fewer updates than `min_steps`."""
    return max(training.epochs, math.ceil(training.min_steps / steps_per_epoch))


def require_possible(training: Training, steps_per_epoch: int) -> None:
    """Refuses a warm-up that a run would not end, and a fall of the rate behind its last epoch.

    Raises:
        UserError: it is so long, or so late.
    """
    epochs = epochs_of(training, steps_per_epoch)
    if training.schedule == "step" and training.step_epochs[-1] >= epochs:  # min_steps decide how many there are
        raise UserError(
            f"training.step_epochs must lie before the last of the run's {epochs:,} epochs. Received: {training.step_epochs}."
        )
    steps = epochs * steps_per_epoch
    if training.warmup_steps >= steps:
        raise UserError(
            f"training.warmup_steps must be fewer than the run's {steps:,} updates. Received: {training.warmup_steps:,}."
        )


def rate_of_step(training: Training, step: int, steps_per_epoch: int, divisions: int) -> float:
    """The rate of an update.

    Args:
        training: of a run.
        step: updates before this one.
        steps_per_epoch: of the run.
        divisions: by the plateau rule so far; other schedules have none.
    """
    rate, warmup = training.learning_rate, training.warmup_steps
    if step < warmup:
        return rate * (step + 1) / warmup
    if training.schedule == "cosine":
        last = epochs_of(training, steps_per_epoch) * steps_per_epoch
        done = (step - warmup) / max(last - warmup, 1)
        return rate * (1 + math.cos(math.pi * done)) / 2
    if training.schedule == "step":
        return rate * training.step_factor ** bisect.bisect(training.step_epochs, step // steps_per_epoch)
    return rate * training.plateau_factor**divisions


class Plateau(tf.Module):
    """Divides the learning rate when `plateau_metric` has not fallen for `plateau_patience` epochs.

    After `plateau_divisions` divisions the next plateau ends the training, or with `plateau_ends` false the rate stays
    as it is. The paper states the metric, the divisions and the factor, not the patience. Under another schedule nothing is
    divided or ended. The state is kept in variables, so that a checkpoint holds it.
    """

    def __init__(self, training: Training):
        super().__init__(name="plateau")
        self._training = training
        self.best = tf.Variable(np.inf, dtype=tf.float64, trainable=False, name="best")  # of the metric
        self.top1_error = tf.Variable(np.inf, dtype=tf.float64, trainable=False, name="top1_error")  # of the kept net
        self.waited = tf.Variable(0, dtype=tf.int64, trainable=False, name="waited")
        self.divisions = tf.Variable(0, dtype=tf.int64, trainable=False, name="divisions")
        self.finished = tf.Variable(False, trainable=False, name="finished")

    def update(self, metric: float, error: float) -> bool:
        """Takes a validation's value of `plateau_metric` and its error, in percent.

        True if the net is kept: it is the best so far, or every one is.
        """
        lower = metric < float(self.best)
        kept = lower or self._training.kept_net == "last"
        if kept:
            self.top1_error.assign(error)
        if lower:
            self.best.assign(metric)
            self.waited.assign(0)
        elif self._training.schedule == "plateau":
            self._wait()
        return kept

    def _wait(self) -> None:
        self.waited.assign_add(1)
        if int(self.waited) >= self._training.plateau_patience:
            self.waited.assign(0)
            if int(self.divisions) < self._training.plateau_divisions:
                self.divisions.assign_add(1)
            else:
                self.finished.assign(self._training.plateau_ends)
