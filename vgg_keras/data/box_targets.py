"""What a net of boxes is trained on (appendix A): which box of each image in an epoch, and where a crop shows it."""

import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import fast_jpeg
from vgg_keras.data.augment import Augmentation
from vgg_keras.data.boxes import Boxes, as_stored, in_window, target
from vgg_keras.data.splits import Split


class TrainedBoxes:
    """Of each image the box that its crop must show, and the box that the crop is trained on, both in the stored image.

    They differ only with `data.several_boxes=in_crop`, where a crop that must show a box can show more of another one.
    """

    def __init__(self, boxes: Boxes, several: str):
        self._several = several
        self._largest = None if several in ("random", "in_crop") else tf.constant(boxes.largest())
        self._values, self._splits = tf.constant(boxes.values), tf.constant(boxes.starts)

    def of_epoch(self, epoch_seed: tf.Tensor) -> tf.Tensor:
        """The box that each image's crop must show in an epoch, (images, 4)."""
        if self._largest is not None:
            return self._largest
        starts, counts = self._splits[:-1], self._splits[1:] - self._splits[:-1]
        share = tf.random.stateless_uniform(tf.shape(starts), tf.random.fold_in(epoch_seed, 2), dtype=tf.float64)
        return tf.gather(self._values, starts + tf.cast(share * tf.cast(counts, tf.float64), tf.int64))

    def of_crops(self, images: tf.Tensor, boxes: tf.Tensor, drawn: Augmentation) -> tf.Tensor:
        """The box that each crop is trained on, (n, 4).

        Args:
            images: (n,), their ids.
            boxes: (n, 4), those of `of_epoch`.
            drawn: of these images.
        """
        if self._several != "in_crop":
            return boxes
        every = tf.gather(tf.RaggedTensor.from_row_splits(self._values, self._splits), images).to_tensor()
        window = stored_window(drawn)[:, tf.newaxis]
        low, high = window[..., 1::-1], window[..., 1::-1] + window[..., :1:-1]  # x before y
        sides = tf.minimum(every[..., 2:], high) - tf.maximum(every[..., :2], low)
        areas = tf.reduce_prod(tf.maximum(sides, 0), axis=-1)  # 0 of the rows that fill an image up, too
        return tf.gather(every, tf.argmax(areas, axis=-1), batch_dims=1)


def trained_boxes(split: Split, data: Data) -> TrainedBoxes | None:
    """Those of a scanned split; None: it has no boxes."""
    if split.boxes is None:
        return None

    def stored(values, owners):
        orientations = None if split.orientations is None else split.orientations[owners]
        return as_stored(values, split.sizes[owners], orientations)

    return TrainedBoxes(split.boxes.mapped(stored), data.several_boxes)


def stored_window(drawn: Augmentation) -> tf.Tensor:
    """The window of an augmentation in pixels of the stored image, (..., 4): top, left, height, width."""
    halvings = tf.where(drawn.decode_mode == fast_jpeg.FULL_DECODE, 0, drawn.decode_mode)
    return drawn.window * fast_jpeg.pixels_of_one(halvings)


def of_crop(label, box, drawn: Augmentation, orientation: tf.Tensor | None, data: Data) -> tf.Tensor:
    """What a box net is trained on for a crop, of `target`: the box of the stored image as the crop shows it."""
    flipped = drawn.flipped if data.flip else tf.constant(False)
    found = in_window(box, stored_window(drawn), orientation, flipped)
    return target(label, tf.clip_by_value(found, 0.0, 1.0) if data.cut_boxes == "clip" else found)
