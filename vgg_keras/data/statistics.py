"""The training set's mean colour (2.1) and the covariance of its colours (3.1's PCA shift)."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.data.decoding import decode
from vgg_keras.data.errors import readable_images
from vgg_keras.data.pipeline import PREFETCH, without_autotune
from vgg_keras.data.splits import Split, evenly, shown_sizes
from vgg_keras.progress import progress


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of the channels' values in 0-255, each image with the same weight whatever its size.

    Attributes:
        mean: of each channel, such as R, G, B.
        covariance: channels x channels.
        images: how many training images they come from.
        mean_box: of all training images with boxes, the mean of the largest one's centre x, y, width and height as shares of
            the image: what a net that sees nothing could say (A). Empty where there are no boxes.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    images: int
    mean_box: tuple[float, ...] = ()

    @property
    def color_basis(self) -> np.ndarray:
        """(channels, channels) float32. For RGB, times [a1 a2 a3] it is the shift [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, in 0-255.

        The eigenvalues are those of values in 0-1; the shift is brought to 0-255 after. Variances depend on the unit: in
        0-255 the same formula would shift by hundreds of grey levels.
        """
        eigenvalues, eigenvectors = np.linalg.eigh(np.array(self.covariance) / 255**2)
        return (255 * eigenvectors * eigenvalues).astype(np.float32)

    def __str__(self) -> str:
        mean = ", ".join(f"{value:.1f}" for value in self.mean)
        rows = "; ".join(" ".join(f"{value:.0f}" for value in row) for row in self.covariance)
        names = {1: "grey", 3: "R, G, B"}.get(len(self.mean), f"of {len(self.mean)} channels")
        return f"mean {names} {mean}, covariance {rows}"


@tf.autograph.experimental.do_not_convert
def measure(split: Split, images: int) -> Statistics:
    """Mean and covariance of a training split, from all its images or from `images` of them, evenly spaced."""
    chosen = evenly(split.size, images)
    count = len(chosen)
    ids = split.checked(tf.data.Dataset.from_tensor_slices(chosen))
    rows = ids.map(lambda image: color_sums(decode(split.read(image)[0], split.channels)), tf.data.AUTOTUNE)
    every = progress(without_autotune(rows.prefetch(PREFETCH)).as_numpy_iterator(), "mean and covariance", count)
    means, within = [], np.zeros((split.channels,) * 2)
    with readable_images():
        for sums in every:
            mean, covariance = _of_one_image(*sums)
            means.append(mean)
            within += covariance
            stop.raise_if_requested()
    # the covariance inside the images, and that of their means; neither is a difference of large numbers
    covariance = within / count + np.atleast_2d(np.cov(np.transpose(means), bias=True))
    mean = tuple(np.mean(means, axis=0).tolist())
    return Statistics(mean, tuple(map(tuple, covariance.tolist())), count, mean_box(split))


def mean_box(split: Split) -> tuple[float, ...]:
    """`Statistics.mean_box` of a scanned split."""
    if split.boxes is None:
        return ()
    largest, sizes = split.boxes.largest().astype(np.float64), shown_sizes(split)[:, ::-1]
    low, high = largest[:, :2] / sizes, largest[:, 2:] / sizes
    return tuple(np.concatenate([(low + high) / 2, high - low], axis=1).mean(axis=0).tolist())


BLOCK = 2**15  # pixels whose products, 255 * 255 at most, add up in int32
PART = 2**20  # pixels that are summed at once; as int32 they take 12 MiB, however large the image is


def color_sums(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The number of pixels of an image, the sums of its colours, and the sums of their products, all exact.

    Integers, since a sum in float32 stops growing: of 12 million pixels it is off by grey levels, of 108 by tens.

    Args:
        image: (height, width, channels) uint8.

    Returns:
        () int64; (channels,) int64; (channels, channels) int64.
    """
    channels = image.shape[-1]
    pixels = tf.reshape(image, [-1, channels])
    count = tf.shape(pixels, tf.int64)[0]

    def add_part(start, first, second):
        more, products = _sums_of_part(pixels[start : start + PART])
        return start + PART, first + more, second + products

    zeros = tf.zeros([channels], tf.int64), tf.zeros([channels, channels], tf.int64)
    # one part at a time: in parallel they could all be in memory at once
    _, first, second = tf.while_loop(
        lambda start, *_: start < count, add_part, (tf.constant(0, tf.int64), *zeros), parallel_iterations=1
    )
    return count, first, second


def _sums_of_part(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`color_sums` of (n, channels) uint8. Each colour's pixels are put in a row, over which a sum is several times faster."""
    count, channels = tf.shape(pixels)[0], pixels.shape[-1]
    block = tf.minimum(count, BLOCK)
    by_color = tf.stack(tf.unstack(pixels, axis=1))  # not tf.transpose, see `decoding._transposed`
    padded = tf.pad(by_color, [[0, 0], [0, -count % block]])  # zeros add nothing
    colors = tf.unstack(tf.cast(tf.reshape(padded, [channels, -1, block]), tf.int32))

    def total(values):  # (blocks, block) int32
        return tf.reduce_sum(tf.cast(tf.reduce_sum(values, axis=1), tf.int64))

    products = {(i, j): total(colors[i] * colors[j]) for i in range(channels) for j in range(i, channels)}
    rows = [[products[min(i, j), max(i, j)] for j in range(channels)] for i in range(channels)]
    return tf.stack([total(color) for color in colors]), tf.stack(rows)


def _of_one_image(count: int, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (channels,) and covariance (channels, channels) of an image, float64, from `color_sums`."""
    count, first, second = int(count), first.astype(object), second.astype(object)  # Python's integers do not overflow
    covariance = (count * second - np.outer(first, first)) / count**2
    return (first / count).astype(float), covariance.astype(float)
