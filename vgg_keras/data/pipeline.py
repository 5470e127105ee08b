"""tf.data: which image stands where in which step, and how images become batches.

Everything random is a function of (seed, epoch, image id), so the pictures of a step are the same for any number of
parallel calls, devices and restarts, and a run that starts at step 1,000 skips numbers, not images.
"""

import math

import numpy as np
import tensorflow as tf

from vgg_keras import processor
from vgg_keras.config import Data, Evaluation
from vgg_keras.data.augment import augment, draw_augmentations, epoch_draws, reads_windows
from vgg_keras.data.decoding import decode, upright
from vgg_keras.data.errors import readable_image
from vgg_keras.data.rescaling import center_crop, rescale, rescaled_size
from vgg_keras.data.splits import Split


def whole(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One image (height, width, 3) uint8 as it is looked at, and its label."""
    encoded, label = split.read(split.unchanged(image))
    orientation = split.orientation(image)
    pixels = decode(encoded)
    return pixels if orientation is None else upright(pixels, orientation), label


def picture(split: Split, image: int) -> tuple[tf.Tensor, int]:
    """The same outside of any dataset.

    Raises:
        UserError: it cannot be read.
    """
    with readable_image(split, image):
        pixels, label = whole(split, tf.constant(image, tf.int64))
        return pixels, int(label)


def encoded(split: Split, image: int) -> tuple[bytes, int]:
    """An image's file and its label, outside of any dataset.

    Raises:
        UserError: it cannot be read.
    """
    with readable_image(split, image):
        content, label = split.read(split.unchanged(tf.constant(image, tf.int64)))
        return content.numpy(), int(label)


PREFETCH = 2  # batches that are made before they are asked for


def steps_per_epoch(images: int, batch: int) -> int:
    """Updates an epoch takes; the last one's batch may be smaller."""
    return math.ceil(images / batch)


def per_replica(batch: int, replicas: int) -> int:
    """Slots of a global batch on each device."""
    return math.ceil(batch / replicas)


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

    An epoch takes every image exactly once, in an order of its own. Its last batch may be partial: the slots that are
    left repeat an image with weight 0, behind the real ones on each device.

    Args:
        split: scanned.
        replicas: devices in all, equally many on each worker.
        worker: whose elements these are; images of the others are not read.
        workers: in all.

    Returns:
        A dataset of (images (n, crop, crop, 3) float32, labels (n,) int32, weights (n,) float32), n being
        `per_replica(data.batch, replicas)`. Weights are 1 / (images in the step), so that a weighted sum over all
        devices is the mean over the step's images.
    """
    steps = steps_per_epoch(split.size, data.batch)
    rows = per_replica(data.batch, replicas)
    slot = tf.range(rows * replicas, dtype=tf.int64)
    place = slot % rows * replicas + slot // rows  # dealt out in turn: a partial batch spreads over the devices
    mine = rows * replicas // workers
    place = place[worker * mine : (worker + 1) * mine]

    sizes, jpegs = tf.constant(split.sizes), tf.constant(split.jpegs)

    def epoch_steps(epoch):
        epoch_seed = seed_of(seed, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(split.size, dtype=tf.int64), epoch_seed)
        draws = epoch_draws(epoch_seed, split.size)
        first = tf.maximum(first_step - epoch * steps, 0)
        last = tf.minimum(last_step - epoch * steps, steps)
        return tf.data.Dataset.range(first, last).flat_map(lambda step: step_slots(order, draws, step))

    def step_slots(order, draws, step):
        start = step * data.batch
        count = tf.minimum(tf.cast(data.batch, tf.int64), split.size - start)
        slots = tf.minimum(place, count - 1)
        weights = tf.where(place < count, 1.0 / tf.cast(count, tf.float32), 0.0)
        # for the whole step on every worker, since TensorFlow rounds by the number of images
        images = tf.gather(order, start + tf.minimum(tf.range(data.batch, dtype=tf.int64), count - 1))
        known = (tf.gather(table, images) for table in (sizes, jpegs, draws))
        drawn = draw_augmentations(*known, data, crop, color_basis)
        images, drawn = tf.nest.map_structure(lambda of_step: tf.gather(of_step, slots), (images, drawn))
        # the files are checked for the whole step at once: the check runs in Python, which one image after another waits for
        return tf.data.Dataset.from_tensor_slices((split.unchanged(images), drawn, weights))

    def example(image, drawn, weight):
        encoded, label = split.read(image)
        return augment(image, encoded, drawn, data, crop, split.orientation(image)), label, weight

    epochs = tf.data.Dataset.range(first_step // steps, (last_step + steps - 1) // steps)
    examples = epochs.flat_map(epoch_steps).map(example, num_parallel_calls(), deterministic=True)
    return without_autotune(examples.batch(rows, drop_remainder=True).prefetch(PREFETCH), threads=num_parallel_calls())


def seed_of(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """What decides an epoch's order and its crops."""
    return tf.random.fold_in(tf.constant([seed, 0], tf.int64), epoch)


def seen(
    split: Split, image: int, seed: int, epoch: int, data: Data, crop: int, color_basis: np.ndarray
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the net is shown of an image in an epoch, (crop, crop, 3) float32, and its label."""
    draws = epoch_draws(seed_of(seed, tf.constant(epoch, tf.int64)), split.size)[image]
    drawn = draw_augmentations(split.sizes[image], split.jpegs[image], draws, data, crop, color_basis)
    with readable_image(split, image):
        image = tf.constant(image, tf.int64)
        encoded, label = split.read(split.unchanged(image))
        return augment(image, encoded, drawn, data, crop, split.orientation(image)), label


def validation(
    split: Split, data: Data, crop: int, side: int, batch: int, replicas: int = 1, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """Every image once over all workers: the centre crop of each, rescaled to `side`, in its order.

    Returns:
        A dataset of full batches (images (batch, crop, crop, 3) float32, labels (batch,) int32, weights (batch,)
        float32): weight 1, and 0 for the images that fill the last batches up, so that each device gets equally many.
    """
    turn, mine = batch * replicas, batch * replicas // workers  # slots of all devices together, and of this worker's
    turns = math.ceil(split.size / turn)

    def example(place):
        slot = place // mine * turn + worker * mine + place % mine
        pixels, label = whole(split, tf.minimum(slot, split.size - 1))
        window = center_crop(pixels, side, crop, data.interpolation)
        return window, label, tf.cast(slot < split.size, tf.float32)

    return without_autotune(
        tf.data.Dataset.range(turns * mine)
        .map(example, tf.data.AUTOTUNE, deterministic=True)
        .batch(batch, drop_remainder=True)
        .prefetch(PREFETCH)
    )


STRETCH = 4  # batches' worth of images among which those of one size are put together


def whole_images(split: Split, data: Data, rules: Evaluation, crop: int, side: int) -> tf.data.Dataset:
    """Every image once, whole, its smaller side at `side`; neighbouring images of one size stand together in batches.

    A batch has at most as many pixels as `rules.batch` crops, its mirror images counted where `rules.flip` wants them; or
    it is a single image.

    Returns:
        A dataset of (images (n, height, width, 3) float32, labels (n,) int32, ids (n,) int64), in an order of its own: the
        ids tell which image is which.
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
            size, lambda size, alike: alike.batch(images_in_a_batch(size)), window_size_func=images_in_a_batch
        )

    # in stretches: photographs have hundreds of sizes, and a batch of each would have to wait in memory for its last image
    return without_autotune(
        tf.data.Dataset.range(split.size).window(STRETCH * rules.batch).flat_map(grouped).prefetch(PREFETCH)
    )


def crops(split: Split, data: Data, rules: Evaluation, crop: int, side: int, grid: int) -> tf.data.Dataset:
    """The crops of a regular grid over every image, its smaller side at `side` (3.2); a grid of 1 is the centre crop.

    Places that coincide, as all of a square image's do at `side` = `crop`, come once and count as often.

    Returns:
        A dataset of (crops (n, crop, crop, 3) float32, labels (n,) int32, ids (n,) int64, counts (n,) int32), n from 1 to
        `rules.batch`, image after image; an image's counts add up to grid x grid.
    """

    def example(image):
        window, label = _rescaled(split, data, rules, side, image)
        tops, rows = places(tf.shape(window)[0] - crop, grid)
        lefts, columns = places(tf.shape(window)[1] - crop, grid)
        corners = tf.stack(tf.meshgrid(tops, lefts, indexing="ij"), axis=-1)  # (tops, lefts, 2)
        windows = tf.map_fn(
            lambda corner: window[corner[0] : corner[0] + crop, corner[1] : corner[1] + crop],
            tf.reshape(corners, [-1, 2]),
            fn_output_signature=tf.TensorSpec([crop, crop, 3], tf.float32),
        )
        counts = tf.reshape(rows[:, None] * columns, [-1])
        return windows, tf.fill(tf.shape(counts), label), tf.fill(tf.shape(counts), image), counts

    images = tf.data.Dataset.range(split.size).map(example, tf.data.AUTOTUNE, deterministic=True)
    return without_autotune(images.rebatch(rules.batch).prefetch(PREFETCH))


def choices(data: Data) -> str:
    """How training images are read on this machine, in a line."""
    windows = "JPEG windows" if reads_windows(data) else "whole pictures"
    return f"{num_parallel_calls()} images at once, {PREFETCH} batches ahead, {windows}"


def num_parallel_calls() -> int:
    """How many images are made at once for training: one more than cores, so that a core goes on where an image waits."""
    return processor.cores() + 1


def without_autotune(dataset: tf.data.Dataset, threads: int | None = None) -> tf.data.Dataset:
    """Without tf.data's tuning thread, for which the ends of iterators waited by up to 3 seconds.

    Args:
        threads: of its own for each of its iterators, for one that lasts a run: in TensorFlow's pool images would queue
            behind the operations of a step. None: that pool.
    """
    options = tf.data.Options()
    options.autotune.enabled = False  # AUTOTUNE is then as many calls as threads, but sixteen at most
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


def places(spare: tf.Tensor, grid: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The different first pixels of `grid` crops spread evenly over `spare` pixels and the crop, and how often each comes."""
    if grid == 1:
        return tf.reshape(spare // 2, [1]), tf.ones([1], tf.int32)
    even = tf.linspace(tf.constant(0, tf.float64), tf.cast(spare, tf.float64), grid)
    firsts, _, counts = tf.unique_with_counts(tf.cast(tf.round(even), tf.int32))
    return firsts, counts


def _rescaled(split: Split, data: Data, rules: Evaluation, side: int, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The whole image with its smaller side at `side`, and its label; an error where it would be too large."""
    pixels, label = whole(split, image)
    height, width = rescaled_size(tf.shape(pixels)[0], tf.shape(pixels)[1], side)
    few = height * width <= rules.max_pixels
    too_large = tf.strings.format("too large: image {}, {} x {}", (image, height, width))
    with tf.control_dependencies([tf.debugging.Assert(few, [too_large])]):
        return rescale(tf.identity(pixels), side, data.interpolation), label
