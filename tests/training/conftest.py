"""What the tests of training share."""

import signal

import pytest

from tests.conftest import command, made_once
from tests.test_streams import unread
from tests.training.toy import TOY, checkpoints, start, wait_for


@pytest.fixture(scope="session")
def uninterrupted(shared_folder):
    """The folder of a run that nothing disturbed, by the command line as a user types it; nobody reads its output."""

    def train(folder):
        assert unread(command("train", *TOY, "--workdir=run", cache=folder), folder, both=True)[0] == 0

    return made_once(shared_folder / "uninterrupted", train) / "run"


@pytest.fixture(scope="session")
def stopped(shared_folder):
    """The folder of the same run, stopped by SIGTERM after its first checkpoint; TensorFlow takes its name for a pattern.

    It was begun once before, with a rate at which the loss is no number before there is a checkpoint.
    """
    name = "a[b]c\\d*e?"

    def train(folder):
        bad = ("--set=training.learning_rate=1e30", "--set=architecture.initializer=he", "--set=training.epochs=1")
        assert start(folder, name, *bad).wait() == 2, (folder / f"{name}.log").read_text()
        assert not checkpoints(folder / name)
        process = start(folder, name)
        wait_for(lambda: (folder / name).exists() and len(checkpoints(folder / name)) > 0, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 75, (folder / f"{name}.log").read_text()
        assert not (folder / name / "model.weights.h5").exists()

    return made_once(shared_folder / "stopped", train) / name
