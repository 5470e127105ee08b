"""The training loop of 3.1: epochs of updates, a validation after each, the plateau rule, checkpoints.

It is our own and not `model.fit`, because under MirroredStrategy fit is wrong on a partial batch, gives every device the
same dropout mask and refuses gradient accumulation, and because a run must be able to stop and go on at any step. One
clock, the optimizer's `iterations`, and the seed decide everything.
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
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config, UserError
from vgg_keras.data import pipeline
from vgg_keras.data.scan import BadImage
from vgg_keras.data.splits import Source
from vgg_keras.data.statistics import Statistics
from vgg_keras.nets.builder import build
from vgg_keras.training import start, steps
from vgg_keras.training.checkpoints import FOLDER, Checkpoints
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.training.records import Records, percent
from vgg_keras.training.schedule import Plateau
from vgg_keras.training.workers import Workers
from vgg_keras.weights.run import save_weights
from vgg_keras.weights.stored import read_config


@dataclass(frozen=True)
class Outcome:
    """Where a run stands: validated epochs, steps, and the best net's validation top-1 error in percent."""

    epochs: int
    step: int
    best_top1_error: float


def train(
    config: Config,
    source: Source,
    statistics: Statistics,
    strategy: tf.distribute.Strategy,
    precision: str,
    workdir: Path,
    bad_images: list[BadImage],
) -> Outcome:
    """Trains the configured net from where `workdir` stands, up to the end or a stop request.

    Args:
        config: resolved: classes and mean are known.
        source: the images, bad ones left out.
        statistics: for the colour shift.
        strategy: of `devices.make_strategy`.
        precision: the Keras dtype policy.
        workdir: holds `config.json`; checkpoints, metrics and the best weights go there.
        bad_images: what the scan left out; named in metrics.jsonl.

    Raises:
        UserError: the loss or a weight is not finite, an image can no longer be read, or the workers see different folders.
        Stopped: by a signal, with everything saved.
    """
    data, crop, epochs = config.data, config.architecture.crop, config.training.epochs
    steps_per_epoch = pipeline.steps_per_epoch(source.train.size, data.batch)
    replicas, workers = strategy.num_replicas_in_sync, Workers(strategy)

    # ---- the state: everything that a resumed run needs
    with strategy.scope():
        model = build(config.architecture, dtype=precision, seed=config.seed)
        steps.choose_layers(model, config.training.layers)
        optimizer = build_optimizer(config.training)
        optimizer.build(model.trainable_variables)
    plateau = Plateau(config.training)
    validated = tf.Variable(0, dtype=tf.int64, trainable=False, name="validated_epochs")
    totals = tf.Variable(tf.zeros([4], tf.float64), trainable=False, name="totals_of_the_epoch")
    state = tf.train.Checkpoint(
        model=model, optimizer=optimizer, plateau=plateau, validated_epochs=validated, totals=totals
    )
    checkpoints = Checkpoints(workdir / FOLDER, state, config.checkpoint, writes=workers.chief)
    resumed = workers.chief_first(checkpoints.restore)  # which sets damaged ones aside
    if resumed:
        print(f"resumed from {checkpoints.newest()}", flush=True)
    step = int(optimizer.iterations.numpy())
    if not workers.all_equal(step):
        raise UserError(f"All workers must see one --workdir. Received: {workdir}, where this one finds step {step}.")
    records = Records(workdir, int(validated) if resumed else None, writes=workers.chief)
    if bad_images and not resumed:
        records.add({"bad_images": [str(image) for image in bad_images]})
    if config.training.start and not resumed:
        with strategy.scope():
            moved = start.fill(model, config, read_config(workdir)["started_from"])
        left = f"left random: {', '.join(moved.left)}" if moved.left else "none left random"
        print(f"started from {config.training.start}: copied {', '.join(moved.copied)}; {left}", flush=True)
        records.add({"started_from": config.training.start, "copied": moved.copied, "left": moved.left})

    def save():
        _require_finite(model, step, float(optimizer.learning_rate.numpy()))
        if workers.chief:  # whose variables are everybody's
            checkpoints.save(int(validated), step)

    def save_and_stop_where_wished():
        stopping, due = workers.any(stop.requested(), workers.chief and checkpoints.due(step))
        if stopping or due:
            save()
        if stopping:
            raise stop.Stopped(f"stopped at step {step}, saved in {workdir}; the same command goes on from there")

    # ---- the input: from this very step on
    share = (replicas, workers.rank, workers.count)

    def training_batches(_):
        basis, last = statistics.color_basis, epochs * steps_per_epoch
        return pipeline.training(source.train, data, crop, basis, config.seed, step, last, *share)

    def validation_batches(_):
        return pipeline.validation(source.val, data, crop, config.middle_scale, config.evaluation.batch, *share)

    batches = iter(strategy.distribute_datasets_from_function(training_batches))
    validation_set = strategy.distribute_datasets_from_function(validation_batches)
    train_step = steps.train_step(strategy, model, optimizer, config.seed, data.micro_batch)
    validation_step = steps.validation_step(strategy, model)

    # ---- epochs
    progress = tqdm.tqdm(
        total=epochs * source.train.size,
        initial=min(step * data.batch, epochs * source.train.size),
        unit="image",
        desc=f"epoch {step // steps_per_epoch + 1}/{epochs}",
        disable=None if workers.chief else True,
        dynamic_ncols=True,
    )

    with progress, pipeline.readable_images(source.train.followed_by(source.val)), enough_memory():
        while int(validated) < epochs and not plateau.finished:
            epoch, images_before, seconds = int(validated) + 1, float(totals[steps.IMAGES]), 0.0
            progress.set_description(f"epoch {epoch}/{epochs}")
            while step < epoch * steps_per_epoch:
                started = time.perf_counter()
                sums = train_step(next(batches)).numpy()
                seconds += time.perf_counter() - started
                if not np.isfinite(sums[steps.LOSS]):
                    raise UserError(_not_finite("The loss", step + 1, float(optimizer.learning_rate.numpy())))
                totals.assign_add(sums)
                step += 1
                progress.update(int(sums[steps.IMAGES]))
                progress.set_postfix(loss=f"{sums[steps.LOSS] / sums[steps.IMAGES]:.3f}", refresh=False)
                save_and_stop_where_wished()

            progress.set_description(f"epoch {epoch}/{epochs}, validating")
            validation = np.zeros(4)
            for batch in validation_set:
                validation += validation_step(batch).numpy()
                save_and_stop_where_wished()

            if not np.isfinite(validation[steps.LOSS]):
                raise UserError(_not_finite("The validation's loss", step, plateau.learning_rate))
            line = {
                "stage": config.training.stage,
                "epoch": epoch,
                "step": step,
                **_errors(totals.numpy(), "", config.architecture.num_classes),
                **_errors(validation, "val_", config.architecture.num_classes),
                "learning_rate": plateau.learning_rate,
                "bad_images": len(bad_images),
                "precision": precision,
                "devices": replicas,
                "workers": workers.count,
                "images_per_second": round((float(totals[steps.IMAGES]) - images_before) / max(seconds, 1e-9), 1),
            }
            if plateau.update(line["val_loss"], line["val_top1_error"]):
                _require_finite(model, step, line["learning_rate"])
                if workers.chief:
                    save_weights(model, workdir)
            optimizer.learning_rate.assign(plateau.learning_rate)
            totals.assign(tf.zeros_like(totals))
            validated.assign(epoch)
            records.add(line)
            _tell(line, epochs, plateau, progress)
            save()
    return Outcome(int(validated), step, float(plateau.top1_error))


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turns memory that is full into a message."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "A step must fit the memory. "
            f"Received: {pipeline.plain(error)}. A smaller data.micro_batch needs less memory for the same result, in "
            "validation a smaller evaluation.batch. The same command with it goes on where it stood."
        ) from error


