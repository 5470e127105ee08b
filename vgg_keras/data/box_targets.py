"""What a net of boxes is trained on (appendix A): which box of each image in an epoch, and where a crop shows it."""

from collections.abc import Callable

import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import fast_jpeg
from vgg_keras.data.augment import Augmentation
from vgg_keras.data.boxes import as_stored, in_window, target
from vgg_keras.data.splits import Split


def boxes_of_epochs(split: Split, data: Data) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """A function of an epoch's seed to the box that is trained of each image, (images, 4) in the stored image; None: no boxes."""
    if split.boxes is None:
        return None
    stored = split.boxes.mapped(
        lambda values, owners: as_stored(
            values, split.sizes[owners], None if split.orientations is None else split.orientations[owners]
        )
    )
    if data.several_boxes != "random":
        largest = tf.constant(stored.largest())
        return lambda epoch_seed: largest
    values, starts, counts = (tf.constant(one) for one in (stored.values, stored.starts[:-1], stored.counts))

    def drawn(epoch_seed):
        share = tf.random.stateless_uniform([split.size], tf.random.fold_in(epoch_seed, 2), dtype=tf.float64)
        return tf.gather(values, starts + tf.cast(share * tf.cast(counts, tf.float64), tf.int64))

    return drawn


def of_crop(label, box, drawn: Augmentation, orientation: tf.Tensor | None, data: Data) -> tf.Tensor:
    """What a box net is trained on for a crop, of `target`: the box of the stored image as the crop shows it."""
    halvings = tf.where(drawn.decode_mode == fast_jpeg.FULL_DECODE, 0, drawn.decode_mode)
    flipped = drawn.flipped if data.flip else tf.constant(False)
    found = in_window(box, drawn.window * fast_jpeg.pixels_of_one(halvings), orientation, flipped)
    return target(label, tf.clip_by_value(found, 0.0, 1.0) if data.cut_boxes == "clip" else found)
