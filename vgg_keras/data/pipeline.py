"""tf.data: which images make up which step, and how they become batches.

Everything random is a function of (seed, epoch, image id). So the images of a step are the same for any number of parallel
calls, devices and restarts. A run that starts at step 1,000 skips numbers, not images.

No function here needs AutoGraph. `do_not_convert` keeps it from rewriting them, which takes 2.5 s at the start of a run.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from tensorflow.autograph.experimental import do_not_convert

from vgg_keras import processor
from vgg_keras.config import Data, Evaluation
from vgg_keras.data import box_targets
from vgg_keras.data.augment import augment, draw_augmentations, epoch_draws, reads_windows
from vgg_keras.data.boxes import in_window, target
from vgg_keras.data.decoding import decode, upright
from vgg_keras.data.errors import readable_image
from vgg_keras.data.rescaling import center_crop, center_window, rescale, rescaled_size
from vgg_keras.data.splits import Split


def upright_image(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One image (height, width, channels) uint8, upright, and its label; its file is checked already."""
    encoded, label = split.read(image)
    orientation = split.orientation(image)
    pixels = decode(encoded, split.channels)
    return pixels if orientation is None else upright(pixels, orientation), label


def picture(split: Split, image: int) -> tuple[tf.Tensor, int | np.ndarray]:
    """One image (height, width, channels) uint8, upright, and its label, outside of any dataset: a number, or a multi-label row.

    Raises:
        UserError: it cannot be read.
    """
    with readable_image(split, image):
        pixels, label = upright_image(split, split.unchanged(tf.constant(image, tf.int64)))
        return pixels, _value(label)


def encoded(split: Split, image: int) -> tuple[bytes, int | np.ndarray]:
    """An image's file and its label as `picture` has it, outside of any dataset.

    Raises:
        UserError: it cannot be read.
    """
    with readable_image(split, image):
        content, label = split.read(split.unchanged(tf.constant(image, tf.int64)))
        return content.numpy(), _value(label)


def _value(label: tf.Tensor) -> int | np.ndarray:
    return label.numpy() if label.shape.rank else int(label)


PREFETCH = 2  # batches that are ready before the net needs them


def steps_per_epoch(images: int, batch: int) -> int:
    """Updates per epoch; the last one's batch may be smaller."""
    return math.ceil(images / batch)


def per_replica(batch: int, replicas: int) -> int:
    """Slots of a global batch on each device."""
    return math.ceil(batch / replicas)


