"""The limits of the difference between an export and its net."""

import dataclasses

import numpy as np
import pytest

from vgg_keras.errors import UserError
from vgg_keras.exports import tflite
from vgg_keras.exports.export import export


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "fields", "message"),
    [
        ("tflite", {"max_difference_float16": 0.0}, r"within export\.max_difference_float16=0\. Received: float16"),
        ("onnx", {"max_difference": 0.0}, r"within export\.max_difference=0\. Received: onnx, which differs by"),
    ],
)
def test_an_export_that_differs_is_refused_and_not_written(tmp_path, net, monkeypatch, form, fields, message):
    monkeypatch.setattr(tflite, "VARIANTS", ("float16",))
    config = dataclasses.replace(net.config, export=dataclasses.replace(net.config.export, **fields))
    with pytest.raises(UserError, match=message):
        export(net, config, form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_int8_is_held_to_its_agreement(tmp_path, net, monkeypatch):
    monkeypatch.setattr(tflite, "VARIANTS", ("int8",))
    monkeypatch.setattr(tflite, "opened", lambda path: lambda crop: np.eye(3)[0])
    with pytest.raises(
        UserError, match=r"answer for export\.min_agreement=0\.9 of the images\. Received: int8 with 0\."
    ):
        export(net, net.config, "tflite", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
