"""The scan of a repeated list, and the second start that finds its results."""

import pytest

from tests.conftest import write_images
from vgg_keras.benchmarks import scans
from vgg_keras.config import Config, Data


def test_the_scan_over_a_repeated_list(tmp_path):
    for name in ("cat", "dog"):
        write_images(tmp_path / name, [(8, 8)] * 5)
    found = scans.measure(Config(data=Data(source=str(tmp_path))), 3)
    assert found["images"] == 24 and found["second_seconds"] < found["seconds"]
    assert found["images_per_second"] == pytest.approx(24 / found["seconds"])
    assert scans.measure(Config(), 3) is None  # digits are no files
