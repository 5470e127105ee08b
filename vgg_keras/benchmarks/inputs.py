"""The training pipeline, from JPEG files to batches of crops, beside others that do the same.

The usual limit is full decoding. The straightforward chain decodes an image in full, rescales it to S and crops. The PyTorch
row does the same with Pillow in a DataLoader's processes. Every row starts again in each round. Its first batch, which waits
for threads and processes to start, is not counted.
"""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from vgg_keras import processor
from vgg_keras.benchmarks import rounds
from vgg_keras.benchmarks.peers import PillowCrops, ignore_interrupt
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Config, Data, label_of_training_scale
from vgg_keras.data import pipeline
from vgg_keras.data.decoding import decode
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError

OURS, FULL = "vgg_keras", "data.jpeg_decoding=full"
DECODING, PLAIN, PILLOW = "decoding alone", "decode, resize, crop", "Pillow, DataLoader"
BATCH = 32
BASIS = np.eye(3, dtype=np.float32)  # of the colour shift: its values do not change its cost


def run(config: Config, images: int, repeats: int, only: Sequence[str], times: int = 1) -> None:
    """Times the rows and prints a table and a JSON line.

    Args:
        config: its data are read, with S, crop and colour shift of the last stage of its chain.
        images: that a row reads in a round.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names.
        times: how often the list of files is repeated.

    Raises:
        UserError: fewer than two batches of images.
    """
    if images < 2 * BATCH:
        raise UserError(f"--images must be {2 * BATCH} or more: the first batch is not counted. Received: {images}.")
    config = config.of_stage(config.stages[-1]) if config.stages else config
    source, _ = without_bad_images(open_source(config.data), config)
    split = source.train.select(np.tile(np.arange(source.train.size), times))
    starts: list[float] = []
    rows, missing = _rows(split, config, images - images % BATCH, starts)
    rows = rounds.chosen(rows, only)
    found = rounds.timed(rows, repeats)
    beside = (DECODING, PLAIN, PILLOW)
    records = rounds.summary(rows, found, beside)
    scale = label_of_training_scale(config.training_scale)
    print(f"{source.description}; S={scale}, crop {config.architecture.crop}; {processor.description()}")
    rounds.print_results(records, beside, repeats, missing)
    first = statistics.median(starts) if starts else None
    data = {
        "data": source.description,
        "cores": processor.cores(),
        "files": split.size,
        "scale": config.training_scale,
        "crop": config.architecture.crop,
    }
    rounds.print_json("input", **data, repeats=repeats, first_batch_seconds=first, rows=records)


def cores_needed(step_rate: float, input_rate: float, input_cores: int) -> float:
    """How many cores keep a device busy that trains `step_rate` images per second, where `input_cores` make `input_rate`."""
    return step_rate / (input_rate / input_cores)


def _rows(split: Split, config: Config, images: int, starts: list[float]) -> tuple[list[Row], dict[str, str]]:
    """The rows, and the reasons why others are missing; the seconds until our first batch are added to `starts`."""
    data = dataclasses.replace(config.data, batch=BATCH, scale=config.training_scale)
    crop, steps = config.architecture.crop, images // BATCH
    epochs = -(-images // split.size)

    def ours(jpeg_decoding):
        how = dataclasses.replace(data, jpeg_decoding=jpeg_decoding)
        return lambda: pipeline.training(split, how, crop, BASIS, config.seed, 0, steps)

    def decoding():
        ids = tf.data.Dataset.range(split.size).repeat(epochs).take(images)
        # one value of each image, because to pass images of many sizes to Python one by one has a cost of its own
        decoded = ids.map(
            lambda image: decode(split.read(image)[0])[0, 0, 0], pipeline.num_parallel_calls(), deterministic=True
        )
        return pipeline.without_autotune(
            decoded.batch(BATCH).prefetch(pipeline.PREFETCH), threads=pipeline.num_parallel_calls()
        )

    rows = [
        _row(DECODING, decoding, images),
        _row(OURS, ours("window"), images, starts),
        _row(FULL, ours("full"), images),
        _row(PLAIN, lambda: _straightforward(split, data, crop, epochs).take(steps), images),
    ]
    loader = _pillow(split, data, crop, images)
    if isinstance(loader, str):
        return rows, {PILLOW: loader}
    return [*rows, _row(PILLOW, lambda: loader, images)], {}


def _row(name: str, begin: Callable[[], Iterable], images: int, starts: list[float] | None = None) -> Row:
    """A row that takes all batches of an iterable; the seconds of the first are not counted, but added to `starts`."""

    def work():
        began = time.perf_counter()
        elements = iter(begin())
        next(elements)
        if starts is not None:
            starts.append(time.perf_counter() - began)
        began = time.perf_counter()
        for _ in elements:
            pass
        return time.perf_counter() - began

    return Row(name, images - BATCH, work)


def _straightforward(split: Split, data: Data, crop: int, epochs: int) -> tf.data.Dataset:
    """As tutorials write it: each image decoded in full, rescaled to S, cropped, flipped, shifted; with autotuning."""

    def example(image):
        encoded, label = split.read(image)
        pixels = decode(encoded)
        size = tf.cast(tf.shape(pixels)[:2], tf.float32)
        side = tf.cast(tf.random.uniform([], data.scale[0], data.scale[-1] + 1, tf.int32), tf.float32)
        pixels = tf.image.resize(pixels, tf.cast(tf.round(size * side / tf.reduce_min(size)), tf.int32))
        pixels = tf.image.random_crop(pixels, [crop, crop, 3])
        pixels = tf.image.random_flip_left_right(pixels)
        shift = tf.linalg.matvec(BASIS, tf.random.normal([3], stddev=data.color_shift))
        return tf.reshape(tf.reshape(pixels, [crop, 3 * crop]) + tf.tile(shift, [crop]), [crop, crop, 3]), label

    ids = tf.data.Dataset.range(split.size).repeat(epochs).shuffle(split.size)
    return ids.map(example, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _pillow(split: Split, data: Data, crop: int, images: int) -> Iterable | str:
    """Pillow in PyTorch's DataLoader with a process for each core; or the reason why it is missing."""
    try:
        import PIL  # noqa: F401
        import torch.utils.data
    except ImportError as error:
        return f"{error.name} is not installed"
    paths = [split.path(image % split.size) for image in range(images)]
    if not all(os.path.isfile(path) for path in paths):
        return "the images are no files"
    crops = PillowCrops(paths, crop, data.scale, data.color_shift)
    # not forked, because a fork of a process with TensorFlow's threads may hang
    return torch.utils.data.DataLoader(
        crops,
        BATCH,
        num_workers=processor.cores(),
        multiprocessing_context="forkserver",
        persistent_workers=True,
        worker_init_fn=ignore_interrupt,
    )
