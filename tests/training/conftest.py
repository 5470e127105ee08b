"""What the tests of training share."""

import subprocess

import pytest

from tests.conftest import command
from tests.training.toy import TOY


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The folder of a run that nothing disturbed, by the command line as a user types it."""
    folder = tmp_path_factory.mktemp("whole")
    done = subprocess.run(
        command("train", *TOY, "--workdir=run", cache=folder), cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"