def _errors(sums: np.ndarray, prefix: str, classes: int) -> dict[str, float | None]:
    images = sums[steps.IMAGES]
    return {
        f"{prefix}loss": float(sums[steps.LOSS] / images),
        f"{prefix}top1_error": float(100 * sums[steps.TOP1_WRONG] / images),
        # among five classes or fewer no answer could be wrong
        f"{prefix}top5_error": float(100 * sums[steps.TOP5_WRONG] / images) if classes > 5 else None,
    }


def _tell(line: dict, epochs: int, plateau: Plateau, progress: tqdm.tqdm) -> None:
    rate = line["images_per_second"]
    images_left = max(progress.total - line["epoch"] * progress.total / epochs, 0)
    left = datetime.timedelta(seconds=round(images_left / rate)) if rate else "-"
    text = (
        f"epoch {line['epoch']:3d}/{epochs}  loss {line['loss']:.3f}  error {percent(line['top1_error']):>7}  "
        f"validation {percent(line['val_top1_error']):>7} (best {percent(float(plateau.top1_error))})  "
        f"lr {line['learning_rate']:g}  {rate:.0f} images/s  at most {left} left"
    )
    progress.write(text)
    sys.stdout.flush()


def _not_finite(what: str, step: int, learning_rate: float) -> str:
    return (
        f"{what} must stay finite. Received: not a number or infinite at step {step}, learning rate {learning_rate:g}. "
        "A checkpoint from before it, if there was one, is kept; lower training.learning_rate in a new workdir."
    )


def _require_finite(model, step: int, learning_rate: float) -> None:
    for variable in model.weights:
        if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
            raise UserError(_not_finite(f"Weight {variable.path}", step, learning_rate))
