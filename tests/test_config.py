"""Configurations made in Python: their values are checked, and each field is read."""

import re
from pathlib import Path

import numpy as np
import pytest

from vgg_keras import config
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.errors import UserError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture(head="FC"), r"architecture\.head must be one of fc, gap, gmp\. Received: 'FC'"),
        (lambda: Architecture(num_classes="10"), r"architecture\.num_classes must be an integer\. Received: '10'"),
        (
            lambda: Architecture(fc_layers=10**20),  # an OverflowError before
            r"architecture\.fc_layers must lie in \[0, 100\], or be -1\. Received: 100000000000000000000",
        ),
        (lambda: Architecture(mean=5), r"architecture\.mean must be float values"),
        (lambda: Data(scale=3.5), r"data\.scale must be int values with commas between them\. Received: 3\.5"),
        (lambda: Config(data=3), r"data must be a Data\. Received: 3"),
    ],
)
def test_values_are_checked_from_python_too(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_numpys_numbers_and_lists_become_plain_ones():
    made = Data(scale=[np.int64(32), 40], batch=np.int32(8), color_shift=np.float32(0.5))
    assert (made.scale, made.batch, made.color_shift) == ((32, 40), 8, 0.5)
    assert type(made.batch) is int and type(made.color_shift) is float
    mean = np.full((4, 8, 8, 3), 7, np.uint8).mean(axis=(0, 1, 2))  # as people compute it
    made = Architecture(mean=mean, std=mean.astype(np.float32), fc_units=np.array([8, 4]))
    assert (made.mean, made.std, made.fc_units) == ((7.0,) * 3, (7.0,) * 3, (8, 4))
    with pytest.raises(UserError, match=r"architecture\.mean must be a finite number\. Received: \[7\.0"):
        Architecture(mean=mean[np.newaxis])


@pytest.mark.parametrize(("crop", "side"), [(224, 256), (96, 110), (32, 37), (64, 73), (300, 343)])
def test_a_scale_that_is_left_out_follows_the_crop(crop, side):
    """8/7 of the crop, rounded, in training and in every test; a stated one stays."""
    made = Config(architecture=Architecture(crop=crop))
    assert (made.training_scale, made.middle_scale, made.test_scales) == ((side,), side, (side,))
    assert made.multi_scales == (side - 32, side, side + 32)
    stated = Config(architecture=Architecture(crop=crop), data=Data(scale=(400, 512)))
    assert (stated.training_scale, stated.test_scales) == ((400, 512), (456,))


@pytest.mark.slow
def test_every_field_is_read_somewhere():
    """A field that nothing reads is a promise that nothing keeps."""
    package = Path(config.__file__).parent
    code = "\n".join(path.read_text() for path in package.rglob("*.py") if path.name != "config.py")
    for path in config.every_field():
        section, _, name = path.rpartition(".")
        reader = rf"\b_?({section or 'config'}|rules)\.{name}\b"
        assert re.search(reader, code) or path == "evaluation.scales", path
    assert "config.test_scales" in code  # which reads evaluation.scales
