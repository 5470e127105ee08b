"""Everything that a resumed run needs, made in one place for a run, its estimate and the benchmark."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import keras
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.nets.builder import build
from vgg_keras.training.loss_scale import LossScale
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.training.schedule import Plateau
from vgg_keras.training.trained_layers import rate_factors, trained_layers


@dataclass(frozen=True)
class TrainingState:
    """The state of a training; the optimizer's `iterations` is its only clock.

    Attributes:
        model: ends in logits.
        optimizer: built for the model's trainable variables.
        averaged: the net of `training.average_decay`, whose weights are averages of the model's; None: there is none.
        loss_scale: of float16; in another precision it rests, so that a resumed run may change the precision.
        precision: the Keras dtype policy of the model.
        first_loss: the mean loss of the first step, float64.
        plateau: 3.1's rule for the learning rate, and which net is kept.
        epochs_done: epochs that are trained, and validated where a validation is due; int64.
        totals: what `steps` sums over the images of the epoch so far, (4,) float64.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    averaged: keras.Model | None
    loss_scale: LossScale
    precision: str
    first_loss: tf.Variable
    plateau: Plateau
    epochs_done: tf.Variable
    totals: tf.Variable

    @property
    def step(self) -> int:
        """Updates so far."""
        return int(self.optimizer.iterations.numpy())

    @property
    def scales_loss(self) -> bool:
        """Whether gradients are computed in float16."""
        return self.precision == "mixed_float16"

    @property
    def result(self) -> keras.Model:
        """The net that is validated and kept."""
        return self.model if self.averaged is None else self.averaged

    def release(self) -> None:
        """Gives back the memory of all weights and velocities; the state is of no use afterwards.

        TensorFlow never frees the graph of a function that another one calls, here the compiled update, nor the variables that
        it names. Else each stage of a chain would hold those of the stages before.
        """
        models = [self.model] + [self.averaged] * (self.averaged is not None)
        for variable in itertools.chain(self.optimizer.variables, *(model.variables for model in models)):
            for part in getattr(variable.value, "values", [variable.value]):  # one on each device
                tf.raw_ops.AssignVariableOp(resource=part.handle, value=tf.zeros([0], part.dtype))

    def checkpoint(self) -> tf.train.Checkpoint:
        """All of it, to be saved and restored."""
        return tf.train.Checkpoint(
            **({"averaged": self.averaged} if self.averaged is not None else {}),
            model=self.model,
            loss_scale=self.loss_scale,
            first_loss=self.first_loss,
            optimizer=self.optimizer,
            plateau=self.plateau,
            epochs_done=self.epochs_done,
            totals=self.totals,
        )


def create_state(config: Config, strategy: tf.distribute.Strategy, precision: str) -> TrainingState:
    """The state before the first step, its weights random.

    Args:
        config: `architecture.num_classes` and `architecture.mean` known.
        strategy: of `runtime.make_strategy`; it holds the model and the optimizer.
        precision: the Keras dtype policy.
    """
    architecture, training = config.architecture, config.training

    def net() -> keras.Model:
        made = build(architecture, dtype=precision, seed=config.seed)
        freeze_others(made, trained_layers(architecture, training.layers))
        return made

    with strategy.scope():
        model = net()
        averaged = net() if training.average_decay else None
        optimizer = build_optimizer(training, rate_factors(architecture, training.rate_factors))
        optimizer.build(model.trainable_variables)
        loss_scale = LossScale()
    return TrainingState(
        model=model,
        optimizer=optimizer,
        averaged=averaged,
        loss_scale=loss_scale,
        precision=precision,
        first_loss=tf.Variable(0.0, dtype=tf.float64, trainable=False, name="first_loss"),
        plateau=Plateau(config.training),
        epochs_done=tf.Variable(0, dtype=tf.int64, trainable=False, name="epochs_done"),
        totals=tf.Variable(tf.zeros([4], tf.float64), trainable=False, name="totals_of_the_epoch"),
    )


def freeze_others(model: keras.Model, names: Collection[str]) -> None:
    """Freezes the layers that are not trained, and with a convolution its batch norm: its averages stay too.

    Args:
        model: of `build`.
        names: of the trained layers.
    """
    for layer in model.layers:
        layer.trainable = layer.name.removesuffix("_bn") in names
