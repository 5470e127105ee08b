"""The training loop of 3.1: epochs of updates, a validation after each, the plateau rule, checkpoints.

It is not `model.fit`. Under MirroredStrategy fit is wrong on a partial batch, gives every device the same dropout mask and
refuses gradient accumulation. And a run must be able to stop and resume at any step. One clock, the optimizer's
`iterations`, and the seed decide everything.
"""

import contextlib
import datetime
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Config, Training
from vgg_keras.data import pipeline
from vgg_keras.data.errors import message_of, readable_images
from vgg_keras.data.scan import BadImage
from vgg_keras.data.splits import Source
from vgg_keras.data.statistics import Statistics
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.evaluation.measures import percent
from vgg_keras.progress import progress
from vgg_keras.training import advice, class_weights, epoch_measures, objectives, steps
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.loss_scale import LOWEST
from vgg_keras.training.records import Records
from vgg_keras.training.schedule import epochs_of, rate_of_step
from vgg_keras.training.state import TrainingState
from vgg_keras.training.workers import Workers
from vgg_keras.weights.formats.run_folder import save_weights

RISE = 100.0  # a loss so many times that of the first step: the rate is too high, whatever the recipe
RISES_UNTIL = 100  # steps


@dataclass(frozen=True)
class Job:
    """A run that is ready to train.

    Attributes:
        config: resolved, so its classes and mean are known.
        given: as the command received it: what of the images of its first weights is stated.
        source: the images without the bad ones.
        statistics: of the training images, for the colour shift.
        bad_images: those that the scan refused.
        workdir: holds `config.json`; checkpoints, metrics and the best weights go there.
        strategy: of `runtime.make_strategy`.
        workers: of the strategy.
        precision: the Keras dtype policy.
    """

    config: Config
    given: Config
    source: Source
    statistics: Statistics
    bad_images: list[BadImage]
    workdir: Path
    strategy: tf.distribute.Strategy
    workers: Workers
    precision: str

    @property
    def steps_per_epoch(self) -> int:
        """Updates of an epoch."""
        return pipeline.steps_per_epoch(self.source.train.size, self.config.data.batch)

    @property
    def epochs(self) -> int:
        """The epochs of the run, at most."""
        return epochs_of(self.config.training, self.steps_per_epoch)

    def images_of(self, steps: int) -> int:
        """The images of the run's first steps; the last one of an epoch may have fewer than a batch."""
        epochs, more = divmod(steps, self.steps_per_epoch)
        return epochs * self.source.train.size + more * self.config.data.batch


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        epochs, step: so many.
        error: of the kept net in validation, in percent: top-1, or of a multi-label set 100 - mean average precision.
        multi_label: whether it is such a set.
        boxes: whether the net gives boxes, and the error is theirs (A).
    """

    epochs: int
    step: int
    error: float
    multi_label: bool = False
    boxes: bool = False

    @property
    def text(self) -> str:
        """What validation measured, such as `top-1 error 2.51 %`."""
        return epoch_measures.named(self.error, self.multi_label, self.boxes)

    def result(self) -> dict:
        """The result of a stage, as far as it is known without a final evaluation."""
        error = None if self.multi_label else self.error
        found = {"epochs": self.epochs, "validation_top1_error": error, "top1_error": None, "top5_error": None}
        if self.multi_label:
            found |= {"validation_mean_average_precision": 100 - self.error, "mean_average_precision": None}
        return found


class Loop:
    """The epochs of a job, beginning at the step of its state."""

    def __init__(self, job: Job, state: TrainingState, checkpoints: Checkpoints, records: Records):
        self._job, self._state, self._checkpoints, self._records = job, state, checkpoints, records
        self._step, self._rate = state.step, 0.0
        self._architecture = job.config.architecture
        config, source, strategy, workers = job.config, job.source, job.strategy, job.workers
        share = (strategy.num_replicas_in_sync, workers.rank, workers.count)
        crop, last_step = config.architecture.crop, job.epochs * job.steps_per_epoch

        def training_batches(_):  # from the state's step on
            basis = job.statistics.color_basis
            return pipeline.training(source.train, config.data, crop, basis, config.seed, self._step, last_step, *share)

        def validation_batches(_):
            batch, side = config.evaluation.batch, config.middle_scale
            return pipeline.validation(source.val, config.data, crop, side, batch, *share)

        self._batches = iter(strategy.distribute_datasets_from_function(training_batches))
        self._validation_batches = strategy.distribute_datasets_from_function(validation_batches)
        weights = class_weights.of_classes(config.training, source.train)
        self._objective = objectives.of(config, weights)
        self._train_step = steps.train_step(strategy, state, config, self._objective)
        self._validation_step = steps.validation_step(strategy, state.result, self._objective)
        self._set_rate(max(self._step - 1, 0))  # that of the last update: an epoch's line has it
        self._validation_seconds = 0.0  # of the last one
        images = job.epochs * source.train.size
        self._progress = progress(total=images, initial=job.images_of(self._step), shown=workers.chief)

    def train(self) -> Outcome:
        """Trains up to the last epoch, to the plateau rule's end or to a stop request.

        Raises:
            UserError: the loss or a weight is not finite, or an image can no longer be read.
            StoppedError: by a signal, with everything saved.
        """
        state, source, epochs = self._state, self._job.source, self._job.epochs
        images = readable_images(source.train.followed_by(source.val))
        with self._progress, enough_memory(), images:
            while int(state.epochs_done) < epochs and not state.plateau.finished:
                epoch = int(state.epochs_done) + 1
                self._progress.set_description(f"epoch {epoch}/{epochs}")
                line = self._line(epoch, self._train_epoch(epoch))
                training = self._job.config.training

                # ---- 3.1: the validation decides which net is kept, and the rate
                if training.validates_after(epoch, epochs):
                    self._progress.set_description(f"epoch {epoch}/{epochs}, validating")
                    line |= self._validate()
                    metric = epoch_measures.metric_of(line, training.plateau_metric)
                    if state.plateau.update(metric, epoch_measures.error_of(line)):
                        self._require_finite_weights()
                        if self._job.workers.chief:
                            save_weights(state.result, self._job.workdir)

                # ---- the epoch is done
                state.totals.assign(tf.zeros_like(state.totals))
                state.epochs_done.assign(epoch)
                self._records.add(line)
                self._print(line, epochs)
                self._save()
        error = float(state.plateau.top1_error)
        gives_boxes = self._job.config.predicts_boxes
        return Outcome(int(state.epochs_done), self._step, error, self._architecture.multi_label, gives_boxes)

    def _train_epoch(self, epoch: int) -> float:
        """The remaining updates of an epoch; returns images per second."""
        totals, seconds, images = self._state.totals, 0.0, 0.0
        while self._step < epoch * self._job.steps_per_epoch:
            self._set_rate(self._step)
            started = time.perf_counter()
            sums = self._train_step(next(self._batches)).numpy()
            seconds += time.perf_counter() - started
            self._require_falling(sums)
            totals.assign_add(sums)
            images += float(sums[steps.IMAGES])
            self._step += 1
            self._progress.update(int(sums[steps.IMAGES]))
            self._progress.set_postfix(loss=f"{sums[steps.LOSS] / sums[steps.IMAGES]:.3f}", refresh=False)
            self._save_or_stop()
        return round(images / max(seconds, 1e-9), 1)

    def _set_rate(self, step: int) -> None:
        """The learning rate of an update, a function of the updates before it and of the plateau rule's divisions."""
        training, divisions = self._job.config.training, int(self._state.plateau.divisions)
        rate = rate_of_step(training, step, self._job.steps_per_epoch, divisions)
        if rate != self._rate:
            self._state.optimizer.learning_rate.assign(rate)
            self._rate = rate

    def _require_falling(self, sums: np.ndarray) -> None:
        """Refuses a loss that is not finite, one that rises at once, and gradients that no scale makes finite in float16.

        Raises:
            UserError: it is such a loss.
        """
        state, config = self._state, self._job.config
        if not np.isfinite(sums[steps.LOSS]):
            raise UserError(self._not_finite("The loss", self._step + 1))
        if state.scales_loss and float(state.loss_scale.scale) < LOWEST:
            raise UserError(self._not_finite("A gradient", self._step + 1))
        now = sums[steps.LOSS] / sums[steps.IMAGES]
        if self._step == 0:
            state.first_loss.assign(now)
        first = float(state.first_loss)
        # a first batch of light or ignored labels has a loss near 0, which a healthy one exceeds a hundredfold
        if self._step < RISES_UNTIL and now > RISE * max(first, self._objective.ignorant_loss):
            raise UserError(advice.too_high(config, first, now, self._step + 1, self._rate))

    def _validate(self) -> dict:
        """What the validation images add to the epoch's line."""
        found, started = epoch_measures.Validation(self._architecture), time.perf_counter()
        for batch in self._validation_batches:
            found.add(*(numbers.numpy() for numbers in self._validation_step(batch)))
            self._save_or_stop()
        if not np.isfinite(found.sums[steps.LOSS]):
            raise UserError(self._not_finite("The validation's loss", self._step))
        self._validation_seconds = time.perf_counter() - started
        return found.measures()

    def _line(self, epoch: int, images_per_second: float) -> dict:
        """The epoch's line of metrics.jsonl, before its validation."""
        job = self._job
        return {
            "stage": job.config.training.stage,
            "epoch": epoch,
            "step": self._step,
            **epoch_measures.of_sums(self._state.totals.numpy(), "", self._architecture),
            "learning_rate": self._rate,
            "bad_images": len(job.bad_images),
            "precision": job.precision,
            "devices": job.strategy.num_replicas_in_sync,
            "workers": job.workers.count,
            "images_per_second": images_per_second,
        }

    def _save_or_stop(self) -> None:
        """Saves a checkpoint if one is due or a stop is requested, and then stops if requested.

        Raises:
            StoppedError: a stop was requested on any worker.
        """
        chief = self._job.workers.chief
        stopping, due = self._job.workers.any(stop.requested(), chief and self._checkpoints.due(self._step))
        if stopping or due:
            self._save()
        if stopping:
            raise StoppedError(
                f"stopped at step {self._step}, saved in {self._job.workdir}; the same command resumes there"
            )

    def _save(self) -> None:
        self._require_finite_weights()
        if self._job.workers.chief:  # all workers have the same variables
            self._checkpoints.save(int(self._state.epochs_done), self._step)

    def _require_finite_weights(self) -> None:
        """The loss does not show it: ReLU turns a weight that is not a number into 0."""
        for variable in self._state.model.weights:
            if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
                raise UserError(self._not_finite(f"Weight {variable.path}", self._step))

    def _not_finite(self, what: str, step: int) -> str:
        return advice.not_finite(self._job.config, self._job.precision, what, step, self._rate)

    def _print(self, line: dict, epochs: int) -> None:
        rate, training, images = line["images_per_second"], self._job.config.training, self._job.source.train.size
        time_left = "-"
        if rate:
            seconds = seconds_left(training, line["epoch"], epochs, images / rate, self._validation_seconds)
            time_left = datetime.timedelta(seconds=round(seconds))
        error = float(self._state.plateau.top1_error)
        best = percent(100 - error if self._architecture.multi_label else error)
        measures = epoch_measures.shown(line, f"{training.kept_net} {best}")
        self._progress.write(
            f"epoch {line['epoch']:3d}/{epochs}  loss {line['loss']:.3f}  {measures}  "
            f"lr {line['learning_rate']:g}  {rate:.0f} images/s  at most {time_left} left"
        )
        sys.stdout.flush()


def seconds_left(training: Training, epoch: int, epochs: int, of_epoch: float, of_validation: float) -> float:
    """The seconds of the epochs after this one and of their validations, by the seconds of one of each."""
    every = training.validation_epochs
    validations = epochs // every - epoch // every + (epoch < epochs and epochs % every > 0)
    return (epochs - epoch) * of_epoch + validations * of_validation


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turns a full memory into a message."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "A step must fit the memory. "
            f"Received: {message_of(error)}. A smaller data.micro_batch needs less memory for the same result, in "
            "validation a smaller evaluation.batch. The same command with it resumes the run."
        ) from error
