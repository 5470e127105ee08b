"""tf.data: which image stands where in which step, and how images become batches.

Everything random is a function of (seed, epoch, image id), so the pictures of a step are the same for any number of
parallel calls, devices and restarts, and a run that starts at step 1,000 skips numbers, not images.
"""

import contextlib
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data, UserError
from vgg_keras.data.preprocessing import center_crop, decode, rescale, training_crop
from vgg_keras.data.splits import Split

_UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
)


@contextlib.contextmanager
def readable_images() -> Iterator[None]:
    """Turns an image that went bad after the scan into a message.

    Raises:
        UserError: an element of a dataset could not be made.
    """
    try:
        yield
    except _UNREADABLE as error:
        if "IteratorGetNext" not in str(error):
            raise
        raise UserError(
            "The images must stay as they were when the run began. Received one that can no longer be read: "
            f"{plain(error)}. Run the same command again: the scan names it. Put it back to go on, or begin "
            "anew without it in another --workdir."
        ) from error


def plain(error: Exception) -> str:
    """The words of a TensorFlow error that matter to a user, in one line."""
    return str(error).splitlines()[0].split("}} ")[-1].split(" [Op:")[0].rstrip(". ")


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
) -> tf.data.Dataset:
    """The training batches of the steps in [first_step, last_step), each step as `replicas` elements, one a device.

    An epoch takes every image exactly once, in an order of its own. Its last batch may be partial: the slots that are
    left repeat an image with weight 0, behind the real ones on each device.

    Returns:
        A dataset of (images (n, crop, crop, 3) float32, labels (n,) int32, weights (n,) float32), n being
        `per_replica(data.batch, replicas)`. Weights are 1 / (images in the step), so that a weighted sum over all
        devices is the mean over the step's images.
    """
    steps = steps_per_epoch(split.size, data.batch)
    rows = per_replica(data.batch, replicas)
    slot = tf.range(rows * replicas, dtype=tf.int64)
    place = slot % rows * replicas + slot // rows  # dealt out in turn: a partial batch spreads over the devices
    root = tf.constant([seed, 0], tf.int64)

    def epoch_steps(epoch):
        epoch_seed = tf.random.fold_in(root, epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(split.size, dtype=tf.int64), epoch_seed)
        first = tf.maximum(first_step - epoch * steps, 0)
        last = tf.minimum(last_step - epoch * steps, steps)
        return tf.data.Dataset.range(first, last).flat_map(lambda step: step_slots(epoch_seed, order, step))

    def step_slots(epoch_seed, order, step):
        start = step * data.batch
        count = tf.minimum(tf.cast(data.batch, tf.int64), split.size - start)
        images = tf.gather(order, start + tf.minimum(place, count - 1))
        weights = tf.where(place < count, 1.0 / tf.cast(count, tf.float32), 0.0)
        seeds = tf.repeat(epoch_seed[tf.newaxis], rows * replicas, axis=0)
        return tf.data.Dataset.from_tensor_slices((images, weights, seeds))

    def example(image, weight, epoch_seed):
        encoded, label = split.read(image)
        window = training_crop(decode(encoded), tf.random.fold_in(epoch_seed, image), data, crop, color_basis)
        return window, label, weight

    epochs = tf.data.Dataset.range(first_step // steps, (last_step + steps - 1) // steps)
    return (
        epochs.flat_map(epoch_steps)
        .map(example, tf.data.AUTOTUNE, deterministic=True)
        .batch(rows, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def validation(split: Split, data: Data, crop: int, side: int, batch: int, replicas: int = 1) -> tf.data.Dataset:
    """Every image once: the centre crop of each, rescaled to `side`, in its order.

    Returns:
        A dataset of full batches (images (batch, crop, crop, 3) float32, labels (batch,) int32, weights (batch,)
        float32): weight 1, and 0 for the images that fill the last batches up, so that each device gets equally many.
    """
    slots = math.ceil(split.size / (batch * replicas)) * batch * replicas

    def example(slot):
        encoded, label = split.read(tf.minimum(slot, split.size - 1))
        window = center_crop(decode(encoded), side, crop, data.interpolation)
        return window, label, tf.cast(slot < split.size, tf.float32)

    return (
        tf.data.Dataset.range(slots)
        .map(example, tf.data.AUTOTUNE, deterministic=True)
        .batch(batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


STRETCH = 8  # batches' worth of images among which those of one size are put together


def whole_images(split: Split, data: Data, side: int, batch: int) -> tf.data.Dataset:
    """Every image once, whole, its smaller side at `side`; neighbouring images of one size stand together in batches.

    Returns:
        A dataset of (images (n, height, width, 3) float32, labels (n,) int32, ids (n,) int64), n from 1 to `batch`, in an
        order of its own: the ids tell which image is which.
    """

    def example(image):
        encoded, label = split.read(image)
        return rescale(decode(encoded), side, data.interpolation), label, image

    def size(window, label, image):
        shape = tf.shape(window, tf.int64)
        return shape[0] * 2**32 + shape[1]

    def grouped(ids):
        images = ids.map(example, tf.data.AUTOTUNE, deterministic=True)
        return images.group_by_window(size, lambda _, alike: alike.batch(batch), window_size=batch)

    # in stretches: photographs have hundreds of sizes, and a batch of each would have to wait in memory for its last image
    return tf.data.Dataset.range(split.size).window(STRETCH * batch).flat_map(grouped).prefetch(2)
