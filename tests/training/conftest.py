"""What the tests of training share."""

import signal
import subprocess

import pytest

from tests.conftest import command, made_once
from tests.training.toy import TOY, checkpoints, start, wait_for


@pytest.fixture(scope="session")
def uninterrupted(shared_folder):
    """The folder of a run that nothing disturbed, by the command line as a user types it."""

    def train(folder):
        words = command("train", *TOY, "--workdir=run", cache=folder)
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return made_once(shared_folder / "uninterrupted", train) / "run"


@pytest.fixture(scope="session")
def stopped(shared_folder):
    """The folder of the same run, stopped by SIGTERM after its first checkpoint; TensorFlow takes its name for a pattern."""
    name = "a[b]c\\d*e?"

    def train(folder):
        process = start(folder, name)
        wait_for(lambda: (folder / name).exists() and len(checkpoints(folder / name)) > 0, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 75, (folder / f"{name}.log").read_text()
        assert not (folder / name / "model.weights.h5").exists()

    return made_once(shared_folder / "stopped", train) / name
