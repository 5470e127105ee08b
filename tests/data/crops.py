"""Training crops of files that were not scanned: their sizes are found by decoding them."""

import numpy as np
import tensorflow as tf

from vgg_keras.data import augment, decoding

NO_SHIFT = np.zeros((3, 3), np.float32)


def augmented(encoded, draws, data, crop=32, basis=NO_SHIFT):
    """What these draws, (..., 7), make of one file."""
    rows = draws.shape[:-1]
    size = np.broadcast_to(decoding.decode(encoded).shape[:2], (*rows, 2))
    return augment.draw_augmentations(size, np.full(rows, tf.io.is_jpeg(encoded)), draws, data, crop, basis)


def cropped(encoded, draws, data, crop=32, basis=NO_SHIFT, orientation=None):
    """The crop of a row of draws, as NumPy."""
    drawn = augmented(encoded, draws, data, crop, basis)
    turn = None if orientation is None else tf.constant(orientation)
    return augment.augment(tf.constant(0), encoded, drawn, data, crop, turn).numpy()


def without_flip(*draws):
    """A row of draws: S, row and column; no flip."""
    return tf.constant([*draws, 0.9, 0, 0, 0], tf.float32)


PLAIN = {"flip": False, "color_shift": 0.0}
