"""What a run would take here: its steps, images and operations, and the time of a step, measured on two of them."""

import datetime
import time
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Source
from vgg_keras.nets.architectures import training_operations
from vgg_keras.nets.builder import build
from vgg_keras.training import steps
from vgg_keras.training.loop import enough_memory
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.training.workers import Workers


@dataclass(frozen=True)
class Cost:
    """Of a whole run at its most epochs: steps, images, operations; seconds of a step and in all, validation left out."""

    steps: int
    images: int
    operations: float
    seconds_a_step: float
    seconds: float


def rehearse(config: Config, source: Source, strategy: tf.distribute.Strategy, precision: str) -> Cost:
    """Makes two steps of a run and counts the rest. Nothing is kept."""
    architecture = replace(config.architecture, num_classes=len(source.classes), mean=(0.0, 0.0, 0.0))
    replicas, workers, epochs = strategy.num_replicas_in_sync, Workers(strategy), config.training.epochs
    with strategy.scope():
        model = build(architecture, dtype=precision, seed=config.seed)
        steps.choose_layers(model, config.training.layers)
        optimizer = build_optimizer(config.training)
        optimizer.build(model.trainable_variables)

    def batches(_):
        basis = np.zeros((3, 3), np.float32)
        share = (replicas, workers.rank, workers.count)
        return pipeline.training(source.train, config.data, architecture.crop, basis, config.seed, 0, 2, *share)

    step = steps.train_step(strategy, model, optimizer, config.seed, config.data.micro_batch)
    batches = iter(strategy.distribute_datasets_from_function(batches))
    with pipeline.readable_images(source.train), enough_memory():
        for _ in range(2):  # the first one is traced
            began = time.perf_counter()
            step(next(batches)).numpy()
            seconds = time.perf_counter() - began
    total = epochs * pipeline.steps_per_epoch(source.train.size, config.data.batch)
    images = epochs * source.train.size
    trained = ("fc",) if config.training.layers == "fc" else ("conv", "fc")
    operations = training_operations(architecture, trained)
    return Cost(total, images, float(operations * images), seconds, seconds * total)


def duration(seconds: float) -> str:
    """For a person."""
    return str(datetime.timedelta(seconds=round(seconds)))
