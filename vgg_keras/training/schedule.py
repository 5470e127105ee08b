"""3.1's learning-rate rule: divide when validation accuracy stops improving, three times in all."""

import numpy as np
import tensorflow as tf

from vgg_keras.config import Training


class Plateau(tf.Module):
    """Divides the learning rate when `plateau_metric` has not fallen for `plateau_patience` epochs.

    After `plateau_divisions` divisions the next plateau ends the training, or with `plateau_ends` false the rate stays
    as it is. The paper states the metric, the divisions and the factor, not the patience. The state is kept in variables,
    so that a checkpoint holds it.
    """

    def __init__(self, training: Training):
        super().__init__(name="plateau")
        self._training = training
        self.best = tf.Variable(np.inf, dtype=tf.float64, trainable=False, name="best")  # of the metric
        self.top1_error = tf.Variable(np.inf, dtype=tf.float64, trainable=False, name="top1_error")  # of that epoch
        self.waited = tf.Variable(0, dtype=tf.int64, trainable=False, name="waited")
        self.divisions = tf.Variable(0, dtype=tf.int64, trainable=False, name="divisions")
        self.finished = tf.Variable(False, trainable=False, name="finished")

    def update(self, loss: float, top1_error: float) -> bool:
        """Takes an epoch's validation loss and error, in percent; True if the metric is the lowest so far."""
        metric = {"loss": loss, "top1_error": top1_error}[self._training.plateau_metric]
        if metric < float(self.best):
            self.best.assign(metric)
            self.top1_error.assign(top1_error)
            self.waited.assign(0)
            return True
        self.waited.assign_add(1)
        if int(self.waited) >= self._training.plateau_patience:
            self.waited.assign(0)
            if int(self.divisions) < self._training.plateau_divisions:
                self.divisions.assign_add(1)
            else:
                self.finished.assign(self._training.plateau_ends)
        return False

    @property
    def learning_rate(self) -> float:
        """The rate after the divisions so far."""
        return self._training.learning_rate * self._training.plateau_factor ** int(self.divisions)
