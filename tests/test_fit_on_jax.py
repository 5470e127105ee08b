"""docs/fit_on_jax.py: its augmentation, colours and rates are the package's own, and it trains without TensorFlow."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from absl import flags

from tests.test_docs import generator
from vgg_keras import recipes
from vgg_keras.config import Architecture, Config, Data, Training
from vgg_keras.data import statistics
from vgg_keras.errors import UserError
from vgg_keras.training.schedule import rate_of_step

SCRIPT = Path(__file__).parents[1] / "docs" / "fit_on_jax.py"


@pytest.fixture(scope="module")
def script():
    """The script as a module, with its flags among those of this process while its tests run."""
    before = flags.FLAGS
    known = set(flags.FLAGS)
    yield generator("fit_on_jax")
    for name in set(before) - known:
        delattr(before, name)


def test_a_crop_is_a_window_of_the_padded_image_flipped_or_not(script):
    """The images hold their own coordinates, so that each crop says where it comes from."""
    count, height, width, pad, crop = 4000, 36, 39, 3, 32
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1].astype(np.uint8)
    images = np.broadcast_to(np.stack([rows, columns, rows], axis=-1), (count, height, width, 3))
    config = Config(architecture=Architecture("A", crop=crop), data=Data(pad=pad, color_shift=0.0, scale=(height,)))
    crops = script.augmented(images, np.random.default_rng(0), config, np.eye(3))
    padded = np.zeros((height + 2 * pad, width + 2 * pad, 3))
    padded[pad:-pad, pad:-pad] = images[0]
    middle = crops[:, 16, 16].astype(int)
    flipped = crops[:, 16, 17, 1] < middle[:, 1]
    tops, lefts = middle[:, 0] - 17 + pad, middle[:, 1] - np.where(flipped, 16, 17) + pad
    for found, top, left, flip in zip(crops, tops, lefts, flipped, strict=True):
        window = padded[top : top + crop, left : left + crop]
        assert np.array_equal(found, window[:, ::-1] if flip else window)
    places, counts = np.unique(np.stack([tops, lefts]), axis=1, return_counts=True)
    print(f"{places.shape[1]} places, {counts.min()} to {counts.max()} times; {flipped.mean():.3f} flipped")
    # the last row and column included
    assert places.shape[1] == (height + 2 * pad - crop + 1) * (width + 2 * pad - crop + 1)
    assert counts.min() > 10 and abs(flipped.mean() - 0.5) < 0.04


def test_colours_shift_by_the_components_of_the_training_set(script, random):
    """Each image counts once, a large one as a small one."""
    images = []
    for side in (8,) * 25 + (5,) * 25:
        pixels = random.normal(0, 20, (side, 8, 3)) @ np.array([[1, 0.5, 0.2], [0, 1, 0.5], [0, 0, 1]])
        images.append(np.clip(pixels + 115 + side, 0, 255).astype(np.uint8))
    basis = script.color_basis(images)
    rows = [
        statistics._of_one_image(*(part.numpy() for part in statistics.color_sums(tf.constant(image))))
        for image in images
    ]
    difference = np.abs(np.subtract(script.mean_color(images), np.mean([mean for mean, _ in rows], axis=0))).max()
    print(f"largest difference of the means {difference:.1e}")
    assert difference < 1e-9
    covariance = np.mean([within for _, within in rows], axis=0) + np.cov(np.array([m for m, _ in rows]).T, bias=True)
    ours = statistics.Statistics((0.0,) * 3, tuple(map(tuple, covariance.tolist())), len(images)).color_basis
    # the direction of a component is not determined
    difference = np.abs(np.abs(basis) - np.abs(ours)).max() / np.abs(ours).max()
    print(f"largest difference of the bases {difference:.1e}")
    assert difference < 1e-3

    config = Config(architecture=Architecture("A", crop=32), data=Data(color_shift=0.1, scale=(32,), flip=False))
    grey = np.full((4000, 32, 32, 3), 100, np.uint8)
    shifted = script.augmented(grey, np.random.default_rng(1), config, basis)
    assert np.array_equal(shifted, np.broadcast_to(shifted[:, :1, :1], shifted.shape))  # one shift for an image
    shifts = shifted[:, 0, 0] - 100
    expected = 0.1**2 * basis @ basis.T
    difference = np.abs(np.cov(shifts.T) - expected).max() / expected.max()
    print(f"covariance of 4,000 shifts: {difference:.1e} from 0.1^2 B B^T")
    assert difference < 0.1


def test_rates_are_those_of_train(script):
    training = Training(learning_rate=0.2, schedule="cosine", epochs=7, warmup_steps=5)
    ours = [rate_of_step(training, step, 11, 0) for step in range(77)]
    rate = script.Rate(training, 77)
    difference = np.abs(np.array([float(rate(step)) for step in range(77)]) - ours).max()
    print(f"largest difference of 77 rates {difference:.1e}")
    assert difference < 1e-7


class OneMean(keras.Model):
    """A model that keeps the batches it is trained on."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = self.add_weight(shape=(3, 2)), []

    def call(self, images):
        return keras.ops.mean(images, axis=(1, 2)) @ self.weight

    def train_on(self, batches, epochs):
        self.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        self.fit(batches, epochs=epochs, shuffle=False, verbose=0)

    def train_step(self, data):
        images, labels = data
        self.seen.append((images.numpy(), labels.numpy()))
        return super().train_step(data)


