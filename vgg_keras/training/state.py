"""Everything that a resumed run needs, made in one place for a run, its estimate and the benchmark."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.nets.builder import build
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.training.schedule import Plateau
from vgg_keras.training.steps import choose_layers


@dataclass(frozen=True)
class TrainingState:
    """The state of a training; the optimizer's `iterations` is its only clock.

    Attributes:
        model: ends in logits.
        optimizer: built for the model's trainable variables.
        plateau: 3.1's rule for the learning rate.
        validated: epochs that are trained and validated, int64.
        totals: what `steps` sums over the images of the epoch so far, (4,) float64.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    plateau: Plateau
    validated: tf.Variable
    totals: tf.Variable

    @property
    def step(self) -> int:
        """Updates so far."""
        return int(self.optimizer.iterations.numpy())

    def checkpoint(self) -> tf.train.Checkpoint:
        """All of it, to be saved and restored."""
        return tf.train.Checkpoint(
            model=self.model,
            optimizer=self.optimizer,
            plateau=self.plateau,
            validated_epochs=self.validated,
            totals=self.totals,
        )


def create_state(config: Config, strategy: tf.distribute.Strategy, precision: str) -> TrainingState:
    """The state before the first step, its weights random.

    Args:
        config: `architecture.num_classes` and `architecture.mean` known.
        strategy: of `runtime.make_strategy`; it holds the model and the optimizer.
        precision: the Keras dtype policy.
    """
    with strategy.scope():
        model = build(config.architecture, dtype=precision, seed=config.seed)
        choose_layers(model, config.training.layers)
        optimizer = build_optimizer(config.training)
        optimizer.build(model.trainable_variables)
    return TrainingState(
        model=model,
        optimizer=optimizer,
        plateau=Plateau(config.training),
        validated=tf.Variable(0, dtype=tf.int64, trainable=False, name="validated_epochs"),
        totals=tf.Variable(tf.zeros([4], tf.float64), trainable=False, name="totals_of_the_epoch"),
    )
