"""The protocols' rates and their ratios, by hand."""

import pytest

from vgg_keras.benchmarks import evaluation
from vgg_keras.benchmarks.rounds import Row


def test_a_row_is_compared_with_the_runs_of_predict_beside_it():
    """Operations per second of each row and of `model.predict` around it, in three rounds; medians by hand."""
    ideal, predict = Row("convolutions alone", 8, None, 8e9), Row("model.predict", 4, None, 4e9)
    dense = Row("dense", 2, None, 6e9)
    rounds = [
        {"convolutions alone": (10e9, 5e9), "dense": (4e9, 4e9)},
        {"convolutions alone": (20e9, 8e9), "dense": (6e9, 8e9)},
        {"convolutions alone": (12e9, 6e9), "dense": (2e9, 8e9)},
    ]
    first, second, third = evaluation._medians(predict, [ideal, dense], rounds)
    assert [row["name"] for row in (first, second, third)] == ["convolutions alone", "model.predict", "dense"]
    assert (first["gflops"], first["gflop_per_image"], first["images_per_second"]) == (12, 1, 12)
    assert first["of_predict"] == 2 and first["of_predict_range"] == [2, 2.5]  # 10/5, 20/8, 12/6
    assert second["gflops"] == 7 and second["of_predict_range"] == [1, 1]  # of 5, 8, 6, 4, 8, 8
    assert (third["gflops"], third["images_per_second"]) == (4, pytest.approx(4 / 3))
    assert third["of_predict"] == 0.75 and third["of_predict_range"] == [0.25, 1]  # 4/4, 6/8, 2/8
    assert third["of_the_ideal"] == pytest.approx(4 / 12) and third["ideal_images_per_second"] == 4


def test_the_rate_is_of_operations_and_of_the_seconds_that_count():
    assert evaluation._rate(Row("dense", 2, lambda: 0.5, 6e9)) == 12e9
