"""The source digits against scikit-learn's own."""

import numpy as np
import tensorflow as tf

from tests.data.toy_splits import labels
from vgg_keras.config import Data
from vgg_keras.data.decoding import decode
from vgg_keras.data.sources import open_source


def test_digits_are_scikit_learns_and_each_fifth_one_validates():
    from sklearn.datasets import load_digits

    source = open_source(Data())
    truth = load_digits()
    assert (source.train.size, source.val.size, source.classes) == (1438, 359, tuple("0123456789"))
    assert labels(source.val) == truth.target[4::5].tolist()
    for image in (0, 100, 358):
        decoded = decode(source.val.read(tf.constant(image, tf.int64))[0]).numpy()
        assert np.abs(decoded - truth.images[4 + 5 * image][..., None] * 255 / 16).max() <= 0.5
