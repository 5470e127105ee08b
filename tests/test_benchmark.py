"""The benchmark's command, at toy size: its rows, and that its ratios are those of its own numbers."""

import json

import pytest

from vgg_keras.config import Architecture
from vgg_keras.nets.architectures import multiply_adds


@pytest.mark.slow
def test_evaluate(verb):
    done = verb(
        "benchmark", "evaluate", "--config=quickstart", "--set=architecture.width=0.0625", "--images=8", "--repeats=2"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == [
        "convolutions alone",
        "model.predict",
        "centre crop, Q=37",
        "dense, Q=37",
        "dense, Q=37, 55, 73",
        "multi-crop, Q=37",
        "both, Q=37",
    ]
    architecture = Architecture("E", width=0.0625, crop=32, num_classes=1000)
    at_crop = 2 * multiply_adds(architecture, 32, 32) / 1e9
    assert rows["model.predict"]["gflop_per_image"] == pytest.approx(at_crop)
    assert rows["multi-crop, Q=37"]["gflop_per_image"] == pytest.approx(
        25 * at_crop
    )  # the quickstart has no mirror images
    assert rows["dense, Q=37, 55, 73"]["gflop_per_image"] == pytest.approx(
        sum(2 * multiply_adds(architecture, side, side) / 1e9 for side in (37, 55, 73))
    )
    for row in rows.values():
        assert row["images_per_second"] * row["gflop_per_image"] == pytest.approx(row["gflops"])
        low, high = row["of_predict_range"]
        assert 0 < low <= row["of_predict"] <= high
