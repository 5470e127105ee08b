"""The training set's mean colour (2.1) and the covariance of its colours (3.1's PCA shift)."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.data.pipeline import readable_images
from vgg_keras.data.preprocessing import decode
from vgg_keras.data.splits import Split, evenly


@dataclass(frozen=True)
class Statistics:
    """Of RGB values in 0-255, each image counting alike whatever its size.

    Attributes:
        mean: R, G, B.
        covariance: 3 x 3.
        images: how many training images they come from.
    """

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    images: int

    @property
    def color_basis(self) -> np.ndarray:
        """(3, 3) float32: times [a1 a2 a3] it is the shift [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, in 0-255.

        The eigenvalues are those of values in 0-1, the shift is brought to 0-255 after: variances depend on the unit, and
        in 0-255 the same formula would shift by hundreds of grey levels.
        """
        eigenvalues, eigenvectors = np.linalg.eigh(np.array(self.covariance) / 255**2)
        return (255 * eigenvectors * eigenvalues).astype(np.float32)

    def __str__(self) -> str:
        mean = ", ".join(f"{value:.1f}" for value in self.mean)
        rows = "; ".join(" ".join(f"{value:.0f}" for value in row) for row in self.covariance)
        return f"mean R, G, B {mean}, covariance {rows}"


def measure(split: Split, images: int) -> Statistics:
    """Mean and covariance of a training split, from all its images or from `images` of them, evenly spaced."""
    chosen = evenly(split.size, images)
    count = len(chosen)

    def moments(image):
        pixels = tf.cast(tf.reshape(decode(split.read(image)[0]), [-1, 3]), tf.float32)
        size = tf.cast(tf.shape(pixels)[0], tf.float64)
        # second moments about mid-grey: float32 products of values up to 255 would lose digits in a large sum
        centred = pixels - 127.5
        second = tf.cast(tf.matmul(centred, centred, transpose_a=True), tf.float64) / size
        return tf.cast(tf.reduce_sum(centred, axis=0), tf.float64) / size, second

    rows = tf.data.Dataset.from_tensor_slices(chosen).map(moments, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    first, second = np.zeros(3), np.zeros((3, 3))
    progress = tqdm.tqdm(rows.as_numpy_iterator(), "mean and covariance", count, unit="image", disable=None)
    with readable_images():
        for mean, square in progress:
            first += mean / count
            second += square / count
            stop.here()
    covariance = second - np.outer(first, first)
    return Statistics(tuple((first + 127.5).tolist()), tuple(map(tuple, covariance.tolist())), count)
