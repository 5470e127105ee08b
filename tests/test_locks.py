"""Locked folders: one process at a time, and no folder is left by a command that was refused."""

from pathlib import Path

import pytest

from vgg_keras.errors import UserError
from vgg_keras.locks import locked, require_lockable


def test_a_refused_command_leaves_no_folder_that_it_made(tmp_path):
    for place, made in enumerate(("runs/E/A", "one")):
        with pytest.raises(ValueError), locked(tmp_path / made, "--workdir"):
            raise ValueError
        assert not any(tmp_path.iterdir()), place
    (tmp_path / "runs" / "other").mkdir(parents=True)
    with pytest.raises(ValueError), locked(tmp_path / "runs" / "E" / "A", "--workdir"):
        raise ValueError
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs", tmp_path / "runs" / "other"]
    with locked(tmp_path / "runs" / "E" / "A", "--workdir"):
        (tmp_path / "runs" / "E" / "A" / "config.json").touch()
    assert (tmp_path / "runs" / "E" / "A" / "config.json").exists()


def test_a_folder_that_would_not_be_locked_is_known_and_nothing_is_written(tmp_path):
    require_lockable(tmp_path / "runs" / "E", "--workdir")
    assert not any(tmp_path.iterdir())
    with locked(tmp_path, "--workdir"), pytest.raises(UserError, match="where one is running"):
        require_lockable(tmp_path, "--workdir")
    require_lockable(tmp_path, "--workdir")
    with pytest.raises(UserError, match="--workdir must be .* Received: /proc/self/runs: "):
        require_lockable(Path("/proc/self/runs"), "--workdir")