def test_each_epoch_takes_every_image_once_with_its_label(script):
    """Through Keras's own loop: 23 images make 4 batches of 5 an epoch, in another order each time."""
    images = np.broadcast_to(np.arange(23, dtype=np.uint8)[:, None, None, None], (23, 32, 32, 3))
    labels = np.arange(23, dtype=np.int32) % 2
    data = Data(batch=5, scale=(32,), color_shift=0.0)
    batches = script.Batches(images, labels, Config(architecture=Architecture("A", crop=32), data=data))
    model = OneMean()
    model.train_on(batches, epochs=3)
    assert len(model.seen) == 12
    orders = []
    for epoch in range(3):
        taken = model.seen[4 * epoch : 4 * epoch + 4]
        orders.append([int(image.max()) for batch, _ in taken for image in batch])
        assert [int(label) for _, batch in taken for label in batch] == [image % 2 for image in orders[-1]]
        assert len(set(orders[-1])) == 20
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "constant"}, "training.schedule=cosine.* Received: constant and last"),
        ({"kept_net": "best"}, "training.kept_net=last.* Received: cosine and best"),
        ({"label_smoothing": 0.1}, "by these fields only. Received: training.label_smoothing=0.1"),
        ({"weights": "imagenet"}, "by these fields only. Received: training.weights=imagenet"),
    ],
)
def test_what_it_does_not_train_is_refused(script, change, words):
    config = recipes.load("cifar10_bn")
    script.require_fitting(config)
    with pytest.raises(UserError, match=words):
        script.require_fitting(dataclasses.replace(config, training=dataclasses.replace(config.training, **change)))


