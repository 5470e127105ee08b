"""The rows of the input benchmark."""

import numpy as np
import pytest

from tests.conftest import write_images
from vgg_keras.benchmarks import inputs
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.sources import open_source
from vgg_keras.overrides import override


@pytest.mark.parametrize("configured", ["window", "full"])
def test_each_row_of_ours_decodes_as_it_is_named(monkeypatch, tmp_path, configured):
    """Whatever the configuration says: `vgg_keras` decodes windows, `data.jpeg_decoding=full` in full."""
    for name in "ab":
        write_images(tmp_path / name, [(40, 40)] * 5)
    config = override(Config(), {"data.source": str(tmp_path), "data.jpeg_decoding": configured})
    decoded = []
    monkeypatch.setattr(
        pipeline, "training", lambda split, data, *_: decoded.append(data.jpeg_decoding) or np.zeros((3, 1))
    )
    rows, _ = inputs._rows(open_source(config.data).train, config, 2 * inputs.BATCH, [])
    found = {}
    for row in rows:
        if row.name in ("vgg_keras", "data.jpeg_decoding=full"):
            row.seconds()
            found[row.name] = decoded.pop()
    assert found == {"vgg_keras": "window", "data.jpeg_decoding=full": "full"} and not decoded


def test_the_cores_that_keep_a_device_busy():
    assert inputs.cores_needed(3000, 1200, 2) == 5
