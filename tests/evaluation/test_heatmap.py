"""The score map over the picture, against a loop over pixels."""

import numpy as np

from vgg_keras.evaluation.heatmap import spread


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
