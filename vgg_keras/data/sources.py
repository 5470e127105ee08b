"""Where images come from: `digits`, a TensorFlow Datasets set by name, or a folder of class folders."""

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import folders, tfds
from vgg_keras.data.naming import require_source
from vgg_keras.data.splits import Source, Split, held_out
from vgg_keras.paths import user_path


def open_source(data: Data) -> Source:
    """The set that `data.source` names.

    Raises:
        UserError: no such folder or set; an empty one; classes that differ between its splits.
    """
    if data.source == "digits":
        return _digits(data.holdout)
    require_source(data.source, data.data_dir)
    if user_path(data.source).is_dir():
        return folders.open_folder(data)
    return tfds.open_builder(data)


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images of a set that a test names: its description, its classes, and the split `val`, `train`, `test` or `all`.

    Without a name it is the split that closes a run. The split's name stands before it.

    Raises:
        UserError: as in `open_source`, or no such split.
    """
    if user_path(data.source).is_dir():
        return folders.open_test(data, name)
    source = open_source(data)
    name = name or source.final_split
    return source.description, source.classes, name, source.split(name)


def _digits(holdout: float) -> Source:
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # sixteen levels of grey
    encoded = tf.stack([tf.io.encode_png(np.repeat(image[..., None], 3, axis=-1)) for image in grey])
    classes = tuple(str(name) for name in bunch.target_names)
    labels = tf.constant(bunch.target, tf.int32)
    whole = Split(
        size=len(grey),
        read=lambda image: (tf.gather(encoded, image), tf.gather(labels, image)),
        name=lambda image: f"digit {image}",
        sizes=np.full((len(grey), 2), grey.shape[1:], np.int32),
        jpegs=np.zeros(len(grey), bool),
        labels=bunch.target.astype(np.int32),
        classes=classes,
    )
    validates = held_out(len(grey), holdout)
    return Source(
        name="digits",
        description=f"digits: scikit-learn's 1,797 handwritten digits, 8x8, {holdout:.0%} of them held out",
        classes=classes,
        train=whole.select(np.flatnonzero(~validates)),
        val=whole.select(np.flatnonzero(validates)),
    )
