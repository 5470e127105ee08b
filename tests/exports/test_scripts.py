"""The scripts of docs/export/: each opens an export with its format's own library and prints what `predict` prints."""

import ast
import dataclasses
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import vgg_keras
from tests import warm
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.evaluation.prediction import predict_images
from vgg_keras.exports import export, onnx, tflite
from vgg_keras.files import write_json
from vgg_keras.weights.formats.run_folder import LoadedModel

SCRIPTS = Path(__file__).parents[2] / "docs" / "export"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "script", "more", "limit"),
    [
        ("saved_model", "saved_model.py", ([],), 1e-4),
        (
            "tflite",
            "tflite.py",
            ([], ["float16"], ["dynamic"], ["int8"]),
            0.05,
        ),  # Pillow rescales, in whole grey levels
        ("onnx", "onnx.py", ([],), 0.02),
    ],
)
def test_a_script_prints_the_probabilities_of_predict(tmp_path, exported, net, form, script, more, limit):
    out, _ = exported(form)
    config = net.config
    if form != "saved_model":  # the middle of a picture, without mirror image
        config = dataclasses.replace(config, evaluation=Evaluation(protocol="center", flip=False))
    photographs = [next(Path(config.data.source).rglob(name)) for name in ("000.jpg", "001.jpg")]
    for photograph, expected in zip(photographs, predict_images(net, photographs, config=config, top=3), strict=True):
        probabilities = dict(zip(expected.classes, expected.probabilities, strict=True))
        for words in more:
            command = [sys.executable, str(SCRIPTS / script), str(out), str(photograph), *words]
            done = warm.finished(warm.run_script, command, tmp_path)
            assert done.returncode == 0, done.stderr
            found = dict(reversed(line.split(" ", 1)) for line in done.stdout.splitlines())
            print(f"{script} {' '.join(words)}: {found}, predict: {probabilities}")
            assert found.keys() == probabilities.keys()
            assert max(abs(float(found[name]) - probabilities[name]) for name in found) <= limit


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_a_script_makes_a_photograph_grey_for_a_net_of_grey_images_also_one_of_16_bits(tmp_path, photographs, form):
    architecture = Architecture("A", num_classes=3, crop=32, channels=1, width=1 / 16, mean=(110.0,), initializer="he")
    config = Config(architecture, Data(scale=(40,)), evaluation=Evaluation(protocol="center", flip=False))
    net = LoadedModel(vgg_keras.build(architecture, dtype="float32", seed=3), config, tuple("abc"), tmp_path, "12")
    kernel, bias = net.model.get_layer("predictions").get_weights()
    net.model.get_layer("predictions").set_weights([kernel / 200, bias])
    if form == "onnx":
        onnx.write(export._ended(net.model), tmp_path / "model.onnx")
    else:
        tflite.write(export._ended(net.model), "float32", [], tmp_path / "model_float32.tflite")
    write_json(tmp_path / "export.json", export._takes(net, config, form))
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with PIL.Image.open(photographs[0]) as opened:
        opened.save(tmp_path / "colours.png")
        PIL.Image.fromarray(257 * np.asarray(opened.convert("L"), np.uint16)).save(tmp_path / "of_16_bits.png")
    for photograph in (tmp_path / "colours.png", tmp_path / "of_16_bits.png"):
        (expected,) = predict_images(net, photograph, config=config)
        done = warm.finished(
            warm.run_script, [sys.executable, str(SCRIPTS / f"{form}.py"), str(tmp_path), str(photograph)], tmp_path
        )
        assert done.returncode == 0, done.stderr
        found = {name: float(share) for share, name in (line.split(" ", 1) for line in done.stdout.splitlines())}
        off = max(
            abs(found[name] - share) for name, share in zip(expected.classes, expected.probabilities, strict=True)
        )
        print(f"{form}, {photograph.name}: largest difference {off:.2g} of probabilities {found}")
        assert off <= 0.02 and max(found.values()) < 0.999


@pytest.mark.parametrize("script", ["saved_model.py", "tflite.py", "onnx.py"])
def test_a_script_is_short_and_knows_nothing_of_the_package(script):
    text = (SCRIPTS / script).read_text()
    body = [node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom)][1:]
    first = body[0].lineno
    assert len(text.splitlines()[first - 1 :]) <= 13 and "vgg_keras" not in text
