"""Exports say what their net says, in their own runtimes, and leave nothing where they do not."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import vgg_keras
from tests.conftest import write_images
from tests.data.awkward import bomb, png, rows, smooth, tiff, turned, written
from vgg_keras.config import Architecture, Config, Data, Evaluation, Export
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import rescale
from vgg_keras.errors import UserError
from vgg_keras.evaluation.prediction import predict_images
from vgg_keras.exports import export as exporting
from vgg_keras.exports import onnx, saved_model, tflite
from vgg_keras.exports.export import export
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.weights.formats.run_folder import LoadedModel

# TFLite says that it will move, and that uint8 inputs have no statistics
pytestmark = [
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*tf.lite.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of pictures of several sizes, 6 for training and 4 to compare on of each."""
    root = tmp_path_factory.mktemp("exports") / "photos"
    for seed, (split, count) in enumerate((("train", 6), ("val", 4))):
        for label, name in enumerate(("cat", "dog", "owl")):
            paths = write_images(root / split / name, [(48, 60), (70, 50)] * (count // 2), seed=10 * seed + label)
            paths[1].write_bytes(turned(paths[1].read_bytes(), tiff(6)))  # as a camera that is held upright
    return root


@pytest.fixture(scope="module")
def net(tmp_path_factory, photos):
    """A net whose probabilities differ from picture to picture."""
    architecture = Architecture("A", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), initializer="he")
    config = Config(
        architecture=architecture,
        data=Data(source=str(photos), scale=(40,)),
        evaluation=Evaluation(scales=(40, 64)),
        export=Export(images=12, representative_images=18),
    )
    config = dataclasses.replace(
        config, runtime=dataclasses.replace(config.runtime, cache_dir=str(tmp_path_factory.mktemp("cache")))
    )
    model = vgg_keras.build(architecture, dtype="float32", seed=3)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 50, bias])  # He's first logits would be in the hundreds
    return LoadedModel(model, config, ("cat", "dog", "owl"), photos, "12")


def test_saved_model(tmp_path, net, photos):
    (parity,) = export(net, net.config, "saved_model", tmp_path / "out")
    print(
        f"SavedModel: largest difference from evaluate's dense test {parity.difference:.2g} of {parity.images} images"
    )
    assert parity.difference <= 1e-5 and parity.agreement == 1.0 and parity.images == 12
    (variables,) = (tmp_path / "out" / "variables").glob("variables.data*")
    assert variables.stat().st_size < 1.1 * 4 * net.model.count_params()  # each weight once
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    assert sorted(loaded.signatures) == ["encoded", "features", "serving_default"]

    # a batch of files of different sizes, and the same pictures as arrays of one size
    paths = sorted(photos.glob("val/*/*.jpg"))
    answer = loaded.signatures["encoded"](encoded=tf.constant([path.read_bytes() for path in paths]))
    expected = predict_images(net, paths, top=3)
    rows = {prediction.path: prediction for prediction in expected}
    for place, path in enumerate(paths):
        prediction = rows[str(path)]
        assert answer["class_name"].numpy()[place].decode() == prediction.classes[0]
        assert net.classes[answer["class_index"].numpy()[place]] == prediction.classes[0]
        probabilities = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        assert np.abs(answer["probabilities"][place] - [probabilities[name] for name in net.classes]).max() <= 1e-5
    pixels = np.stack([decode(path.read_bytes()).numpy() for path in paths[::2]])
    served = loaded.signatures["serving_default"](images=tf.constant(pixels))["probabilities"].numpy()
    assert np.abs(served - answer["probabilities"].numpy()[::2]).max() <= 1e-5
    assert np.ptp(served, axis=0).max() > 1e-3

    # the map before the last layer, of which that layer makes the dense net's scores
    features = loaded.signatures["features"](images=tf.constant(pixels))["features"].numpy()
    dense = to_fully_convolutional(net.model)
    scores = dense.predict(np.stack([rescale(image, 40, "bilinear") for image in pixels]), verbose=0)
    kernel, bias = net.model.get_layer("predictions").get_weights()
    assert np.abs(features @ kernel + bias - scores).max() <= 1e-4 * np.abs(scores).max()


def test_a_saved_model_shows_a_turned_photograph_upright_and_refuses_bombs(tmp_path, net):
    stored = decode(written(smooth(2, 48, 60), "JPEG")).numpy()
    (tmp_path / "turned.jpg").write_bytes(turned(written(smooth(2, 48, 60), "JPEG"), tiff(6)))
    (tmp_path / "upright.png").write_bytes(png(48, 60, 2, 8, rows(np.rot90(stored, -1))))
    (tmp_path / "stored.png").write_bytes(png(60, 48, 2, 8, rows(stored)))
    files = [tmp_path / name for name in ("turned.jpg", "upright.png", "stored.png")]
    as_stored = dataclasses.replace(net.config, data=dataclasses.replace(net.config.data, exif_orientation=False))
    for config, alike in ((net.config, 1), (as_stored, 2)):
        asked = saved_model.Served(net.model, config, net.classes)
        served = asked.encoded(tf.constant([path.read_bytes() for path in files]))["probabilities"].numpy()
        predicted = predict_images(net, files, config=config, top=3)
        told = [dict(zip(one.classes, one.probabilities, strict=True)) for one in predicted]
        assert np.abs(served - [[one[name] for name in net.classes] for one in told]).max() <= 1e-5
        assert np.abs(served[0] - served[alike]).max() <= 1e-6 < 1e-4 < np.abs(served[0] - served[3 - alike]).max()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"20000 x 20000 pixels, more than data\.max_pixels"):
        asked.encoded(tf.constant([bomb()]))


