"""The training pipeline, from JPEG files to batches of crops, beside the ways in which others do it.

The usual limit is decoding whole pictures. The straightforward chain decodes, rescales the whole picture to S and crops;
the PyTorch row does the same with Pillow in a DataLoader's processes. Every row starts anew in each round, and its first
batch, which waits for threads and processes to start, is not counted.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.benchmarks import rounds
from vgg_keras.benchmarks.peers import PillowCrops
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Config, Data, UserError
from vgg_keras.data import pipeline
from vgg_keras.data.preprocessing import decode
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Split

OURS, EXACT = "vgg_keras", "data.exact=true"
DECODING, PLAIN, PILLOW = "decoding alone", "decode, resize, crop", "Pillow, DataLoader"
BATCH = 32
BASIS = np.eye(3, dtype=np.float32)  # of the colour shift: its values do not change its cost


def run(config: Config, images: int, repeats: int, only: Sequence[str], times: int = 1) -> list[dict]:
    """Times the rows, prints a table and a JSON line, and returns the rows' records.

    Args:
        config: its data are read; S, crop and colour shift as in the last stage of its chain.
        images: that a row goes through in a round.
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
    rows = rounds.chosen(_rows(split, config, images - images % BATCH), only)
    found = rounds.timed(rows, repeats)
    beside = (DECODING, PLAIN, PILLOW)
    records = rounds.summary(rows, found, beside)
    scale = "-".join(map(str, dict.fromkeys(config.data.scale)))
    print(f"{source.description}; S={scale}, crop {config.architecture.crop}; {rounds.processor()}")
    print(f"medians of {repeats} rounds, the spread in brackets\n")
    rounds.tell(records, beside)
    data = {
        "data": source.description,
        "files": split.size,
        "scale": config.data.scale,
        "crop": config.architecture.crop,
    }
    rounds.tell_json("input", **data, repeats=repeats, rows=records)
    return records


def _rows(split: Split, config: Config, images: int) -> list[Row]:
    data = dataclasses.replace(config.data, batch=BATCH)
    crop, steps = config.architecture.crop, images // BATCH
    epochs = -(-images // split.size)

    def ours(exact):
        how = dataclasses.replace(data, exact=exact)
        return lambda: pipeline.training(split, how, crop, BASIS, config.seed, 0, steps)

    def decoding():
        ids = tf.data.Dataset.range(split.size).repeat(epochs).take(images)
        options = tf.data.Options()
        options.autotune.enabled = False
        decoded = ids.map(lambda image: decode(split.read(image)[0]), tf.data.AUTOTUNE, deterministic=True)
        return decoded.prefetch(2 * BATCH).with_options(options)

    rows = [
        _row(DECODING, decoding, images, BATCH),
        _row(OURS, ours(exact=False), images),
        _row(EXACT, ours(exact=True), images),
        _row(PLAIN, lambda: _straightforward(split, data, crop, epochs).take(steps), images),
    ]
    loader = _pillow(split, data, crop, images)
    return rows if loader is None else [*rows, _row(PILLOW, loader, images)]


def _row(name: str, begin: Callable[[], Iterable], images: int, first: int = 1) -> Row:
    """A row that takes all of an iterable, its `first` elements, a batch of images, uncounted."""

    def work():
        elements = iter(begin())
        for _ in range(first):
            next(elements)
        began = time.perf_counter()
        for _ in elements:
            pass
        return time.perf_counter() - began

    return Row(name, images - BATCH, work)


def _straightforward(split: Split, data: Data, crop: int, epochs: int) -> tf.data.Dataset:
    """As tutorials write it: the whole picture decoded, rescaled to S, cropped, flipped, shifted; everything tuned."""

    def example(image):
        encoded, label = split.read(image)
        pixels = decode(encoded)
        size = tf.cast(tf.shape(pixels)[:2], tf.float32)
        side = tf.cast(tf.random.uniform([], data.scale[0], data.scale[-1] + 1, tf.int32), tf.float32)
        pixels = tf.image.resize(pixels, tf.cast(tf.round(size * side / tf.reduce_min(size)), tf.int32))
        pixels = tf.image.random_crop(pixels, [crop, crop, 3])
        pixels = tf.image.random_flip_left_right(pixels)
        return pixels + tf.linalg.matvec(BASIS, tf.random.normal([3], stddev=data.color_shift)), label

    ids = tf.data.Dataset.range(split.size).repeat(epochs).shuffle(split.size)
    return ids.map(example, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def _pillow(split: Split, data: Data, crop: int, images: int) -> Callable[[], Iterable] | None:
    """Pillow in PyTorch's DataLoader with a process a core; None where they, or files, are not there."""
    try:
        import PIL  # noqa: F401
        import torch.utils.data
    except ImportError:
        return None
    paths = [split.path(image % split.size) for image in range(images)]
    if not all(os.path.isfile(path) for path in paths):
        return None
    crops = PillowCrops(paths, crop, data.scale, data.color_shift)
    # not forked, since a fork of a process with TensorFlow's threads may hang
    loader = torch.utils.data.DataLoader(
        crops, BATCH, num_workers=pipeline.cores(), multiprocessing_context="forkserver", persistent_workers=True
    )
    return lambda: loader
