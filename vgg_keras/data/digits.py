"""The data set `digits`: scikit-learn's handwritten digits, in memory. The smallest source, an example for another one."""

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data.splits import Source, Split, divided


def open_digits(data: Data) -> Source:
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # sixteen levels of grey
    encoded = tf.stack([tf.io.encode_png(np.repeat(image[..., None], 3, axis=-1)) for image in grey])
    classes = tuple(str(name) for name in bunch.target_names)
    labels = tf.constant(bunch.target, tf.int32)
    everything = Split(
        size=len(grey),
        read=lambda image: (tf.gather(encoded, image), tf.gather(labels, image)),
        name=lambda image: f"digit {image}",
        sizes=np.full((len(grey), 2), grey.shape[1:], np.int32),
        jpegs=np.zeros(len(grey), bool),
        labels=bunch.target.astype(np.int32),
        classes=classes,
    )
    train, val = divided(everything, data.holdout, "digits")
    return Source(
        name="digits",
        description=f"digits: scikit-learn's 1,797 handwritten digits, 8x8, {data.holdout:.0%} of them held out",
        classes=classes,
        train=train,
        val=val,
        holds_out=True,
    )
