"""A whole training, through the command line: what it writes, and what holds when it is killed, stopped or damaged."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import time

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.training.toy import TOY, checkpoints, digest, metrics, start, wait_for
from vgg_keras.files import sha256, write_json


@pytest.mark.slow
def test_what_a_run_leaves(uninterrupted):
    """Though nobody reads its output; the same run with readers ends with the same bits, below."""
    stored = json.loads((uninterrupted / "config.json").read_text())
    assert stored["config"]["architecture"]["num_classes"] == 10
    assert stored["versions"]["tensorflow"] == tf.__version__
    assert "--config=quickstart" in stored["command"]
    lines = metrics(uninterrupted)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["step"] for line in lines] == [15, 30, 45]
    wanted = {
        "stage",
        "loss",
        "top1_error",
        "top5_error",
        "val_loss",
        "val_top1_error",
        "val_top5_error",
        "learning_rate",
    }
    assert wanted <= set(lines[0])
    evaluation = json.loads((uninterrupted / "final_evaluation" / "evaluation.json").read_text())
    assert (evaluation["protocol"], evaluation["images"]) == ("dense", 359)
    # At Q equal to the crop the dense test sees what validation saw, in float32 and in bf16.
    assert abs(evaluation["top1_error"] - min(line["val_top1_error"] for line in lines)) < 0.3
    for name in ("model.keras", "learning_curve.png", "tensorboard"):
        assert (uninterrupted / name).exists()
    manifest = json.loads((uninterrupted / "manifest.json").read_text())
    for name in ("config.json", "model.weights.h5", "model.keras"):
        assert manifest[name] == [hashlib.sha256((uninterrupted / name).read_bytes()).hexdigest()]
    assert not list(uninterrupted.rglob(".writing-*"))


def kill(folder, name, kills, most):
    """Kills the run in folder/name so many times, each time up to `most` steps further and some milliseconds."""
    random = np.random.default_rng(int(os.environ.get("VGG_KERAS_KILL_SEED", "0")))
    workdir, in_a_save, where = folder / name, 0, []
    for _ in range(kills):
        process = start(folder, name, "--set=checkpoint.every_steps=1")
        for _ in range(random.integers(1, most + 1)):  # of 45 in the whole run, so that it does not end before
            before = checkpoints(workdir)
            wait_for(lambda: checkpoints(workdir) != before, process)  # noqa: B023, called at once
        time.sleep(random.uniform(0, 0.1))  # a step and a save take 0.05 s each
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        in_a_save += any(workdir.rglob(".writing-*"))
        where.append(checkpoints(workdir)[-1])
    print(f"killed after {where}, {in_a_save} of {kills} within a save")


def require_same(workdir, uninterrupted):
    """The state, the metrics and the best weights are the same to the bit."""
    assert digest(workdir) == digest(uninterrupted)
    assert metrics(workdir) == metrics(uninterrupted)
    first, second = ((folder / "model.weights.h5") for folder in (workdir, uninterrupted))
    with h5py.File(first) as one, h5py.File(second) as other:
        names = []
        one.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        assert names and all(np.array_equal(one[name][()], other[name][()]) for name in names)


@pytest.mark.slow
def test_stopped_killed_and_interrupted_it_ends_with_the_same_bits(uninterrupted, stopped, tmp_path):
    """By SIGTERM, by SIGKILL, then by SIGINT, in a folder whose name TensorFlow takes for a pattern."""
    name = stopped.name
    workdir, log = tmp_path / name, tmp_path / f"{name}.log"
    shutil.copytree(stopped, workdir)
    kill(tmp_path, name, kills=1, most=8)
    (tmp_path / "plain").symlink_to(workdir)
    before = digest(tmp_path / "plain")[0]
    process = start(tmp_path, name, "--set=checkpoint.every_steps=0")  # which a resumed run may change
    wait_for(lambda: checkpoints(workdir)[-1] != before, process)  # of the epoch's end
    process.send_signal(signal.SIGINT)
    assert process.wait() == 75, log.read_text()
    assert "stopped at step" in log.read_text()
    assert start(tmp_path, name).wait() == 0, log.read_text()
    require_same(tmp_path / "plain", uninterrupted)


@pytest.mark.full
def test_killed_at_random_moments_it_ends_with_the_same_bits(uninterrupted, tmp_path):
    kill(tmp_path, "run", kills=20, most=1)
    assert start(tmp_path, "run").wait() == 0, (tmp_path / "run.log").read_text()
    require_same(tmp_path / "run", uninterrupted)


@pytest.mark.slow
def test_a_workdir_of_another_configuration_or_other_data_is_refused(uninterrupted, tmp_path, run_command):
    workdir = tmp_path / "run"
    shutil.copytree(uninterrupted, workdir)
    before = digest(workdir)
    done = run_command("train", *TOY, f"--workdir={workdir}", "--set=training.learning_rate=0.5")
    assert done.returncode == 2
    assert "begun with training.learning_rate: 0.005, now 0.5" in done.stderr
    done = run_command("train", *TOY, f"--workdir={workdir}", "--set=data.holdout=0.25")
    assert done.returncode == 2 and "begun with data.holdout: 0.2, now 0.25" in done.stderr
    done = run_command("train", *TOY, f"--workdir={workdir}")  # the same one: finished, tested again
    assert done.returncode == 0 and "top-1 error" in done.stdout
    assert digest(workdir) == before
    with open(workdir / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_command("train", *TOY, f"--workdir={workdir}")
        assert done.returncode == 2 and "One run at a time" in done.stderr
    stored = json.loads((workdir / "config.json").read_text())
    assert stored["data"]["train"]["images"] == 1438
    stored["data"]["train"]["images"] = 1439  # and its digest, else the file is refused
    write_json(workdir / "config.json", stored)
    manifest = json.loads((workdir / "manifest.json").read_text())
    write_json(workdir / "manifest.json", {**manifest, "config.json": [sha256(workdir / "config.json")]})
    done = run_command("train", *TOY, f"--workdir={workdir}")
    assert done.returncode == 2 and "train images changed: 1439, now 1438" in done.stderr
    for name in ("config.json", "manifest.json"):
        shutil.copy(uninterrupted / name, workdir)
    shutil.rmtree(workdir / "checkpoints")
    done = run_command("train", *TOY, f"--workdir={workdir}")
    assert (
        done.returncode == 2 and "A run resumes from a checkpoint" in done.stderr
    )  # and does not begin anew in silence
    assert len(metrics(workdir)) == 3


@pytest.mark.slow
def test_a_run_whose_statistics_were_edited_before_its_first_best_weights_is_refused_before_a_step(
    stopped, tmp_path, run_command
):
    shutil.copytree(stopped, tmp_path / "run")
    before = digest(tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    stored["data"]["statistics"]["mean"] = [1.0, 2.0, 3.0]
    write_json(tmp_path / "run" / "config.json", stored)
    done = run_command("train", *TOY, "--workdir=run")
    assert done.returncode == 2 and "Received: run/config.json, which was changed, damaged or removed." in done.stderr
    assert "data: " not in done.stdout and digest(tmp_path / "run") == before


@pytest.mark.slow
def test_a_signal_before_the_first_step_ends_in_order_too(tmp_path):
    """That of a closed terminal, which ends a process that does not expect it."""
    under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    process = start(tmp_path, "run")
    wait_for(lambda: "data: digits" in (tmp_path / "run.log").read_text(), process)
    process.send_signal(signal.SIGTERM if under_nohup else signal.SIGHUP)
    assert process.wait() == 75
    assert "Traceback" not in (tmp_path / "run.log").read_text()
    assert not any((tmp_path / "run").rglob("epoch-*")) or checkpoints(tmp_path / "run")[0].startswith(
        "epoch-0000-step"
    )


@pytest.mark.slow
def test_a_run_that_never_came_to_a_checkpoint_may_be_begun_with_other_values(stopped):
    said = stopped.with_name(f"{stopped.name}.log").read_text()
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "must stay finite" in error and "at step" in error and "learning rate 1e+30" in error
    assert "Traceback" not in said
    assert json.loads((stopped / "config.json").read_text())["config"]["training"]["learning_rate"] == 0.005


@pytest.mark.slow
def test_a_folder_of_photographs_with_bad_ones_trains_on_two_devices(tmp_path, run_command):
    for name in ("dark", "light"):
        write_images(tmp_path / "photos" / name, [(40, 50), (64, 40), (90, 60)] * 5, seed=len(name))
    (tmp_path / "photos" / "dark" / "broken.jpg").write_bytes(b"<html>")
    arguments = (
        "--config=quickstart",
        f"--data={tmp_path / 'photos'}",
        "--workdir=run",
        "--set=architecture.name=A",
        "--set=architecture.width=0.0625",
        "--set=data.batch=7",
        "--set=training.epochs=1",
        "--set=runtime.cpu_devices=2",
        "--set=data.micro_batch=2",
        "--set=evaluation.scales=32,64",
    )
    refused = run_command("train", *arguments)
    assert refused.returncode == 2 and "broken.jpg" in refused.stderr and "data.max_bad_fraction" in refused.stderr
    done = run_command("train", *arguments, "--set=data.max_bad_fraction=0.1")
    assert done.returncode == 0, done.stderr
    assert "2 x MirroredStrategy" in done.stdout and "broken.jpg" in done.stdout
    lines = metrics(tmp_path / "run")
    assert len(lines[0]["bad_images"]) == 1 and "broken.jpg" in lines[0]["bad_images"][0]
    assert lines[1]["bad_images"] == 1
    assert lines[1]["top5_error"] is None  # of two classes
    evaluation = json.loads((tmp_path / "run" / "final_evaluation" / "evaluation.json").read_text())
    assert (evaluation["images"], evaluation["scales"]) == (6, [32, 64])


@pytest.mark.slow
def test_a_panorama_that_the_final_evaluation_would_refuse_is_named_before_the_first_step(tmp_path, run_command):
    for seed, name in enumerate(("dark", "light")):
        write_images(tmp_path / "photos" / "train" / name, [(40, 50), (64, 40)] * 3, seed=seed)
        write_images(tmp_path / "photos" / "val" / name, [(40, 50), (2, 400) if seed else (64, 40)], seed=seed)
    (tmp_path / "chain.py").write_text(
        "from vgg_keras.config import *\n"
        "def config():\n"
        "    return Config(Architecture('A', width=1 / 16, crop=32), Data(batch=4, scale=(32,)), Training(epochs=1),\n"
        "                  stages=(Stage('first'), Stage('second', start='first', scale=(64,))))\n"
    )
    one = ("--config=chain.py", f"--data={tmp_path / 'photos'}", "--set=stages=", "--workdir=run")
    for words, size, side in (
        ((*one, "--set=evaluation.max_pixels=200000"), "32 x 6400", 32),
        ((*one, "--set=evaluation.max_pixels=200000", "--dry_run"), "32 x 6400", 32),
        # of a chain the second stage's test, before the first one begins: at Q=32 it has room
        (("--config=chain.py", one[1], "--workdir=run", "--set=evaluation.max_pixels=300000"), "64 x 12800", 64),
    ):
        refused = run_command("train", *words)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr, refused.stderr
        path = tmp_path / "photos" / "val" / "light" / "001.jpg"
        assert f"rescaled to Q={side} must have" in refused.stderr
        assert f"Received: {path}, {size} pixels then" in refused.stderr
        assert not list(tmp_path.glob("run/**/*"))  # nothing is begun
    enough = "--set=evaluation.max_pixels=204800"
    done = run_command("train", *one, enough)
    assert done.returncode == 0, done.stderr
    # resumed with too low a limit, and with what the message advises
    refused = run_command("train", *one, "--set=evaluation.max_pixels=204799")
    assert refused.returncode == 2 and "A run keeps its images." in refused.stderr
    assert enough in refused.stderr and "leave the image out" not in refused.stderr
    done = run_command(
        "train", *one, "--set=evaluation.max_pixels=300000", "--set=evaluation.batch=4", "--set=data.micro_batch=2"
    )
    assert done.returncode == 0 and "resumed from" in done.stdout, done.stderr
