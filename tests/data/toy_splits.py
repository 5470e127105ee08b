"""Splits of random pictures in memory, and the labels that are read from a split."""

import numpy as np
import tensorflow as tf

from vgg_keras.data.splits import Split

SPLITS = ("train", "val", "test")
BASIS = np.random.default_rng(1).normal(0, 10, (3, 3)).astype(np.float32)


def noise(images, seed=0):
    """A split of random pictures of several sizes, PNG and JPEG in turn, whose label is their number."""
    random = np.random.default_rng(seed)
    sizes = [(40 + 5 * (image % 3), 36 + 40 * (image % 4)) for image in range(images)]
    pictures = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    encode = tf.io.encode_png, tf.io.encode_jpeg
    encoded = tf.constant([encode[image % 2](picture).numpy() for image, picture in enumerate(pictures)])
    return Split(
        images,
        lambda image: (tf.gather(encoded, image), tf.cast(image, tf.int32)),
        lambda image: f"p{image}",
        sizes=np.array(sizes, np.int32),
        jpegs=np.arange(images) % 2 == 1,
    )


def pictures(random, sizes):
    encoded = tf.constant([tf.io.encode_png(random.integers(0, 256, (*size, 3), np.uint8)).numpy() for size in sizes])
    return Split(
        len(sizes), lambda image: (tf.gather(encoded, image), tf.cast(image, tf.int32)), lambda image: f"p{image}"
    )


def labels(split):
    return [int(split.read(tf.constant(image, tf.int64))[1]) for image in range(split.size)]
