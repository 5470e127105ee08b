"""3.2's protocols: a net and images in, posteriors out."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Split
from vgg_keras.nets.dense import to_fully_convolutional


@dataclass(frozen=True)
class Posteriors:
    """What a protocol says of every image of a split, in its order.

    Attributes:
        probabilities: (images, classes) float32.
        labels: (images,) int32.
    """

    probabilities: np.ndarray
    labels: np.ndarray


def dense(model: keras.Model, split: Split, data: Data, scales: Sequence[int], flip: bool, batch: int) -> Posteriors:
    """The dense test of 3.2: the whole image through the net as convolutions, at each scale Q.

    In this order: mean of the class score map over positions, soft-max, mean over the image and its mirror image, mean
    over the scales.

    Args:
        model: of `vgg_keras.build`, with logits.
        split: the images.
        data: its `interpolation` is read.
        scales: the values of Q, each the crop's side or more.
        flip: whether the mirror image counts too.
        batch: images of one size in one pass.
    """
    net = to_fully_convolutional(model)

    # one trace for all sizes
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)], jit_compile=False)
    def posterior(images):
        views = [images, images[:, :, ::-1]] if flip else [images]
        return sum(tf.nn.softmax(tf.reduce_mean(net(view, training=False), axis=[1, 2])) for view in views) / len(views)

    probabilities = np.zeros((split.size, model.output_shape[-1]), np.float32)
    labels = np.zeros(split.size, np.int32)
    progress = tqdm.tqdm(total=split.size * len(scales), desc="dense test", unit="image", disable=None)
    with progress, pipeline.readable_images():
        for side in scales:
            for images, batch_labels, ids in pipeline.whole_images(split, data, side, batch):
                probabilities[ids.numpy()] += posterior(images).numpy() / len(scales)
                labels[ids.numpy()] = batch_labels.numpy()
                progress.update(len(ids))
                stop.here()
    return Posteriors(probabilities, labels)
