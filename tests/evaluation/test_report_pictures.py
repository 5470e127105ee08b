"""Pictures of the report, whatever the images' sizes."""

import numpy as np
import tensorflow as tf

from vgg_keras.data.splits import Split
from vgg_keras.evaluation import report_pictures


def test_the_thumbnail_of_a_panorama_takes_little_memory(random, monkeypatch):
    """A window of the rescaled picture, which for 1 x 60,000 pixels would be 160 x 9,600,000: 18 GB."""
    pixels = random.integers(0, 256, (1, 60_000, 3), np.uint8)
    encoded = tf.io.encode_jpeg(pixels, quality=95)
    split = Split(1, lambda image: (encoded, tf.constant(0)), str)
    thumbnail = tf.io.decode_jpeg(report_pictures._thumbnail(split, 0))
    assert thumbnail.shape == (160, 320, 3)
    middle = tf.io.decode_jpeg(encoded)[0, 29_998:30_002].numpy().mean(axis=0)
    assert np.abs(thumbnail[80, 100:220].numpy().mean(axis=0) - middle).max() < 60  # about the same colours
