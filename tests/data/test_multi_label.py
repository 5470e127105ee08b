"""A set with several labels per image, from its list to the exports: what is trained, measured, predicted and exported."""

import dataclasses
import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw
from scipy.special import expit
from sklearn.metrics import average_precision_score, hamming_loss
from sklearn.svm import LinearSVC

import vgg_keras
from tests.conftest import command
from tests.data.toy_splits import noise
from tests.training.toy import checkpoints, digest, metrics, start, wait_for
from tests.warm import finished, run_command
from vgg_keras.config import Architecture, Data
from vgg_keras.data import notebook
from vgg_keras.data.multi_label import for_net, label_text
from vgg_keras.data.sources import open_source
from vgg_keras.errors import UserError
from vgg_keras.evaluation.average_precision import average_precisions
from vgg_keras.evaluation.posteriors import load
from vgg_keras.exports import onnx, tflite
from vgg_keras.exports.export import export
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import load_run

CLASSES = ("circle", "square", "stripe")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """160 pictures with up to three shapes each, laid out as VOC-2007; the path of the list that docs/voc_list.py makes of it."""
    folder, random = tmp_path_factory.mktemp("VOC2007"), np.random.default_rng(0)
    (folder / "JPEGImages").mkdir()
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for image in range(160):
        picture = Image.fromarray(random.integers(90, 140, (40, 44, 3), np.uint8))
        draw, present = ImageDraw.Draw(picture), random.uniform(size=3) < (0.5, 0.4, 0.3)
        (x, y), (u, v), z = (
            random.integers(2, 24, 2).tolist(),
            random.integers(2, 24, 2).tolist(),
            int(random.integers(4, 36)),
        )
        if present[0]:
            draw.ellipse([x, y, x + 14, y + 14], fill=(230, 40, 40))
        if present[1]:
            draw.rectangle([u, v, u + 12, v + 12], fill=(40, 60, 230))
        if present[2]:
            draw.line([0, z, 44, z], fill=(240, 230, 60), width=4)
        picture.save(folder / "JPEGImages" / f"{image:06}.jpg", quality=92)
        values = np.where(present, 1, -1)
        values[2] = 0 if image % 20 < 4 and not present[2] else values[2]
        split = ("train", "train", "val", "test")[image % 4]
        for name, value in zip(CLASSES, values, strict=True):
            with open(folder / "ImageSets" / "Main" / f"{name}_{split}.txt", "a") as file:
                file.write(f"{image:06} {value:2}\n")
    script = Path(__file__).parents[2] / "docs" / "voc_list.py"
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_the_list_of_a_voc_folder_skips_empty_lines_and_names_the_folder_that_was_meant(tmp_path):
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "voc_list.py"))
    main = tmp_path / "VOC2007" / "ImageSets" / "Main"
    main.mkdir(parents=True)
    with pytest.raises(
        SystemExit, match=r"ImageSets/Main/CLASS_train\.txt\. Received: .*, with none\. Did you mean .*VOC2007\?"
    ):
        script["write"](tmp_path)
    assert not (tmp_path / "list.csv").exists()
    (main / "cat_train.txt").write_text("000001  1\n\n000002 -1\n  \n")
    (main / "dog_val.txt").write_text("000003  0\n\n")
    assert script["write"](tmp_path / "VOC2007").read_text().split() == [
        "path,label,ignore,split",
        "JPEGImages/000001.jpg,cat,,train",
        "JPEGImages/000002.jpg,,,train",
        "JPEGImages/000003.jpg,,dog,val",
    ]


RECIPE = (
    "--set=data.batch=20",
    "--set=training.epochs=3",
    "--set=training.class_weights=balanced",
    "--set=training.learning_rate=0.02",
    "--set=architecture.name=A",
    "--set=checkpoint.every_steps=2",
)


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    """A run's folder, trained on the shapes."""
    folder = tmp_path_factory.mktemp("multi_label")
    process = start(folder, "run", f"--data={shapes}", *RECIPE)
    assert process.wait() == 0, (folder / "run.log").read_text()
    return folder / "run"