def test_tflite(tmp_path, net):
    found = export(net, net.config, "tflite", tmp_path / "out")
    assert [parity.form for parity in found] == list(tflite.VARIANTS)
    for parity in found:
        print(f"TFLite {parity.form}: largest difference {parity.difference:.2g}, {parity.size:,} bytes")
    assert found[0].difference <= 1e-5 and found[1].difference <= 1e-2
    assert found[0].size > 1.8 * found[1].size > 3 * found[2].size
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(tmp_path / "out" / "model_int8.tflite"))
    for details in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        assert details["dtype"] == np.uint8
    assert (tmp_path / "out" / "labels.txt").read_text().split() == ["cat", "dog", "owl"]
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert told["takes"].startswith("(1, 32, 32, 3) RGB in 0-255") and len(told["parity"]) == 4


def test_onnx(tmp_path, net, random):
    (parity,) = export(net, net.config, "onnx", tmp_path / "out")
    print(f"ONNX: largest difference {parity.difference:.2g}")
    assert parity.difference <= 1e-5
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    images = random.uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)  # any batch
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    logits = net.model.predict(images, verbose=0)
    assert np.abs(found - keras.ops.softmax(logits).numpy()).max() <= 1e-5
    (none,) = session.run(None, {"image": images[:0]})
    assert none.shape == (0, 3)


def test_onnx_holds_every_kind_of_layer_and_each_weight_once(tmp_path, random):
    fields = {"batch_norm": True, "activation": "leaky_relu", "std": (50.0, 60.0, 70.0)}
    model = vgg_keras.build("A-LRN", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), seed=3, **fields)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    ended = keras.Model(model.input, keras.layers.Softmax()(20 * model.output))
    onnx.write(ended, tmp_path / "net.onnx")
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    found = np.stack(list(map(onnx.opened(tmp_path / "net.onnx"), images)))
    expected = ended.predict(images, verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-2
    assert np.abs(found - expected).max() <= 1e-5
    assert (tmp_path / "net.onnx").stat().st_size < 1.1 * 4 * model.count_params()


@pytest.mark.parametrize(
    ("form", "fields", "message"),
    [
        ("tflite", {"max_difference_float16": 0.0}, r"within export\.max_difference_float16=0\. Received: float16"),
        ("onnx", {"max_difference": 0.0}, r"within export\.max_difference=0\. Received: onnx, which differs by"),
    ],
)
def test_an_export_that_differs_leaves_nothing(tmp_path, net, form, fields, message):
    config = dataclasses.replace(net.config, export=dataclasses.replace(net.config.export, **fields))
    with pytest.raises(UserError, match=message):
        export(net, config, form, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_int8_is_held_to_its_agreement(tmp_path, net, monkeypatch):
    monkeypatch.setattr(tflite, "VARIANTS", ("int8",))
    monkeypatch.setattr(tflite, "opened", lambda path: lambda crop: np.eye(3)[0])
    with pytest.raises(
        UserError, match=r"top class for export\.min_agreement=0\.9 of the images\. Received: int8 with 0\."
    ):
        export(net, net.config, "tflite", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_images_of_other_classes_are_refused_before_they_are_read(tmp_path, net, monkeypatch):
    """By number and by name, whatever the format, as `evaluate` does: no error of such an export means anything."""
    monkeypatch.setattr(exporting, "without_bad_images", lambda source, config: pytest.fail("the images were read"))
    for seed, name in enumerate(("cat", "dog", "wolf")):
        write_images(tmp_path / "others" / name, [(40, 40)] * 5, seed=seed)
    for data, message in (
        ("digits", r"digits, whose class 0 is '0', the net's 'cat'\. It has 10 classes, the net 3\."),
        (str(tmp_path / "others"), r"others, whose class 2 is 'wolf', the net's 'owl'\."),
    ):
        config = dataclasses.replace(net.config, data=Data(source=data, scale=(40,)))
        for form in ("saved_model", "tflite", "onnx"):
            with pytest.raises(
                UserError, match=r"must hold the classes that the net was trained on\. Received: .*" + message
            ):
                export(net, config, form, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others"]


@pytest.mark.slow
def test_the_command_line(run_command, tmp_path, photos):
    words = ("--config=quickstart", f"--data={photos}", "--set=architecture.width=0.0625", "--set=training.epochs=1")
    assert run_command("train", *words, "--workdir=run").returncode == 0  # in bf16, where the hardware has it
    done = run_command("export", "--model=run", "--format=saved_model", "--out=out")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout.splitlines()[-1])
    assert told["form"] == "saved_model" and told["difference"] <= 1e-5 and told["images"] == 12
    ask = saved_model.opened(tmp_path / "out")
    assert ask(next(photos.rglob("*.jpg")).read_bytes()).sum() == pytest.approx(1, abs=1e-5)
    seen = run_command("predict", "--model=run", str(photos), "--json", "--set=runtime.precision=float32")
    assert seen.returncode == 0 and len(seen.stdout.splitlines()) == 30, seen.stderr
    refused = run_command("predict", "--model=run", str(photos), "--set=architecture.width=2")
    assert refused.returncode == 2 and "evaluation.*, runtime.*; the rest is the run's" in refused.stderr
    for arguments, message in (
        (["--model=run", "--format=onnx", "--out=out"], "--out is a new folder. Received: out, which exists."),
        (["--model=run", "--out=new"], "--format is needed"),
        (["--format=onnx", "--out=new"], "Received: none of them."),
        (["--weights=x.pth", "--format=onnx", "--out=new"], "--weights needs --data"),
    ):
        done = run_command("export", *arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
