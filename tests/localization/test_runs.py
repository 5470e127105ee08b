"""A box run by the command lines: from a classification run, stopped and resumed, on two devices, loaded and trained on."""

import shutil
import signal

import numpy as np
import pytest

import vgg_keras
from tests import warm
from tests.conftest import command
from tests.localization.box_runs import BOXES, NET, train
from tests.training.toy import checkpoints, digest, metrics, wait_for

pytestmark = pytest.mark.slow  # commands that train


def test_a_stopped_run_resumes_with_the_same_bits(folder, pcr):
    words = command(
        "train", *BOXES, "--weights=classes", "--set=checkpoint.every_steps=1", "--workdir=stopped", cache=folder
    )
    process = warm.Warm(warm.run_command, words, folder=folder, log=folder / "stopped.log")
    wait_for(lambda: (folder / "stopped").exists() and len(checkpoints(folder / "stopped")) > 0, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75, (folder / "stopped.log").read_text()
    train(folder, *BOXES, "--weights=classes", "--set=checkpoint.every_steps=1", "--workdir=stopped")
    assert digest(folder / "stopped") == digest(pcr)
    assert metrics(folder / "stopped") == metrics(pcr)
    line = metrics(pcr)[-1]
    assert {"loss", "top1_error", "mean_iou", "val_loss", "val_top1_error", "val_mean_iou"} <= line.keys()


def test_two_devices_train_the_same_net(folder, pcr):
    two = ("--strategy=mirrored", "--set=runtime.cpu_devices=2", "--set=architecture.dropout=0")
    train(folder, *BOXES, "--weights=classes", *two[2:], "--workdir=one")
    train(folder, *BOXES, "--weights=classes", *two, "--workdir=two")
    losses = [[line["loss"] for line in metrics(folder / name) if "epoch" in line] for name in ("one", "two")]
    print(f"losses on one device and on two: {losses}")
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_net_on_disk_knows_that_it_gives_boxes(folder, pcr, scr, tmp_path):
    for run in (pcr, scr):
        shutil.copy(run / "model.keras", tmp_path / f"{run.name}.keras")
        net, copy = vgg_keras.load_net(run), vgg_keras.load_net(tmp_path / f"{run.name}.keras")
        assert copy.model.architecture.boxes == net.model.architecture.boxes == run.name
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
        np.testing.assert_array_equal(net.model(image), copy.model(image))
    # a classification from a box run: its last layer is new
    out = train(
        folder,
        "--config=quickstart",
        "--data=list.csv",
        *NET,
        "--weights=scr",
        "--set=training.epochs=1",
        "--workdir=back",
    )
    assert "random: predictions" in out