@pytest.mark.slow
def test_a_run_measures_average_precision_and_knows_that_it_ends_in_sigmoids(run, shapes):
    stored = json.loads((run / "config.json").read_text())
    assert stored["config"]["architecture"]["multi_label"] and tuple(stored["classes"]) == CLASSES
    lines = metrics(run)
    assert all(not any("top1" in key for key in line) for line in lines)
    kept = max(lines, key=lambda line: line["val_mean_average_precision"])
    # the kept net's own outputs on the validation images, by Keras alone
    net = load_run(run)
    batches = vgg_keras.validation_data(str(shapes), crop=32, batch=20, scale=(32,))
    scores = np.concatenate([expit(net.model.predict(images, verbose=0)) for images, _ in batches])
    labels = open_source(net.config.data).val.labels
    found = average_precisions(scores, labels)
    print(f"validation mAP {kept['val_mean_average_precision']:.3f}, of the kept net by hand {found.mean:.3f}")
    assert found.mean == pytest.approx(kept["val_mean_average_precision"], abs=0.3)
    log = run.with_suffix(".log").read_text()
    assert "class weights: from" in log and f"(best {kept['val_mean_average_precision']:.2f} %)" in log


@pytest.mark.slow
@pytest.mark.full  # tests/training/test_job.py stops a run of one label per image, which keeps the same state
def test_a_stopped_run_ends_with_the_same_bits(run, shapes):
    folder = run.parent
    process = start(folder, "stopped", f"--data={shapes}", *RECIPE)
    wait_for(lambda: checkpoints(folder / "stopped"), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75, (folder / "stopped.log").read_text()
    assert start(folder, "stopped", f"--data={shapes}", *RECIPE).wait() == 0
    assert digest(folder / "stopped") == digest(run) and metrics(folder / "stopped") == metrics(run)


@pytest.mark.slow
def test_an_evaluation_and_a_prediction_have_the_same_probabilities(run, shapes):
    folder = run.parent

    def result_of(name, *arguments):
        done = finished(run_command, command(name, *arguments, cache=folder), folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    words = (
        "--model=run",
        "--set=runtime.precision=float32",
        "--set=evaluation.grid=2",
        "--scales=32,40",
        "--out=both",
    )
    result = json.loads(result_of("evaluate", *words, "--protocol=both")[-1])
    dense, crops = (
        [load(folder / "both" / f"{name}_Q{side}.npz") for side in (32, 40)] for name in ("dense", "multi_crop")
    )
    final = load(folder / "both" / "posteriors.npz")
    mean = np.mean([one.probabilities.astype(np.float64) for one in (*dense, *crops)], axis=0)
    assert np.abs(final.probabilities - mean).max() < 1e-6
    assert final.labels.dtype == np.int8 and (final.labels == -1).any()
    precisions, losses = [], []
    for place in range(3):
        counted = final.labels[:, place] >= 0
        truth, scores = final.labels[counted, place], final.probabilities[counted, place]
        precisions.append(100 * average_precision_score(truth, scores))
        losses.append((counted.sum(), 100 * hamming_loss(truth, scores >= 0.5)))
    print(f"mAP {result['mean_average_precision']:.2f}, scikit-learn's {np.mean(precisions):.2f} without the envelope")
    assert np.mean(precisions) - 1e-6 <= result["mean_average_precision"] < np.mean(precisions) + 10
    counts, shares = np.transpose(losses)
    assert result["hamming_loss"] == pytest.approx(np.average(shares, weights=counts))
    assert result["top1_error"] is None and result["images"] == 40

    # every class from 1/2 on, by the dense test of the run's own scale
    alone = dense[0]
    pictures = [shapes.parent / name for name in alone.ids]
    lines = result_of("predict", *words[:2], "--json", "--set=evaluation.scales=32", *map(str, pictures))
    for line, row in zip(lines, alone.probabilities, strict=True):
        answered = {one["name"]: one["probability"] for one in json.loads(line)["classes"]}
        assert set(answered) == {name for name, share in zip(CLASSES, row, strict=True) if share >= 0.5}
        assert all(abs(row[CLASSES.index(name)] - share) < 1e-5 for name, share in answered.items())

    # appendix B on the same list: its train and val train the SVM, its test tests it
    words = ("--model=run", f"--data={shapes}", "--split=all", "--classify", "--scales=32", "--out=features")
    described = json.loads(result_of("features", *words)[-1])
    assert (described["images_of_training"], described["images_of_test"]) == (120, 40)
    assert "mean_class_recall" not in described
    stored = json.loads((folder / "features" / "classification.json").read_text())
    with np.load(folder / "features" / "features.npz") as arrays:
        descriptors, labels, ids = (arrays[name] for name in ("descriptors", "labels", "ids"))
    tested = np.array([int(Path(name).stem) % 4 == 3 for name in ids])
    values = np.zeros((40, 3))
    for place in range(3):
        counted = ~tested & (labels[:, place] >= 0)
        machine = LinearSVC(C=stored["divisions"][0]["c"], dual="auto", max_iter=100_000, random_state=0)
        machine.fit(descriptors[counted], labels[counted, place])
        values[:, place] = machine.decision_function(descriptors[tested])
    by_hand = average_precisions(values, labels[tested]).mean
    print(f"features: mAP {described['mean_average_precision']:.3f}, of scikit-learn's machines by hand {by_hand:.3f}")
    assert described["mean_average_precision"] == pytest.approx(by_hand, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["saved_model", "tflite", "onnx"])
def test_an_export_ends_in_sigmoids(run, shapes, tmp_path, monkeypatch, form):
    monkeypatch.setattr(tflite, "VARIANTS", ("float32", "int8"))  # the first and the last of four
    net = load_run(run, dtype="float32")
    config = override(
        net.config, {"export.images": 20, "export.min_agreement": 0.8, "runtime.cache_dir": str(tmp_path)}
    )
    found = export(net, config, form, tmp_path / "out")
    for parity in found:
        print(f"{parity.form}: largest difference {parity.difference:.2g}, same classes found {parity.agreement:.1%}")
        assert parity.images == 20
    assert found[0].difference < 1e-5
    if form != "saved_model":  # the file's own answers against logits of Keras
        opened, name = {"tflite": (tflite.opened, "model_float32.tflite"), "onnx": (onnx.opened, "model.onnx")}[form]
        crops = next(iter(vgg_keras.validation_data(str(shapes), crop=32, batch=20, scale=(32,))))[0].numpy()
        answers, expected = opened(tmp_path / "out" / name), expit(net.model.predict(crops, verbose=0))
        difference = np.abs(np.stack([answers(crop) for crop in crops]) - expected).max()
        print(f"{form} against the logits' sigmoids: largest difference {difference:.2g}")
        assert difference < 1e-5 and (expected.sum(axis=1) > 1.01).any()
    assert json.loads((tmp_path / "out" / "export.json").read_text())["outputs"].startswith(
        "the probability of each class"
    )


def test_one_label_an_image_becomes_a_row_and_several_need_a_multi_label_net():
    split = dataclasses.replace(noise(5), labels=np.arange(5, dtype=np.int32), classes=tuple("abcde"))
    assert for_net(split, Architecture(), "noise") is split
    rows = for_net(split, Architecture(multi_label=True), "noise")
    assert rows.multi_label and np.array_equal(rows.labels, np.eye(5)) and not split.multi_label
    assert rows.select([3]).read(tf.constant(0, tf.int64))[1].numpy().tolist() == [0, 0, 0, 1, 0]
    with pytest.raises(
        UserError, match=r"ends in a soft-max answers one class for an image\. Received: noise, whose images"
    ):
        for_net(rows, Architecture(), "noise")
    assert label_text(np.array([1, -1, 1]), "abc") == "a, c" and label_text(np.zeros(3), "abc") == "none"
    assert label_text(1, "abc") == "b"


@pytest.mark.slow
def test_a_notebook_trains_on_rows_of_zeros_and_ones(shapes, capsys, monkeypatch):
    monkeypatch.setattr(notebook, "_opened", {})  # another test may have opened the set; its note is printed once
    words = {"crop": 32, "batch": 40, "scale": (32,)}
    classes, mean = vgg_keras.describe_data(str(shapes), **words)
    model = vgg_keras.build("A", num_classes=len(classes), mean=mean, crop=32, width=1 / 16, multi_label=True)
    data = vgg_keras.training_data(str(shapes), **words)
    labels = np.concatenate([labels for _, labels in data])
    assert labels.dtype == np.float32 and set(np.unique(labels)) == {0, 1} and labels.shape == (80, 3)
    source = open_source(Data(source=str(shapes)))
    ignored = sum(int((split.labels < 0).sum()) for split in (source.train, source.val))
    printed = capsys.readouterr().out
    assert (
        printed.count(f"note: {ignored} labels are to be ignored: a notebook's datasets give 0 for them") == 1
        and ignored
    )
    optimizer = vgg_keras.SGDW(weight_decay=5e-5, learning_rate=1e-2, momentum=0.9)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(data, epochs=1, verbose=0, shuffle=False)
    assert np.isfinite(history.history["loss"][0])
    picture = next((shapes.parent / "JPEGImages").iterdir())
    layer, logits = model.get_layer("predictions"), np.float32([2, -1, 1])  # whatever the picture shows
    layer.set_weights([np.zeros_like(layer.kernel), logits])
    (prediction,) = vgg_keras.predict_images(model, str(picture), classes=classes)
    (every,) = vgg_keras.predict_images(model, str(picture), classes=classes, top=3)
    assert prediction.classes == (classes[0], classes[2]) and every.classes == (classes[0], classes[2], classes[1])
    assert np.allclose(every.probabilities, 1 / (1 + np.exp(-logits[[0, 2, 1]])), atol=1e-6)
