"""The limits of the difference between an export and its net."""

import dataclasses

import numpy as np
import pytest

from vgg_keras.config import Export
from vgg_keras.errors import UserError
from vgg_keras.exports import tflite
from vgg_keras.exports.export import export
from vgg_keras.exports.parity import compare


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


def test_the_agreement_of_a_multi_label_export_is_of_the_classes_that_either_finds(tmp_path, random):
    """Of 20 classes an image has two: an export that always says no has 90 % of the decisions, and no class."""
    labels = np.zeros((50, 20), np.int8)
    for row in labels:
        row[random.choice(20, 2, replace=False)] = 1
    net, path = labels * 0.8 + 0.1, tmp_path / "model_int8.tflite"
    path.write_bytes(b"")

    def compared(answers):
        opened = lambda path: lambda image: answers[image]  # noqa: E731
        return compare("int8", path, opened, range(50), net, 1.0, labels, Export())

    none = np.full((50, 20), 0.1)
    message = r"=0\.9 of the classes that one of the two finds in an image\. Received: int8 with 0\.000, measured on 50"
    with pytest.raises(UserError, match=message):
        compared(none)
    more = net.copy()
    more[np.arange(20), net[:20].argmin(axis=1)] = 0.9  # 20 beside the 100 that both find
    with pytest.raises(
        UserError, match=r"int8 with 0\.833, .* images\. Nothing was written\. --set=export\.min_agreement=0"
    ):
        compared(more)
    found = net.copy()
    found[0, net[0].argmax()] = 0.4
    assert compared(found).agreement == pytest.approx(99 / 100) and compared(net).agreement == 1
