"""The source recipes as they stand, on a folder in their set's place: smaller nets and crops, else nothing changed."""

import json
import re

import numpy as np
import pytest

from tests.conftest import write_images
from vgg_keras.data.decoding import decode
from vgg_keras.errors import UserError
from vgg_keras.recipes import load
from vgg_keras.weights.formats.run_folder import load_run

TINY = (
    "--set=architecture.width=0.0625",
    "--set=architecture.crop=32",
    "--set=data.scale=32",
    "--set=runtime.precision=float32",
)


def test_named_configurations_hold_their_net():
    assert load("A_LRN").architecture.name == "A-LRN"
    assert load("E").architecture.width == 1.0
    assert load("E").test_scales == (256,)
    assert (load("single_scale").data.scale, load("multi_scale").data.scale) == ((256,), (256, 512))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VGG11", "'A'"),
        ("vgg_13", "'B'"),
        ("VGG-16", "'D'"),
        ("VGGNet-19", "'E'"),
        ("16", "'D'"),
        ("vgg19_bn", "'E' with --set=architecture.batch_norm=true"),
        ("e", "'E'"),
        ("a-lrn", "'A_LRN'"),
        ("QuickStart", "'quickstart'"),
        ("configs/VGG16", "'D'"),
    ],
)
def test_a_configuration_by_its_name_elsewhere_is_named(name, meant):
    with pytest.raises(UserError, match=re.escape(f"Did you mean {meant}?")):
        load(name)


def test_a_configuration_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from vgg_keras.config import Config\n\ndef config():\n    return Config(seed=5)\n")
    assert load(str(path)).seed == 5
    path.write_text("def config():\n    return 3\n")
    with pytest.raises(UserError, match=r"must return a vgg_keras\.config\.Config\. Received: 3"):
        load(str(path))
    path.write_text("import nowhere\n")
    with pytest.raises(UserError, match=r"mine\.py must define config\(\)\. It failed with ModuleNotFoundError"):
        load(str(path))
    with pytest.raises(UserError, match=r"Received: 'quikstart'\. Did you mean 'quickstart'"):
        load("quikstart")


def test_a_configuration_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    for name, hint in (
        ("mine", "Did you mean 'mine.py'?"),
        ("other/mine.py", "There is no such file."),
        ("configs/E.py", "There is no such file. Did you mean 'E'?"),
    ):
        with pytest.raises(UserError, match=re.escape(f"Received: {name!r}. {hint}") + "$"):
            load(name)


def test_a_configuration_file_has_dataclasses_of_its_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nimport dataclasses\nfrom vgg_keras.config import Config\n"
        "@dataclasses.dataclass\nclass Mine:\n    seed: int = 5\n"
        "def config() -> Config:\n    return Config(seed=Mine().seed)\n"
    )
    assert load(str(path)).seed == 5


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of 32x32 noise, unlike in number, so that a net that always says one thing errs unlike on each split."""
    root = tmp_path_factory.mktemp("recipes") / "photos"
    for seed, (split, counts) in enumerate((("train", (20, 15, 10)), ("val", (3, 7, 11)))):
        for label, (name, count) in enumerate(zip(("cat", "dog", "owl"), counts, strict=True)):
            write_images(root / split / name, [(32, 32)] * count, seed=10 * seed + label)
    return root


def wrong(run, paths, classes):
    """The share of photographs, in percent, that a run's net calls by another name than their folder's."""
    images = np.stack([decode(path.read_bytes()).numpy() for path in paths])
    named = run.model.predict(images, verbose=0).argmax(axis=1)
    return 100 * np.mean([classes[name] != path.parent.name for name, path in zip(named, paths, strict=True)])


@pytest.mark.slow
def test_cifar10_c_is_tested_on_images_that_chose_nothing(run_command, tmp_path, photos):
    epochs = 12
    done = run_command("train", "--config=cifar10_c", f"--data={photos}", *TINY, f"--set=training.epochs={epochs}")
    assert done.returncode == 0, done.stderr
    assert "36 training and 9 validation images and 21 test images, 0 skipped" in done.stdout
    workdir = tmp_path / "runs" / "cifar10_c"
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    # the source's rule on the losses that were met: no lower one, the rate is a tenth, and never below 1e-5
    rate, best = 1e-2, np.inf
    for line in lines:
        assert line["learning_rate"] == pytest.approx(rate)
        rate = rate if line["val_loss"] < best else max(rate / 10, 1e-5)
        best = min(best, line["val_loss"])
    assert len(lines) == epochs
    test = json.loads((workdir / "final_evaluation" / "evaluation.json").read_text())
    run = load_run(workdir, dtype="float32")
    assert (test["split"], test["images"], test["protocol"], test["flip"]) == ("test", 21, "center", False)
    expected = wrong(run, sorted(photos.glob("val/*/*")), run.classes)
    kept = min(lines, key=lambda line: line["val_loss"])
    held = [path for path in sorted(photos.glob("train/*/*")) if int(path.stem) % 5 == 4]
    print(f"test {test['top1_error']:.2f} %, validation {kept['val_top1_error']:.2f} % at rates to {rate:.0e}")
    assert test["top1_error"] == pytest.approx(expected)
    assert kept["val_top1_error"] == pytest.approx(wrong(run, held, run.classes))
    again = run_command("evaluate", f"--model={workdir}")  # of the images of the final evaluation
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["images_sha256"] == test["images_sha256"]


@pytest.mark.slow
def test_stl10_gap_trains_by_adam_on_two_devices_and_tells_each_classs_accuracy(run_command, tmp_path, photos):
    words = ("--set=runtime.cpu_devices=2", "--set=training.epochs=2", "--set=training.learning_rate=1e-3")
    done = run_command("train", "--config=stl10_gap", f"--data={photos}", *TINY, *words)
    assert done.returncode == 0, done.stderr
    workdir = tmp_path / "runs" / "stl10_gap"
    run = load_run(workdir, dtype="float32")
    assert [layer.name for layer in run.model.layers if "fc" in layer.name or "dropout" in layer.name] == []
    assert run.model.layers[1].std == [127.5] * 3
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == [1e-3, 1e-3]
    assert {line["devices"] for line in lines} == {2}
    test = json.loads((workdir / "final_evaluation" / "evaluation.json").read_text())
    assert test["split"] == "val"
    assert test["top1_error"] == pytest.approx(wrong(run, sorted(photos.glob("val/*/*")), run.classes))
    page = (workdir / "final_evaluation" / "report.md").read_text()
    assert all(name in page for name in ("cat", "dog", "owl"))


def test_the_recipes_hold_their_sources_numbers():
    ours = load("cifar10_c")
    assert (ours.architecture.name, ours.architecture.dropout, ours.architecture.crop) == ("C", 0.0, 224)
    assert (ours.data.batch, ours.data.scale, ours.data.validation, ours.data.holdout) == (32, (224,), "held_out", 0.2)
    rule = ours.training
    assert (rule.optimizer, rule.weight_decay, rule.learning_rate, rule.momentum) == ("sgdw", 5e-4, 0.01, 0.9)
    assert rule.learning_rate * rule.plateau_factor**rule.plateau_divisions == pytest.approx(1e-5)
    assert (1 - rule.weight_decay) ** (40_000 // 32) == pytest.approx(1 - 0.46, abs=0.005)  # its docstring's arithmetic
