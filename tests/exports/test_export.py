"""Data that an export refuses, and the images that calibrate int8."""

import dataclasses
import time
import types

import numpy as np
import pytest

from tests.conftest import write_images
from vgg_keras import progress
from vgg_keras.config import Architecture, Config, Data, Export, Runtime
from vgg_keras.data.arrays import split_of_arrays
from vgg_keras.data.sources import open_source
from vgg_keras.errors import UserError
from vgg_keras.exports import export as exporting
from vgg_keras.exports.export import export


@pytest.mark.slow
def test_images_of_other_classes_are_refused_before_they_are_read(tmp_path, net, monkeypatch):
    """By number and by name, whatever the format, as `evaluate` does: no error of such an export means anything."""
    monkeypatch.setattr(exporting, "readable", lambda *_: pytest.fail("the images were read"))
    for seed, name in enumerate(("Hund", "great cat", "wolf")):
        write_images(tmp_path / "others" / name, [(40, 40)] * 5, seed=seed)
    for data, message in (
        ("digits", r"digits, whose class 0 is '0', the net's 'Hund'\. It has 10 classes, the net 3\."),
        (str(tmp_path / "others"), r"others, whose class 2 is 'wolf', the net's 'лев'\."),
    ):
        config = dataclasses.replace(net.config, data=Data(source=data, scale=(40,)))
        for form in ("saved_model", "tflite", "onnx"):
            with pytest.raises(
                UserError, match=r"must hold the classes that the net was trained on\. Received: .*" + message
            ):
                export(net, config, form, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others"]


def test_training_images_are_read_for_int8_alone(tmp_path):
    """They are many, and one that is damaged is no reason against another format."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            write_images(tmp_path / part / name, [(40, 40)] * 5)
    (tmp_path / "train" / "cat" / "000.jpg").write_text("none")
    config = Config(data=Data(source=str(tmp_path)), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    source = open_source(config.data)
    for form in ("saved_model", "onnx"):
        train, val = exporting._readable_images(source, config, form)
        assert train.sizes is None and val.sizes.tolist() == [[40, 40]] * 10
    with pytest.raises(UserError, match=r"Received: 1 of 10: .*train/cat/000\.jpg"):
        exporting._readable_images(source, config, "tflite")


def test_int8s_calibration_shows_its_progress(monkeypatch, capsys):
    """200 images of a net at full size take minutes."""

    def crop(*_):
        time.sleep(0.02)
        return np.zeros((4, 4, 3), np.float32), 0

    monkeypatch.setattr(progress, "SECONDS", 0.01)
    monkeypatch.setattr(exporting, "_crop", crop)
    config = Config(export=Export(representative_images=5))
    crops = list(exporting._representative(types.SimpleNamespace(size=40), config))
    assert len(crops) == 5 and crops[0].shape == (1, 4, 4, 3)
    assert "int8's calibration: 2 of 5 images, 40 %" in capsys.readouterr().err


def test_the_dense_nets_time_is_without_its_first_call(monkeypatch):
    """Which traces: of few images it took most of the time, and the SavedModel's first call is not timed either."""
    clock, sizes = [0.0], []

    class Dense:
        def __init__(self, *_):
            pass

        def __call__(self, split, data, side):
            clock[0] += 1.0 if sizes else 100.0
            sizes.append(split.size)
            yield np.arange(split.size), None, np.zeros((split.size, 3))

    monkeypatch.setattr(exporting, "Dense", Dense)
    monkeypatch.setattr(exporting, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))
    config = Config(architecture=Architecture(num_classes=3))
    split = split_of_arrays([np.zeros((40, 40, 3), np.uint8)] * 2, np.zeros(2, np.int32))
    _, seconds = exporting._dense(types.SimpleNamespace(model=None, config=config), config, split)
    assert seconds == 0.5 and sizes == [1, 2]
