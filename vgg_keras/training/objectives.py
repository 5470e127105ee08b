"""What a net is trained for: the loss of each image, and what a step and a validation sum up.

Classes, one an image or any number (`losses.py`), or the boxes of appendix A. A batch's targets are what `data/pipeline.py` makes
of a split: labels, or for boxes (n, 5) float32, the class and the box.
"""

import math
from typing import Protocol

import numpy as np
import tensorflow as tf

from vgg_keras.config import Config
from vgg_keras.training import losses


class Objective(Protocol):
    """What `steps` and `loop` need of a task.

    Attributes:
        ignorant_loss: of an answer that knows nothing, for images of the heaviest class; far above it a loss is out of control.
    """

    ignorant_loss: float

    def losses(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The loss of each image in training, (n,) float32."""

    def validation_losses(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """The same in a validation: without smoothing and weights of classes."""

    def sums(self, outputs: tf.Tensor, targets: tf.Tensor, of_images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Over the images whose weight is not 0, (4,) float64, in the order that `steps` names."""

    def of_classes(self, outputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """What a validation's measures of classes need."""


def of(config: Config, class_weights: np.ndarray | None = None) -> Objective:
    """The objective of a run; `architecture.num_classes` known.

    Args:
        config: of the run.
        class_weights: of `class_weights.of_classes`; None: all are 1.
    """
    return BoxRegression(config) if config.predicts_boxes else Classification(config, class_weights)


class Classification:
    """3.1's multinomial logistic regression, or sigmoids of a multi-label set."""

    def __init__(self, config: Config, class_weights: np.ndarray | None):
        weighted = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self._rules = config.training.label_smoothing, weighted
        heaviest = 1.0 if class_weights is None else max(1.0, float(class_weights.max()))
        classes = 2 if config.architecture.multi_label else config.architecture.num_classes
        self.ignorant_loss = heaviest * math.log(classes)

    def losses(self, outputs, targets):
        return losses.losses(outputs, targets, *self._rules)

    def validation_losses(self, outputs, targets):
        return losses.losses(outputs, targets)

    def sums(self, outputs, targets, of_images, weights):
        """Losses, mistakes, images."""
        return losses.sums(outputs, targets, of_images, weights)

    def of_classes(self, outputs, targets, weights):
        """Of one class per image `losses.class_sums`; of a multi-label set the logits, the labels and the weights.

        The logits rank the images: from 16.6 on every sigmoid of float32 is 1.
        """
        if targets.shape.rank == 1:
            return losses.class_sums(outputs, targets, weights)
        # of one type, because not every way between devices takes int8
        return tf.concat([outputs, tf.cast(targets, tf.float32), weights[:, tf.newaxis]], axis=1)


class BoxRegression:
    """A: the Euclidean loss between the box of the image's class and the true one, by Caffe half the squared distance."""

    def __init__(self, config: Config):
        architecture = config.architecture
        self._boxes, self._iou = architecture.outputs // 4, config.localization.iou
        self._unit = {"crop": 1.0, "pixels": float(architecture.crop)}[architecture.box_unit]
        self.ignorant_loss = self._unit**2 / 2  # of zeros, for a box in the middle of half the crop's sides

    def losses(self, outputs, targets):
        """Half the squared distance of the four numbers, in the net's unit."""
        return tf.reduce_sum((self._of_class(outputs, targets) - targets[:, 1:] * self._unit) ** 2, axis=1) / 2

    def validation_losses(self, outputs, targets):
        return self.losses(outputs, targets)

    def sums(self, outputs, targets, of_images, weights):
        """Losses, boxes whose intersection over union is too small, the sum of these ratios, images."""
        found = intersection_over_union(self._of_class(outputs, targets) / self._unit, targets[:, 1:])
        wrong = tf.cast(tf.logical_not(found > self._iou), tf.float32)
        real = tf.boolean_mask(tf.stack([of_images, wrong, found, tf.ones_like(found)], axis=1), weights > 0)
        return tf.reduce_sum(tf.cast(real, tf.float64), axis=0)

    def of_classes(self, outputs, targets, weights):
        """Nothing: a box has no measure of classes."""
        return tf.zeros([1], tf.float64)

    def _of_class(self, outputs, targets):
        """The box of each image's class, (n, 4)."""
        outputs = tf.cast(outputs, tf.float32)
        if self._boxes == 1:
            return tf.reshape(outputs, [-1, 4])
        labels = tf.cast(targets[:, 0], tf.int32)
        return tf.gather(tf.reshape(outputs, [-1, self._boxes, 4]), labels, axis=1, batch_dims=1)


def intersection_over_union(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The intersection over union of pairs of boxes (n, 4), centre x, y, width, height; a negative size counts as 0.

    As `localization.boxes.iou`.
    """

    def edges(box):
        size = tf.maximum(box[:, 2:], 0.0)
        return box[:, :2] - size / 2, box[:, :2] + size / 2, tf.reduce_prod(size, axis=1)

    (low, high, area), (other_low, other_high, other_area) = edges(boxes), edges(others)
    shared = tf.reduce_prod(tf.maximum(tf.minimum(high, other_high) - tf.maximum(low, other_low), 0.0), axis=1)
    return tf.math.divide_no_nan(shared, area + other_area - shared)
