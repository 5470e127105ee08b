"""The dense test against a plain loop in NumPy around the net, image by image."""

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data.preprocessing import rescale
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import protocols
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional


def softmax(logits):
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def test_dense_equals_a_loop_over_scales_mirror_images_and_positions(random):
    sizes = [(40, 60), (64, 64), (90, 40), (40, 60), (64, 64)]  # two sizes come twice, so batches form
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    encoded = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    labels = tf.constant([0, 1, 2, 3, 4], tf.int32)
    split = Split(5, lambda image: (tf.gather(encoded, image), tf.gather(labels, image)), str)
    model = build("A", num_classes=6, width=1 / 16, crop=32, seed=3)
    scales = (64, 96)
    measured = protocols.dense(model, split, Data(), scales, flip=True, batch=2)

    net = to_fully_convolutional(model)
    expected = np.zeros((5, 6))
    for row, image in enumerate(images):
        for side in scales:
            window = rescale(tf.constant(image), side, "bilinear").numpy()
            for view in (window, window[:, ::-1]):
                score_map = np.asarray(net(view[None]))[0].astype(np.float64)
                mean = np.zeros(6)
                for y in range(score_map.shape[0]):
                    for x in range(score_map.shape[1]):
                        mean += score_map[y, x] / (score_map.shape[0] * score_map.shape[1])
                expected[row] += softmax(mean) / 2 / len(scales)
    difference = np.abs(measured.probabilities - expected).max()
    print(f"dense test against the loop: largest difference {difference:.2g}")
    assert difference <= 1e-5
    assert np.ptp(expected, axis=0).max() > 0.05  # the images do not all look alike to this net
    assert measured.labels.tolist() == [0, 1, 2, 3, 4]
    without = protocols.dense(model, split, Data(), scales, flip=False, batch=2)
    assert np.abs(without.probabilities - measured.probabilities).max() > 1e-4
