"""The score map over the picture, against a loop over pixels and against the convolutional net."""

import numpy as np
import tensorflow as tf

from vgg_keras.config import Architecture, Evaluation
from vgg_keras.evaluation.heatmap import spread
from vgg_keras.evaluation.protocols import Dense
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional


def test_the_score_map_is_the_convolutional_nets(random):
    architecture = Architecture("A", num_classes=6, width=1 / 16, crop=64, mean=(120, 110, 100))
    model = build(architecture, seed=3)
    image = random.uniform(0, 255, (100, 1000, 3)).astype(np.float32)
    score_map = Dense(model, architecture, Evaluation(batch=5)).score_map(tf.constant(image))
    expected = np.asarray(to_fully_convolutional(model)(image[None]))[0]
    difference = np.abs(score_map - expected).max()
    print(f"largest difference {difference:.2g} of scores up to {np.abs(expected).max():.3g}")
    assert score_map.shape == (2, 30, 6) and difference <= 1e-4


def test_a_pixel_takes_the_mean_of_the_windows_that_it_lies_in(random):
    scores, crop, size = random.normal(size=(2, 4)), 64, (110, 170)
    seen = spread(scores, crop, size)
    for y in range(0, size[0], 7):
        for x in range(0, size[1], 7):
            inside = [
                scores[row, column]
                for row in range(2)
                for column in range(4)
                if 32 * row <= y < 32 * row + 64 and 32 * column <= x < 32 * column + 64
            ]
            if inside:
                assert abs(seen[y, x] - np.mean(inside)) < 1e-12
            else:
                assert np.isnan(seen[y, x])
    assert np.isnan(seen[100, 0]) and np.isfinite(seen[95, 159])
