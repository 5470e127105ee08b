"""How an error ends a command: its exit status, and one line on standard error."""

import errno
import os

import pytest

from vgg_keras import cli, errors
from vgg_keras.exit_status import is_mistake, refused, status_of
from vgg_keras.files import replacing


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (errors.UserError("The rule. Received: 3."), 2, "error: The rule. Received: 3."),
        (errors.WorkerLostError("worker 1 ended"), 69, "lost: worker 1 ended"),
        (errors.StoppedError("stopped at step 3"), 75, "stopped at step 3"),
        (KeyboardInterrupt(), 75, "stopped"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.jpg"), 2, "Received: a.jpg: No such file"),
        (errors.DiskFullError(errno.ENOSPC, "No space left", "w.h5"), 74, "Received: w.h5: No space left"),
    ],
)
def test_each_kind_of_error_has_a_status_and_one_line(capsys, error, status, line):
    assert status_of(error) == status
    printed = capsys.readouterr().err
    assert line in printed and printed.count("\n") == 1
    assert is_mistake(error) == (status == errors.WRONG_USE)


def test_an_error_of_a_library_is_no_users_mistake():
    with pytest.raises(OSError, match="Unable to open file"):
        status_of(OSError("Unable to open file"))


def test_line_breaks_of_a_path_stay_in_one_line(capsys):
    refused("Received: a\nb\tc")
    assert capsys.readouterr().err == "error: Received: a\\nb\\tc\n"


@pytest.mark.parametrize(
    ("number", "written", "status"),
    [
        (errno.ENOSPC, True, errors.NO_ROOM),
        (errno.ENOSPC, False, errors.NO_ROOM),
        (errno.EIO, True, errors.NO_ROOM),
        (errno.EIO, False, errors.WRONG_USE),
        (errno.EACCES, True, errors.WRONG_USE),
    ],
)
def test_no_room_is_told_of_writes_alone(tmp_path, monkeypatch, capsys, number, written, status):
    """With errors of the system as a disk that fails makes them, in a write under another name and in a read."""

    def main():
        if not written:
            raise OSError(number, os.strerror(number), "read.jpg")
        with replacing(tmp_path / "written.json"):
            raise OSError(number, os.strerror(number))

    ended = []
    monkeypatch.setattr(cli.app, "run", lambda guarded, flags_parser: ended.append(guarded(["command"])))
    cli.run(main)
    assert ended == [status]
    printed = capsys.readouterr().err
    assert ("There must be room" in printed) == (status == errors.NO_ROOM)
    assert written == ("written.json" in printed) or number == errno.EACCES
