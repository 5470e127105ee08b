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


def stopped_and_resumed(folder, name, *more):
    """The run of BOXES in folder/name, stopped by SIGTERM after its first checkpoint."""
    words = (*BOXES, "--weights=classes", "--set=checkpoint.every_steps=1", *more, f"--workdir={name}")
    log = folder / f"{name}.log"
    process = warm.Warm(warm.run_command, command("train", *words, cache=folder), folder=folder, log=log)
    wait_for(lambda: (folder / name).exists() and len(checkpoints(folder / name)) > 0, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75, log.read_text()
    train(folder, *words)
    return folder / name


@pytest.mark.full  # the state is that of any run, and the sums are those of the next test
def test_a_stopped_run_resumes_with_the_same_bits(folder, pcr):
    again = stopped_and_resumed(folder, "stopped")
    assert digest(again) == digest(pcr)
    assert metrics(again) == metrics(pcr)


def test_two_devices_train_the_same_net_also_when_they_were_stopped(folder, pcr):
    two = stopped_and_resumed(folder, "two", "--strategy=mirrored", "--set=runtime.cpu_devices=2")
    for name in ("loss", "top1_error", "mean_iou", "val_loss", "val_top1_error", "val_mean_iou"):
        found = [[line[name] for line in metrics(workdir) if "epoch" in line] for workdir in (pcr, two)]
        print(f"{name} on one device and on two: {found}")
        # in bf16 where the processor has it; an IoU can be near 0
        np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-5)


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
