"""The folder of an evaluation: which files it holds, what it computes again, and what it refuses to mix."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.splits import Split
from vgg_keras.errors import DiskFullError, UserError
from vgg_keras.evaluation import evaluator
from vgg_keras.evaluation.images import Images
from vgg_keras.evaluation.passes import MismatchError
from vgg_keras.weights.formats.run_folder import LoadedModel

CONFIG = Config(
    Architecture("A", num_classes=3, crop=32, mean=(1.0, 2.0, 3.0)),
    Data(scale=(32, 40)),
    evaluation=Evaluation(protocol="both", scales=(32, 40), grid=3),
)
NET = LoadedModel(None, CONFIG, ("cat", "dog", "owl"), Path("runs/A"), "12")
TABLE = np.random.default_rng(0).dirichlet(np.ones(3), (2, 2, 12))  # of protocol, scale and image


def split(prefix="image"):
    return Split(
        12,
        lambda image: (tf.as_string(image), tf.cast(image % 3, tf.int32)),
        lambda image: f"{prefix} {image}",
        labels=np.arange(12, dtype=np.int32) % 3,
    )


@pytest.fixture
def passes(monkeypatch):
    """Posteriors from a table in place of a net; what was evaluated, in order."""
    calls = []

    def protocol(part, model, architecture, rules):
        def run(images, data, side):
            calls.append((part, side))
            places = np.arange(images.size)
            yield places, places % 3, TABLE[int(part == "multi_crop"), (32, 40).index(side)][places]

        return run

    monkeypatch.setattr(evaluator.protocols, "of", protocol)
    return calls


def evaluate(folder, config=CONFIG, net=NET, images=None):
    folder.mkdir(exist_ok=True)
    return evaluator.evaluate(net, config, images or Images(split(), "val", "a set", ()), "float32", folder)


def of(**fields):
    return dataclasses.replace(CONFIG, evaluation=dataclasses.replace(CONFIG.evaluation, **fields))


def test_every_row_is_the_mean_of_its_passes(passes, tmp_path, capsys):
    result = evaluate(tmp_path / "both")
    assert passes == [("dense", 32), ("dense", 40), ("multi_crop", 32), ("multi_crop", 40)]
    assert json.loads(json.dumps(result)) == json.loads((tmp_path / "both" / "evaluation.json").read_text())
    means = [TABLE[0, 0], TABLE[0, 1], TABLE[0].mean(0), TABLE[1, 0], TABLE[1, 1], TABLE[1].mean(0), TABLE.mean((0, 1))]
    labels = np.arange(12) % 3
    expected = [100 * np.mean(mean.argmax(axis=1) != labels) for mean in means]
    assert [row["top1_error"] for row in result["rows"]] == pytest.approx(expected)
    assert [row["scales"] for row in result["rows"]] == ["32", "40", "32, 40"] * 2 + ["32, 40"]
    assert (result["top1_error"], result["images"], result["crops_a_scale"]) == (
        result["rows"][-1]["top1_error"],
        12,
        18,
    )
    assert (result["scales"], result["training_scale"], result["split"]) == ([32, 40], [32, 40], "val")
    with np.load(tmp_path / "both" / "posteriors.npz") as arrays:
        difference = np.abs(arrays["probabilities"] - means[-1]).max()
    print(f"mean of four passes: largest difference {difference:.2g}")
    assert difference < 1e-7
    assert capsys.readouterr().out.count("dense, Q=32: top-1 error") == 1


@pytest.mark.slow
def test_s_of_another_frameworks_weights_is_not_taken_from_the_recipe(passes, tmp_path):
    """The authors' D was trained with S in [256, 512]: at Q=256 it stood beside the paper's errors for S=256."""
    foreign = dataclasses.replace(NET, config=dataclasses.replace(CONFIG, data=Data()))
    result = evaluate(tmp_path / "foreign", of(protocol="dense", scales=(32,)), foreign)
    assert result["training_scale"] == [] and result["rows"][0]["training_scale"] == "not known"


@pytest.mark.slow
def test_a_pass_that_is_saved_is_not_run_again(passes, tmp_path):
    evaluate(tmp_path / "a", of(protocol="dense", scales=(32,)))
    evaluate(tmp_path / "a")
    assert passes == [("dense", 32), ("dense", 40), ("multi_crop", 32), ("multi_crop", 40)]


@pytest.mark.slow
def test_a_folder_takes_one_net_and_no_fusion(passes, tmp_path):
    evaluate(tmp_path / "a", of(protocol="dense", scales=(32,)))
    evaluate(tmp_path / "b", of(protocol="dense", scales=(40,)))
    other = dataclasses.replace(CONFIG, architecture=dataclasses.replace(CONFIG.architecture, name="E"))
    with pytest.raises(MismatchError, match="made with another: architecture.name: 'A', now 'E'"):
        evaluate(tmp_path / "a", of(protocol="center"), dataclasses.replace(NET, config=other))
    assert len(passes) == 2  # before any pass
    files = [tmp_path / name / "posteriors.npz" for name in "ab"]
    with pytest.raises(UserError, match="The folder of a fusion holds nothing else. Received: --out=.*a, with "):
        evaluator.fuse(files, tmp_path / "a", None)
    with pytest.raises(UserError, match="takes two different files of posteriors or more"):
        evaluator.fuse(files[:1] * 2, tmp_path / "fused", None)
    (tmp_path / "fused").mkdir()
    with pytest.raises(UserError, match="Received: others: image 0 is 'image 0' in the first and 'other 0'"):
        evaluator.fuse(files, tmp_path / "fused", split("other"))
    fused = evaluator.fuse(files, tmp_path / "fused", split())
    labels = np.arange(12) % 3
    assert fused["top1_error"] == pytest.approx(100 * np.mean(TABLE[0].mean(0).argmax(axis=1) != labels))
    assert (fused["protocol"], fused["data"], len(fused["nets"]), len(fused["rows"])) == ("fusion", "a set", 2, 3)
    with pytest.raises(UserError, match="itself a fusion of 2. Name its parts instead"):
        evaluator.fuse([files[0], tmp_path / "fused" / "posteriors.npz"], tmp_path / "again", None)


def test_a_disk_without_room_for_the_posteriors_is_known_before_the_first_pass(tmp_path, monkeypatch):
    """By hand: 30,000 x 21,841 x 4 bytes are 2.62 GB: six passes, three means, the result, two in work."""
    words = (tmp_path / "run" / "final_evaluation", 30_000, 21_841, Evaluation(protocol="both"), (256, 384, 512))
    needed = 12 * 30_000 * 21_841 * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, needed))
    evaluator.require_room(*words)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, needed - 1))
    with pytest.raises(
        DiskFullError, match="posteriors of 30,000 images and 21,841 classes take 31.5 GB, 31.5 GB are free"
    ):
        evaluator.require_room(*words)
    assert not (tmp_path / "run").exists()
