"""What the tests of training share."""

import os
import signal

import pytest

from tests import warm
from tests.conftest import command, made_once
from tests.training.toy import TOY, checkpoints, start, wait_for


def run_unread(words):
    """Runs a command line, given as `warm.run_command` takes it, with an output and a standard error that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    for number in (1, 2):
        os.dup2(theirs, number)
    warm.run_command(words)


@pytest.fixture(scope="session")
def uninterrupted(shared_folder):
    """The folder of a run that nothing disturbed; nobody reads its output, and it saves less often than the others."""

    def train(folder):
        words = command("train", *TOY, "--workdir=run", "--set=checkpoint.every_steps=10", cache=folder)
        assert warm.finished(run_unread, words, folder).returncode == 0

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
