"""What a run would take here: its steps, images and operations, and the time of a step, estimated from a few images.

A full batch of the paper would take minutes and 18 GiB on a CPU. So a part of a batch is timed, and one image. The
difference is the time of the other images, the rest is the update's. Both are scaled to the full batch.
"""

import datetime
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Architecture, Config
from vgg_keras.data import pipeline
from vgg_keras.data.errors import readable_images
from vgg_keras.data.splits import Source
from vgg_keras.nets.architectures import costs, training_operations
from vgg_keras.training import objectives, steps
from vgg_keras.training.loop import enough_memory
from vgg_keras.training.schedule import epochs_of
from vgg_keras.training.state import create_state
from vgg_keras.training.trained_layers import trained_layers
from vgg_keras.training.workers import Workers

# A part of a batch has at most so many operations and bytes of activations, but one image at least.
OPERATIONS = {"CPU": 2.5e11, "GPU": 1e13}  # some seconds on two cores, or less than one
ACTIVATION_BYTES = {"CPU": 2**29, "GPU": 2**33}
BYTES_A_VALUE = 4 * 4  # of a layer's output in float32: itself, its activation, and the gradients of both
SECONDS = 2.0  # in which a step is repeated, at most REPEATS times
REPEATS = 3


@dataclass(frozen=True)
class Work:
    """The work of a complete run with its maximum of epochs, without validation: steps, images, operations."""

    steps: int
    images: int
    operations: float

    @classmethod
    def of(cls, config: Config, source: Source) -> "Work":
        steps_per_epoch = pipeline.steps_per_epoch(source.train.size, config.data.batch)
        epochs = epochs_of(config.training, steps_per_epoch)
        images = epochs * source.train.size
        operations = training_operations(_architecture(config, source), _trained(config))
        return cls(epochs * steps_per_epoch, images, float(operations) * images)


@dataclass(frozen=True)
class Speed:
    """What was timed on each device.

    Attributes:
        images: in the part of a batch.
        update: seconds of a step beside its images.
        image: seconds of each image.
    """

    images: int
    update: float
    image: float

    def step(self, images: float) -> float:
        """Seconds of a step of so many images on each device."""
        return self.update + self.image * images

    def run(self, work: Work, replicas: int) -> float:
        """Seconds of all steps of a run over so many devices."""
        return work.steps * self.update + work.images / replicas * self.image


def speeds(
    configs: Sequence[Config], source: Source, strategy: tf.distribute.Strategy, precision: str
) -> list[Speed | None]:
    """The speed of each of these runs; runs that differ only in S are timed once.

    Nothing is kept, and no more memory is needed than for the net, its optimizer and a part of a batch.

    Raises:
        UserError: a part does not fit the memory, or an image can no longer be read.
    """
    found: dict[tuple, Speed] = {}
    keys = [_key(config) for config in configs]
    different = dict(zip(keys, configs, strict=True))
    for place, (key, config) in enumerate(different.items(), start=1):
        print(f"timing {config.architecture.name}, net {place} of {len(different)}", flush=True)
        found[key] = _timed(config, source, strategy, precision)
        keras.utils.clear_session()
        gc.collect()  # the net, before the next one is made
        stop.raise_if_requested()
    return [found[key] for key in keys]


def _key(config: Config) -> tuple:
    """What a step's time depends on."""
    training = config.training
    return replace(config.architecture, mean=()), training.layers, training.optimizer, config.data.batch


def _timed(config: Config, source: Source, strategy: tf.distribute.Strategy, precision: str) -> Speed:
    architecture = _architecture(config, source)
    replicas, workers = strategy.num_replicas_in_sync, Workers(strategy)
    images = part_of_a_batch(config, architecture, source.train.size, strategy)
    data = replace(config.data, batch=images * replicas, micro_batch=0)
    config = replace(config, architecture=architecture, data=data)
    state = create_state(config, strategy, precision)
    step = steps.train_step(strategy, state, config, objectives.of(config))

    def seconds(only_one: bool) -> float:
        """The seconds of the fastest step; with `only_one` all images but one of each device have weight 0 and are cut off."""

        def batches(_):
            share = (replicas, workers.rank, workers.count)
            basis, last = np.zeros((architecture.channels,) * 2, np.float32), REPEATS + 1
            made = pipeline.training(source.train, data, architecture.crop, basis, config.seed, 0, last, *share)
            return made.map(lambda *batch: (*batch[:2], _first(batch[2]))) if only_one else made

        batches = iter(strategy.distribute_datasets_from_function(batches))
        return fastest(lambda: step(next(batches)).numpy())

    with readable_images(source.train), enough_memory():
        several = seconds(only_one=False)
        one = seconds(only_one=True) if images > 1 else several
    state.release()
    image = (several - one) / (images - 1) if images > 1 else several
    if image <= 0:  # among other work on the machine
        return Speed(images, 0.0, several / images)
    return Speed(images, max(one - image, 0.0), image)


def part_of_a_batch(config: Config, architecture: Architecture, images: int, strategy: tf.distribute.Strategy) -> int:
    """How many images on each device are timed: the device's share, or fewer if these take too long or too much memory."""
    kind = "GPU" if "GPU" in strategy.extended.worker_devices[0] else "CPU"
    share = pipeline.per_replica(min(config.data.batch, images), strategy.num_replicas_in_sync)
    values = sum(cost.activations for cost in costs(architecture))
    quick = OPERATIONS[kind] // training_operations(architecture, _trained(config))
    fit = ACTIVATION_BYTES[kind] // (BYTES_A_VALUE * values)
    return int(max(1, min(share, config.data.micro_batch or share, quick, fit)))


def fastest(work: Callable[[], object]) -> float:
    """The seconds of the fastest of up to REPEATS calls, after a first one that is traced."""
    work()
    began, found = time.perf_counter(), []
    while len(found) < REPEATS and (not found or time.perf_counter() - began < SECONDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def _first(weights: tf.Tensor) -> tf.Tensor:
    """The weights with all but the first one at 0."""
    return weights * tf.one_hot(0, tf.shape(weights)[0])


def _architecture(config: Config, source: Source) -> Architecture:
    return config.architecture.resolved(len(source.classes), (0.0,) * config.architecture.channels, source.multi_label)


def _trained(config: Config) -> tuple[str, ...]:
    return trained_layers(config.architecture, config.training.layers)


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))
