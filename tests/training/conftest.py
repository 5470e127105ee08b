"""What the tests of training share."""

import subprocess

import pytest

from tests.conftest import command, made_once
from tests.training.toy import TOY


@pytest.fixture(scope="session")
def uninterrupted(shared_folder):
    """The folder of a run that nothing disturbed, by the command line as a user types it."""

    def train(folder):
        words = command("train", *TOY, "--workdir=run", cache=folder)
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return made_once(shared_folder / "uninterrupted", train) / "run"
