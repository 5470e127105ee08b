"""The scripts of docs/export/: each opens what `export` wrote with its format's own library and says what `predict` says."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import vgg_keras
from tests.conftest import write_images
from tests.data.awkward import tiff, turned
from vgg_keras.config import Architecture, Config, Data, Evaluation, Export
from vgg_keras.evaluation.prediction import predict_images
from vgg_keras.exports.export import export
from vgg_keras.weights.formats.run_folder import LoadedModel

SCRIPTS = Path(__file__).parents[2] / "docs" / "export"
CLASSES = ("great cat", "Hund", "лев")

# TFLite says that it will move, and that uint8 inputs have no statistics
pytestmark = [
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A net of three classes whose names have spaces and other alphabets, and photographs; one of a camera on its side."""
    root = tmp_path_factory.mktemp("scripts")
    for label, name in enumerate(sorted(CLASSES)):
        paths = write_images(root / "photos" / name, [(48, 60), (70, 50)] * 4, seed=label)
        paths[0].write_bytes(turned(paths[0].read_bytes(), tiff(6)))
    architecture = Architecture("A", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), initializer="he")
    data, runtime = Data(source=str(root / "photos"), scale=(40,)), Config().runtime
    config = Config(architecture, data, export=Export(images=3, representative_images=18, min_agreement=0.0))
    config = dataclasses.replace(config, runtime=dataclasses.replace(runtime, cache_dir=str(root / "cache")))
    model = vgg_keras.build(architecture, dtype="float32", seed=3)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 50, bias])
    return LoadedModel(model, config, tuple(sorted(CLASSES)), root, "12")


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
def test_a_script_says_what_predict_says(tmp_path, net, form, script, more, limit):
    out = tmp_path / "exported" / "E"
    export(net, net.config, form, out)
    config = net.config
    if form != "saved_model":  # the middle of a picture, without mirror image
        config = dataclasses.replace(config, evaluation=Evaluation(protocol="center", flip=False))
    photographs = [next(Path(config.data.source).rglob(name)) for name in ("000.jpg", "001.jpg")]
    for photograph, expected in zip(photographs, predict_images(net, photographs, config=config, top=3), strict=True):
        probabilities = dict(zip(expected.classes, expected.probabilities, strict=True))
        for words in more:
            command = [sys.executable, str(SCRIPTS / script), str(out), str(photograph), *words]
            done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            found = dict(reversed(line.split(" ", 1)) for line in done.stdout.splitlines())
            print(f"{script} {' '.join(words)}: {found}, predict: {probabilities}")
            assert found.keys() == probabilities.keys()
            assert max(abs(float(found[name]) - probabilities[name]) for name in found) <= limit


@pytest.mark.parametrize("script", ["saved_model.py", "tflite.py", "onnx.py"])
def test_a_script_has_ten_lines_and_knows_nothing_of_the_package(script):
    text = (SCRIPTS / script).read_text()
    body = [node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom)][1:]
    first = body[0].lineno
    assert len(text.splitlines()[first - 1 :]) <= 10 and "vgg_keras" not in text