@do_not_convert
def training(
    split: Split,
    data: Data,
    crop: int,
    color_basis: np.ndarray,
    seed: int,
    first_step: int | tf.Tensor,
    last_step: int | tf.Tensor,
    replicas: int = 1,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """The training batches of the steps in [first_step, last_step), each step as an element for each device of a worker.

    An epoch has every image exactly once, in an order of its own. Its last batch may be partial: the slots beyond its images
    repeat one with weight 0, behind the real ones on each device.

    Args:
        split: scanned.
        data: of the recipe.
        crop: side of the images.
        color_basis: (channels, channels), of `Statistics.color_basis`.
        seed: of orders and augmentation.
        replicas: devices in all, equally many on each worker.
        worker: the number of the worker that gets these elements; images of the others are not read.
        workers: in all.

    Returns:
        A dataset of (images (n, crop, crop, channels) float32, labels (n,) int32, weights (n,) float32), n being
        `per_replica(data.batch, replicas)`; a batch is at most the set. Weights are 1 / (images in the step), so that a weighted
        sum over all devices is the mean over the step's images. Here and below the labels of a multi-label set are (n, classes)
        int8, those of a split with boxes `boxes.target`'s (n, 5) float32.
    """
    data = dataclasses.replace(data, batch=min(data.batch, split.size))  # what fills a batch up is decoded too
    rows = per_replica(data.batch, replicas)
    places = _places_of_worker(rows, replicas, worker, workers)

    def example(image, drawn, weight, *box):
        encoded, label = split.read(image)
        pixels = augment(image, encoded, drawn, data, crop, split.orientation(image))
        return pixels, box_targets.of_crop(label, *box, drawn, split.orientation(image), data) if box else label, weight

    slots = _slots(split, data, crop, color_basis, seed, first_step, last_step, places)
    examples = slots.map(example, num_parallel_calls(), deterministic=True)
    return without_autotune(examples.batch(rows, drop_remainder=True).prefetch(PREFETCH), threads=num_parallel_calls())


def _slots(split, data, crop, color_basis, seed, first_step, last_step, places: tf.Tensor) -> tf.data.Dataset:
    """For each of these steps and each of these places in its batch: the image's id, its augmentation, its weight."""
    steps = steps_per_epoch(split.size, data.batch)
    sizes, jpegs = tf.constant(split.sizes), tf.constant(split.jpegs)
    boxes = box_targets.trained_boxes(split, data)

    def of_epoch(epoch):
        epoch_seed = seed_of(seed, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(split.size, dtype=tf.int64), epoch_seed)
        draws = epoch_draws(epoch_seed, split.size, split.channels)
        trained = [boxes.of_epoch(epoch_seed)] if boxes else []
        first = tf.maximum(first_step - epoch * steps, 0)
        last = tf.minimum(last_step - epoch * steps, steps)
        return tf.data.Dataset.range(first, last).flat_map(lambda step: of_step(order, draws, trained, step))

    def of_step(order, draws, trained, step):
        start = step * data.batch
        count = tf.minimum(tf.cast(data.batch, tf.int64), split.size - start)
        slots = tf.minimum(places, count - 1)
        weights = tf.where(places < count, 1.0 / tf.cast(count, tf.float32), 0.0)
        # for all images of the step on every worker, since TensorFlow's rounding depends on their number
        images = tf.gather(order, start + tf.minimum(tf.range(data.batch, dtype=tf.int64), count - 1))
        known = (tf.gather(table, images) for table in (sizes, jpegs, draws))
        trained = [tf.gather(table, images) for table in trained]
        drawn = draw_augmentations(*known, data, crop, color_basis, *trained)
        trained = [boxes.of_crops(images, *trained, drawn)] if boxes else []
        images, drawn, trained = tf.nest.map_structure(lambda one: tf.gather(one, slots), (images, drawn, trained))
        # the files of a step are checked together: the check runs in Python, for one image after another
        return tf.data.Dataset.from_tensor_slices((split.unchanged(images), drawn, weights, *trained))

    epochs = tf.data.Dataset.range(first_step // steps, (last_step + steps - 1) // steps)
    return epochs.flat_map(of_epoch)


def _places_of_worker(rows: int, replicas: int, worker: int, workers: int) -> tf.Tensor:
    """Which images of a global batch fill a worker's slots, device after device.

    They are dealt out in turn, so that a partial batch spreads over the devices.
    """
    slot = tf.range(rows * replicas, dtype=tf.int64)
    places = slot % rows * replicas + slot // rows
    per_worker = rows * replicas // workers
    return places[worker * per_worker : (worker + 1) * per_worker]


def seed_of(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """The seed of an epoch's order and its augmentation."""
    return tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)


def training_crop(
    split: Split, image: int, seed: int, epoch: int, data: Data, crop: int, color_basis: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """The crop of an image in an epoch's training, (crop, crop, channels) float32, and its label, or its `boxes.target`."""
    epoch_seed = seed_of(seed, tf.constant(epoch, tf.int64))
    ids = tf.constant([image], tf.int64)
    draws = tf.gather(epoch_draws(epoch_seed, split.size, split.channels), ids)
    boxes = box_targets.trained_boxes(split, data)
    trained = [tf.gather(boxes.of_epoch(epoch_seed), ids)] if boxes else []
    drawn = draw_augmentations(split.sizes[[image]], split.jpegs[[image]], draws, data, crop, color_basis, *trained)
    box = [boxes.of_crops(ids, *trained, drawn)[0]] if boxes else []
    drawn = tf.nest.map_structure(lambda field: field[0], drawn)
    with readable_image(split, image):
        encoded, label = split.read(split.unchanged(ids[0]))
        orientation = split.orientation(ids[0])
        pixels = augment(ids[0], encoded, drawn, data, crop, orientation)
        return pixels, box_targets.of_crop(label, *box, drawn, orientation, data) if box else label


@do_not_convert
def validation(
    split: Split, data: Data, crop: int, side: int, batch: int, replicas: int = 1, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """The centre crop of every image, rescaled to `side`: each image once over all workers, in their order.

    Returns:
        A dataset of full batches (images (batch, crop, crop, channels) float32, labels (batch,) int32, weights (batch,)
        float32), of a small set with as many images as a device gets of it. The weight is 1. Images of weight 0 fill the last
        batches up, so that each device gets equally many. Of a split with boxes the labels are those of `boxes.target` for the
        largest box, (batch, 5) float32.
    """
    batch = min(batch, per_replica(split.size, replicas))  # as in `training`
    turn, per_worker = batch * replicas, batch * replicas // workers  # slots of all devices, and of this worker's
    turns = math.ceil(split.size / turn)

    def slot_of(place):
        return place // per_worker * turn + worker * per_worker + place % per_worker

    largest = None if split.boxes is None else tf.constant(split.boxes.largest())

    def example(image, slot):
        pixels, label = upright_image(split, image)
        window = center_crop(pixels, side, crop, data.interpolation)
        if largest is not None:
            stretch, corner = center_window(tf.shape(pixels)[0], tf.shape(pixels)[1], side, crop)
            top_left = tf.concat([corner / stretch, crop / stretch], axis=0)
            label = target(label, in_window(tf.gather(largest, image), top_left, None, tf.constant(False)))
        return window, label, tf.cast(slot < split.size, tf.float32)

    slots = tf.data.Dataset.range(turns * per_worker).map(slot_of)
    ids = split.checked(slots.map(lambda slot: tf.minimum(slot, split.size - 1)))
    return without_autotune(
        tf.data.Dataset.zip(ids, slots)
        .map(example, tf.data.AUTOTUNE, deterministic=True)
        .batch(batch, drop_remainder=True)
        .prefetch(PREFETCH)
    )


STRETCH = 4  # how many batches of images are searched for those of one size


@do_not_convert
def whole_images(split: Split, data: Data, rules: Evaluation, crop: int, side: int) -> tf.data.Dataset:
    """Every image once, uncropped, its smaller side at `side`; neighbouring images of one size share a batch.

    A batch has at most as many pixels as `rules.batch` crops, its mirror images counted where `rules.flip` wants them; or
    it is a single image.

    Returns:
        A dataset of (images (n, height, width, channels) float32, labels (n,) int32, ids (n,) int64), in an order of its own,
        with the ids of the images.
    """

    def example(image):
        window, label = _rescaled(split, data, rules, side, image)
        return window, label, image

    def size(window, label, image):
        shape = tf.shape(window, tf.int64)
        return shape[0] * 2**32 + shape[1]

    def images_in_a_batch(size):
        pixels = size // 2**32 * (size % 2**32)
        return tf.clip_by_value(rules.batch * crop**2 // (pixels * (1 + rules.flip)), 1, rules.batch)

    def grouped(ids):
        images = ids.map(example, tf.data.AUTOTUNE, deterministic=True)
        return images.group_by_window(
            size, lambda size, images: images.batch(images_in_a_batch(size)), window_size_func=images_in_a_batch
        )

    # in stretches: photographs have hundreds of sizes, and a batch of each would have to wait in memory for its last image
    return without_autotune(
        split.checked(tf.data.Dataset.range(split.size))
        .window(STRETCH * rules.batch)
        .flat_map(grouped)
        .prefetch(PREFETCH)
    )


@do_not_convert
def crops(split: Split, data: Data, rules: Evaluation, crop: int, side: int, grid: int) -> tf.data.Dataset:
    """The crops of a regular grid over every image, its smaller side at `side` (3.2); a grid of 1 is the centre crop.

    Crops that coincide come once and are counted, such as all of a square image at `side` = `crop`.

    Returns:
        A dataset of (crops (n, crop, crop, channels) float32, labels (n,) int32, ids (n,) int64, counts (n,) int32), image after
        image. n is 1 to `rules.batch`. An image's counts add up to grid x grid.
    """

    def example(image):
        window, label = _rescaled(split, data, rules, side, image)
        tops, rows = crop_positions(tf.shape(window)[0] - crop, grid)
        lefts, columns = crop_positions(tf.shape(window)[1] - crop, grid)
        corners = tf.stack(tf.meshgrid(tops, lefts, indexing="ij"), axis=-1)  # (tops, lefts, 2)
        windows = tf.map_fn(
            lambda corner: window[corner[0] : corner[0] + crop, corner[1] : corner[1] + crop],
            tf.reshape(corners, [-1, 2]),
            fn_output_signature=tf.TensorSpec([crop, crop, split.channels], tf.float32),
        )
        counts = tf.reshape(rows[:, None] * columns, [-1])
        labels = tf.repeat(label[tf.newaxis], tf.size(counts), axis=0)
        return windows, labels, tf.fill(tf.shape(counts), image), counts

    ids = split.checked(tf.data.Dataset.range(split.size))
    images = ids.map(example, tf.data.AUTOTUNE, deterministic=True)
    return without_autotune(images.rebatch(rules.batch).prefetch(PREFETCH))


def choices(data: Data) -> str:
    """How training images are read on this machine, in a line."""
    windows = "JPEG windows" if reads_windows(data) else "full decoding"
    return f"{num_parallel_calls()} images at once, {PREFETCH} batches ahead, {windows}"


def num_parallel_calls() -> int:
    """How many images are made at once for training: one more than cores, so that no core is idle while an image waits."""
    return processor.cores() + 1


def without_autotune(dataset: tf.data.Dataset, threads: int | None = None) -> tf.data.Dataset:
    """A dataset without tf.data's tuning thread, which delays the end of an iterator by up to 3 seconds.

    Args:
        threads: a private pool for each iterator, for a dataset that lasts a run: in TensorFlow's pool images would queue
            behind the operations of a step. None: that pool.
    """
    options = tf.data.Options()
    options.autotune.enabled = False  # AUTOTUNE is then as many calls as threads, but sixteen at most
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


def crop_positions(spare: tf.Tensor, grid: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where `grid` crops begin that are spread evenly along a side, `spare` pixels longer than a crop.

    Rounded to the nearest pixel, a tie to the even one, in integers: in a graph TensorFlow rounds an even spread of float64
    values otherwise.

    Returns:
        The first pixels, each once, and how many of the crops begin there.
    """
    if grid == 1:
        return tf.reshape(spare // 2, [1]), tf.ones([1], tf.int32)
    steps = grid - 1
    below, rest = tf.range(grid) * spare // steps, tf.range(grid) * spare % steps
    up = (2 * rest > steps) | ((2 * rest == steps) & (below % 2 == 1))
    firsts, _, counts = tf.unique_with_counts(below + tf.cast(up, tf.int32))
    return firsts, counts


def _rescaled(split: Split, data: Data, rules: Evaluation, side: int, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The image with its smaller side at `side`, and its label; an error where it would be too large."""
    pixels, label = upright_image(split, image)
    height, width = rescaled_size(tf.shape(pixels)[0], tf.shape(pixels)[1], side)
    few = height * width <= rules.max_pixels
    too_large = tf.strings.format("too large: image {}, {} x {}", (image, height, width))
    with tf.control_dependencies([tf.debugging.Assert(few, [too_large])]):
        return rescale(tf.identity(pixels), side, data.interpolation), label
