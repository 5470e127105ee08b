"""int8 takes a picture's bytes as they are, however dark the pictures were that it was calibrated on."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import vgg_keras
from vgg_keras.config import Architecture, Config, Data, Export
from vgg_keras.errors import UserError
from vgg_keras.exports import tflite
from vgg_keras.exports.export import export
from vgg_keras.weights.formats.run_folder import LoadedModel


def pictures(count, brightest, seed):
    """Crops of smooth noise in whole numbers up to `brightest`, (count, 32, 32, 3) float32."""
    coarse = np.random.default_rng(seed).uniform(0, brightest, (count, 4, 4, 3))
    return np.round(np.clip(tf.image.resize(coarse, (32, 32), "bicubic"), 0, brightest)).astype(np.float32)


def net_for(images, mean):
    """A net whose top classes on these crops are spread over three."""
    model = vgg_keras.build("A", num_classes=3, crop=32, width=1 / 8, mean=mean, initializer="he", seed=3)
    logits = model.predict(images, verbose=0)
    kernel, _ = model.get_layer("predictions").get_weights()
    factor = 2 / logits.std(axis=0).mean()
    model.get_layer("predictions").set_weights([kernel * factor, -logits.mean(axis=0) * factor])
    return model


def fed_as_documented(path, images):
    """The probabilities of `model_int8.tflite`, given what docs/export.md says: uint8 RGB 0-255 in, uint8 of 1/256 out."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner()
    return np.concatenate([run(image=image[np.newaxis].astype(np.uint8))["probabilities"] for image in images]) / 256


@pytest.mark.slow
@pytest.mark.parametrize(("brightest", "mean"), [(8, 4.0), pytest.param(30, 0.0, marks=pytest.mark.full), (255, 120.0)])
def test_int8_is_fed_bytes_on_dark_and_on_ordinary_pictures(tmp_path, brightest, mean):
    model = net_for(pictures(60, brightest, seed=0), (mean,) * 3)
    ended = keras.Model(model.input, keras.layers.Softmax()(model.output))
    crops = pictures(60, brightest, seed=1)
    tflite.write(ended, "int8", (crop[np.newaxis] for crop in crops), tmp_path / "int8.tflite")
    images = pictures(100, brightest, seed=2)
    expected, found = ended.predict(images, verbose=0), fed_as_documented(tmp_path / "int8.tflite", images)
    agreement = np.mean(found.argmax(axis=1) == expected.argmax(axis=1))
    print(f"brightest {brightest}, mean {mean}: same top class {agreement:.0%}")
    assert np.bincount(expected.argmax(axis=1)).max() < 80
    assert agreement >= 0.9
    run = tflite.opened(tmp_path / "int8.tflite")
    assert np.array_equal(np.stack([run(image) for image in images]), found.astype(np.float32))


@pytest.mark.slow
def test_the_error_that_an_export_prints_is_the_one_that_its_user_gets(tmp_path, monkeypatch):
    """All photographs dark: fed as documented, an input scaled to the brightest of them would see a black picture."""
    for seed, (split, count) in enumerate((("train", 8), ("val", 8))):
        for label, name in enumerate("abc"):
            (tmp_path / "dark" / split / name).mkdir(parents=True)
            for number, image in enumerate(pictures(count, 30, seed=10 * seed + label)):
                path = tmp_path / "dark" / split / name / f"{number}.png"
                path.write_bytes(tf.io.encode_png(image.astype(np.uint8)).numpy())
    config = Config(
        architecture=Architecture("A", num_classes=3, crop=32, width=1 / 8, mean=(12.0,) * 3, initializer="he"),
        data=Data(source=str(tmp_path / "dark"), scale=(32,)),
        export=Export(min_agreement=0.8),
    )
    runtime = dataclasses.replace(config.runtime, cache_dir=str(tmp_path / "cache"))
    config = dataclasses.replace(config, runtime=runtime)
    run = LoadedModel(net_for(pictures(60, 30, seed=0), (12.0,) * 3), config, tuple("abc"), tmp_path, "12")
    monkeypatch.setattr(tflite, "VARIANTS", ("int8",))
    (parity,) = export(run, config, "tflite", tmp_path / "out")
    images = np.concatenate([pictures(8, 30, seed=10 + label) for label in range(3)])
    labels = np.repeat(range(3), 8)
    found = fed_as_documented(tmp_path / "out" / "model_int8.tflite", images).argmax(axis=1)
    expected = run.model.predict(images, verbose=0).argmax(axis=1)
    assert parity.error == pytest.approx(100 * np.mean(found != labels))
    assert parity.net_error == pytest.approx(100 * np.mean(expected != labels))
    assert parity.agreement == pytest.approx(np.mean(found == expected)) and parity.agreement >= 0.8
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(tmp_path / "out" / "model_int8.tflite"))
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (takes["dtype"], takes["quantization"]) == (np.uint8, (1.0, 0))
    assert (gives["dtype"], gives["quantization"]) == (np.uint8, (1 / 256, 0))


@pytest.mark.slow
def test_an_input_that_would_need_scaling_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "_with_pixels_as_input", lambda content: content)
    crops = pictures(10, 30, seed=0)
    model = net_for(crops, (12.0,) * 3)
    ended = keras.Model(model.input, keras.layers.Softmax()(model.output))
    tflite.write(ended, "int8", (crop[np.newaxis] for crop in crops), tmp_path / "int8.tflite")
    with pytest.raises(UserError, match=r"\(scale 1, zero point 0\).* Received: int8\.tflite with uint8, scale 0\.11"):
        tflite.opened(tmp_path / "int8.tflite")


@pytest.mark.slow
def test_exported_files_of_every_variant_answer_as_the_net_does(exported, net):
    folder, found = exported("tflite")
    assert [parity.form for parity in found] == list(tflite.VARIANTS)
    for parity in found:
        print(f"TFLite {parity.form}: largest difference {parity.difference:.2g}, {parity.size:,} bytes")
    assert found[0].difference <= 1e-5 and found[1].difference <= 1e-2
    assert found[0].size > 1.8 * found[1].size > 3 * found[2].size
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "model_int8.tflite"))
    for details in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        assert details["dtype"] == np.uint8
    assert (folder / "labels.txt").read_text("utf-8").splitlines() == list(net.classes)
    described = json.loads((folder / "export.json").read_text())
    assert described["takes"].startswith("(1, 32, 32, 3) RGB in 0-255") and len(described["parity"]) == 4
