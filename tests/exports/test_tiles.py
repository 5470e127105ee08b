"""The dense net in parts: no more pixels or windows at once than allowed, and the same scores."""

import numpy as np
import pytest
import tensorflow as tf

from tests.exports.test_saved_model import BATCH, CROP, pictures, served, small
from vgg_keras.config import Evaluation
from vgg_keras.exports.tiles import TiledNet
from vgg_keras.nets.dense import to_fully_convolutional


@pytest.mark.slow
def test_windows_of_several_maps_go_through_the_fc_layers_together(random):
    """More positions than one batch of windows holds, of maps whose ends fall inside of one."""
    model = small()
    tiled = TiledNet(model, Evaluation(batch=64))
    images = random.uniform(0, 255, (3, 32 * 11, 32 * 13, 3)).astype(np.float32)  # 10 x 12 positions each
    scores = np.asarray(to_fully_convolutional(model)(images, training=False), np.float64)
    assert scores.shape[1:3] == (10, 12)
    found = tiled.mean_logits(tiled.last_map(tf.constant(images))).numpy()
    assert np.abs(found - scores.mean(axis=(1, 2))).max() <= 1e-5 * np.abs(scores).max()


@pytest.mark.slow
def test_no_more_pixels_than_a_batch_of_crops_go_through_the_net_at_once(random):
    """Whatever the image and the batch, but for the few positions that a tile overlaps its neighbours by."""
    module, sizes = served(small(), max_pixels=2**24), []
    convolutions = module._net._convolutions

    def recorded(images):
        shape = tf.ensure_shape(tf.numpy_function(lambda x: sizes.append(x) or x, [tf.shape(images)], tf.int32), [4])
        with tf.control_dependencies([shape]):
            return convolutions(tf.identity(images))

    module._net._convolutions = recorded
    module.serving_default(tf.constant(pictures(random, 40, 64, 64)))
    assert (
        len(sizes) == 40 + 3 * 40
    )  # an image and its mirror image: at Q=64 whole, at Q=96 in a tile for each position
    module.encoded(tf.stack([tf.io.encode_png(pictures(random, 1, 64, 4000)[0])]))
    least = 2 + 2 * module._net._halo  # positions, with the pixels past the last one
    assert max(np.prod(size[:3]) for size in sizes) <= max(BATCH * CROP**2, 2 * 96 * 32 * least)
    assert len(sizes) > 160 + 30  # the tiles of a strip of 4000 and of 6000 pixels