def test_classes_that_train_lacks_and_scales_are_refused(script, tmp_path):
    for name in ("train/cat", "val/cat", "val/dog"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(UserError, match="Received: .*dog, which is not among them"):
        script.read(tmp_path / "val", script.class_names(tmp_path / "train"), 32)
    config = recipes.load("cifar10_bn")
    with pytest.raises(UserError, match=r"Received: data.scale=\(32, 40\). Try --set=data.scale=32"):
        script.require_fitting(dataclasses.replace(config, data=dataclasses.replace(config.data, scale=(32, 40))))


def test_a_photograph_is_rescaled_by_its_smaller_side_and_tested_at_its_centre(script, tmp_path):
    """Columns and rows hold their own place, so that the crop says where it comes from."""
    (tmp_path / "train/cat").mkdir(parents=True)
    rows, columns = np.mgrid[0:120, 0:200].astype(np.uint8)
    PIL.Image.fromarray(np.stack([rows, columns, rows], axis=-1)).save(tmp_path / "train/cat/1.png")
    (image,), labels = script.read(tmp_path / "train", ["cat"], 60)
    (crop,) = script.centre_crops([image], 40)
    assert image.shape == (60, 100, 3) and labels.tolist() == [0] and crop.shape == (40, 40, 3)
    middle = crop[19:21, 19:21].mean(axis=(0, 1))  # of the photograph: row 59.5 of 120, column 99.5 of 200
    print(f"the middle of the crop is from row {middle[0]}, column {middle[1]}")
    assert np.abs(middle - [59.5, 99.5, 59.5]).max() <= 1


@pytest.mark.parametrize(
    ("name", "batch_norm", "head", "copied"),
    [
        (
            "E",
            False,
            "fc",
            ["block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions"],
        ),
        ("D", True, "gap", ["block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "predictions"]),
        ("A", False, "fc", None),
    ],
)
def test_a_net_starts_from_net_a(script, tmp_path, name, batch_norm, head, copied):
    """3.1: the first four convolutions and the FC layers are net A's, with their batch norm; of A itself all layers are."""
    recipe = recipes.load("section4_photographs")
    shape = {"width": 0.0625, "crop": 32, "batch_norm": batch_norm, "head": head}

    def config_of(net, seed):
        architecture = dataclasses.replace(recipe.architecture, name=net, **shape)
        return dataclasses.replace(recipe, architecture=architecture, seed=seed)

    net_a, ours = (config_of(net, seed) for net, seed in (("A", 1), (name, 2)))
    first, model = (script.compiled(config, 5, (1.0, 2.0, 3.0), 10) for config in (net_a, ours))
    for variable in first.variables:  # also what begins at 0 or 1
        variable.assign(variable + 0.5)
    first.save_weights(tmp_path / "model.weights.h5")
    result = {"config": dataclasses.asdict(net_a), "classes": list("vwxyz")}
    (tmp_path / "result.json").write_text(json.dumps(result))
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    script.copy_layers(script.start_of(tmp_path, ours.architecture, tmp_path / "out"), model)
    same = 0
    for layer, old in before.items():
        taken = copied is None or layer.removesuffix("_bn") in copied
        expected = first.get_layer(layer).get_weights() if taken else old
        assert all(map(np.array_equal, model.get_layer(layer).get_weights(), expected)), layer
        same += taken
    print(f"{name}: {same} of {len(before)} layers are net A's")
    assert same == (len(before) if copied is None else len(copied) + (4 if batch_norm else 0))


def test_a_start_that_does_not_fit_is_refused(script, tmp_path):
    config = recipes.load("section4_photographs")
    net_e = dataclasses.replace(config.architecture, name="E")
    result = {"config": dataclasses.asdict(config), "classes": ["cat", "dog"]}
    (tmp_path / "d").mkdir()
    (tmp_path / "d/result.json").write_text(json.dumps(result))
    (tmp_path / "old").mkdir()
    (tmp_path / "old/result.json").write_text(json.dumps({"config": result["config"]}))
    for folder, architecture, message in (
        ("old", net_e, "Received: .*old, whose result.json is damaged or an older version's"),
        ("d", net_e, "from net A or from its own configuration .* Received: .*, a D, for E"),
        ("d", dataclasses.replace(config.architecture, width=0.5), "whose width is 0.25, not 0.5"),
        ("out", net_e, "which is --out too"),
        ("nowhere", net_e, "Received: .*nowhere without result.json"),
    ):
        with pytest.raises(UserError, match=message):
            script.start_of(tmp_path / folder, architecture, tmp_path / "out")
    for split in ("train/cat", "train/doe", "val/cat"):
        (tmp_path / "data" / split).mkdir(parents=True)
    start = script.start_of(tmp_path / "d", config.architecture, tmp_path / "out")
    with pytest.raises(UserError, match="of the same classes .* whose class 1 is 'doe', the net's 'dog'"):
        script.fit(config, tmp_path / "data", tmp_path / "out", start)
    bicubic = dataclasses.replace(config, data=dataclasses.replace(config.data, interpolation="bicubic"))
    with pytest.raises(UserError, match="rescales bilinearly. Received: data.interpolation=bicubic"):
        script.require_fitting(bicubic)


def test_a_photograph_is_turned_as_its_exif_says(script, tmp_path):
    """Orientation 6: the camera was held upright, and the columns of the file are the rows of the photograph from below."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    columns = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None], (40, 80, 3))
    PIL.Image.fromarray(np.ascontiguousarray(columns)).save(tmp_path / "1.png", exif=exif)
    shown, stored = (script.pixels(tmp_path / "1.png", 40, turned) for turned in (True, False))
    assert shown.shape == (80, 40, 3) and np.array_equal(shown[:, 7, 0], np.arange(80))
    assert stored.shape == (40, 80, 3) and np.array_equal(stored[7, :, 0], np.arange(80))


def test_of_grey_in_16_bits_the_upper_8_remain(script, tmp_path, random):
    grey = random.integers(0, 2**16, (40, 50)).astype(np.uint16)
    PIL.Image.fromarray(grey).save(tmp_path / "1.png")
    found = script.pixels(tmp_path / "1.png", 40, turned=True)
    assert np.array_equal(found, np.repeat(grey[..., np.newaxis] // 256, 3, axis=-1))


@pytest.mark.full
def test_it_trains_without_tensorflow_and_tests_the_last_net(tmp_path, random):
    """Two classes, a dark and a bright one, are learned; the error is that of the saved posteriors."""
    for split, count in (("train", 32), ("val", 10)):
        for name, level in (("bright", 190), ("dark", 60)):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                PIL.Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{number}.png")
    run = (
        "import sys, runpy\n"
        "sys.modules['tensorflow'] = None\n"  # as if it were not installed: importing it fails
        f"sys.argv[0] = {str(SCRIPT)!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = ["--config=cifar10_bn", "--data=data", "--set=data.batch=16", "--set=architecture.name=A"]
    command += [f"--set=architecture.{one}" for one in ("width=0.0625", "fc_initializer=as_convolutions", "dropout=0")]

    def train(*words):
        done = subprocess.run(
            [sys.executable, "-c", run, *command, *words],
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": "jax"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    train("--out=out", "--set=training.epochs=30", "--set=training.learning_rate=0.02")
    result = json.loads((tmp_path / "out/result.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    saved = np.load(tmp_path / "out/posteriors.npz")
    wrong = saved["probabilities"].argmax(axis=1) != saved["labels"]
    print(
        f"losses of every tenth epoch {[round(line['loss'], 3) for line in lines[::10]]}, test error {result['top1_error']} %"
    )
    assert np.allclose(saved["probabilities"].sum(axis=1), 1, atol=1e-5)
    assert result["top1_error"] == 100 * wrong.mean() <= 10
    assert result["updates"] == 120 and result["test_images"] == 20 and len(lines) == 30
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"] and result["training_error_without_augmentation"] <= 10
    assert (tmp_path / "out/model.weights.h5").stat().st_size > 1e5

    train("--out=again", "--init_from=out", "--set=training.epochs=1", "--set=training.learning_rate=1e-6")
    again = json.loads((tmp_path / "again/result.json").read_text())
    print(f"started from it: loss {again['last_epoch']['loss']:.3f} in the first epoch")
    assert again["init_from"] == "out" and again["top1_error"] == result["top1_error"]
    assert again["last_epoch"]["loss"] < 0.1 * lines[0]["loss"]
