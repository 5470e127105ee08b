"""The loss of each image, and what is counted of it, with one class per image (soft-max, 3.1) or any number (sigmoids).

Which of the two follows from the labels: (n,) int32, or (n, classes) int8 of 1, 0, and -1 where a class is not trained.
"""

import tensorflow as tf


def losses(
    logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0, class_weights: tf.Tensor | None = None
) -> tf.Tensor:
    """The loss of each image, (n,).

    Args:
        logits: (n, classes).
        labels: of one of the two kinds.
        smoothing: `training.label_smoothing`.
        class_weights: of `class_weights.of_classes`; None: all are 1.
    """
    if labels.shape.rank == 2:
        return _of_sigmoids(logits, labels, smoothing, class_weights)
    found = _of_softmax(logits, labels, smoothing)
    # as Keras: the mean over a batch's images, whatever their weights add up to
    return found if class_weights is None else found * tf.gather(class_weights, labels)


def _of_softmax(logits: tf.Tensor, labels: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Cross-entropy; with smoothing, each class has an equal share of `smoothing` of the label."""
    found = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not smoothing:
        return found
    of_all_classes = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)
    return (1 - smoothing) * found + smoothing * of_all_classes


def _of_sigmoids(logits: tf.Tensor, labels: tf.Tensor, smoothing: float, class_weights: tf.Tensor | None) -> tf.Tensor:
    """The mean over all classes of their binary cross-entropy, as Keras's; smoothing moves labels towards 1/2.

    A class that is not trained adds 0 and is still one of the classes: other classes do not weigh more for it.
    """
    present = tf.cast(labels > 0, logits.dtype)
    targets = present * (1 - smoothing) + smoothing / 2
    found = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits) * tf.cast(labels >= 0, logits.dtype)
    if class_weights is not None:  # (2, classes): without the class, and with it
        found *= tf.where(labels > 0, class_weights[1], class_weights[0])
    return tf.reduce_mean(found, axis=1)


def sums(logits: tf.Tensor, labels: tf.Tensor, of_images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Over the images whose weight is not 0: losses, two counts, images; (4,) float64, in the order that `steps` names.

    The counts are of top-1 and top-5 mistakes; of a multi-label set of wrong decisions, and of all that are counted.
    """
    if labels.shape.rank == 2:
        counted = labels >= 0
        wrong = ((logits >= 0) != (labels > 0)) & counted
        counts = [tf.reduce_sum(tf.cast(decisions, tf.float32), axis=1) for decisions in (wrong, counted)]
    else:
        ranks = label_ranks(logits, labels)
        counts = [tf.cast(ranks >= 1, tf.float32), tf.cast(ranks >= 5, tf.float32)]
    columns = [of_images, *counts, tf.ones_like(of_images)]
    real = tf.boolean_mask(tf.stack(columns, axis=1), weights > 0)
    return tf.reduce_sum(tf.cast(real, tf.float64), axis=0)


def class_sums(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Of each class its images and those that are predicted wrongly, (classes, 2) float64; one class per image."""
    wrong = tf.cast(label_ranks(logits, labels) >= 1, tf.float64)
    rows = tf.stack([tf.ones_like(wrong), wrong], axis=1) * tf.cast(weights > 0, tf.float64)[:, tf.newaxis]
    return tf.math.unsorted_segment_sum(rows, labels, tf.shape(logits)[1])


def label_ranks(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many classes rank before the right one in each row; `evaluation.metrics.label_ranks` inside a graph."""
    right = tf.gather(logits, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    before = tf.range(tf.shape(logits)[1])[tf.newaxis] < labels[:, tf.newaxis]
    ahead = tf.logical_not(logits <= right) | ((logits == right) & before)
    return tf.math.count_nonzero(ahead, axis=1, dtype=tf.int32)
