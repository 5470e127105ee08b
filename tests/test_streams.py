"""Standard output and error that are closed or that nobody reads, through the command lines."""

import os
import re
import subprocess
import sys

import pytest

# A command that prints, writes a file by a library's print to the numbers 1 and 2, and prints again.
SCRIPT = """
import contextlib, os, sys
from vgg_keras import cli
def main():
    print("first", flush=True)
    with open("file", "w") as file:
        for number in (1, 2):
            with contextlib.suppress(OSError):
                os.write(number, b"a library's words")
        print("to standard error", file=sys.stderr)
        file.write("whole")
    print("last")
sys.argv = ["vgg_keras"]
cli.run(main, outlives_output=OUTLIVES)
"""


def unread(words, cwd, both=False):
    """The status of a command whose standard output nobody reads, and what is on standard error, which `both` closes too."""
    ours, theirs = os.pipe()
    os.close(ours)
    errors = theirs if both else subprocess.PIPE
    done = subprocess.run(words, cwd=cwd, stdout=theirs, stderr=errors, stdin=subprocess.DEVNULL, text=True)
    os.close(theirs)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["summarize", "compare", "train"])
@pytest.mark.parametrize("arguments", [["--help"], []])
def test_an_output_that_nobody_reads_ends_a_command_quietly(tmp_path, name, arguments):
    status, said = unread([sys.executable, "-m", f"vgg_keras.{name}", *arguments], tmp_path)
    if arguments or name == "summarize":
        assert (status, said) == (0 if arguments else 141, "")  # absl's help does not mind
    else:  # a mistake is said where it can be
        assert status == 2 and len(said.splitlines()) == 1


@pytest.mark.parametrize("outlives", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_only_a_command_that_outlives_its_output_goes_on(tmp_path, outlives, both):
    status, said = unread([sys.executable, "-c", SCRIPT.replace("OUTLIVES", str(outlives))], tmp_path, both)
    assert status == (0 if outlives else 141)
    assert (tmp_path / "file").exists() == outlives
    assert both or "Traceback" not in said


@pytest.mark.parametrize("words", [["summarize"], ["summarize", "--help"], ["--help"]])
def test_an_output_without_room_is_an_error_of_one_line(tmp_path, words):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "vgg_keras", *words]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 74 and re.fullmatch(r"error: .*standard output: No space left on device.*\n", done.stderr)


@pytest.mark.parametrize("outlives", [False, True])
def test_a_full_disk_under_a_log_does_not_end_a_training(tmp_path, outlives):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", SCRIPT.replace("OUTLIVES", str(outlives))]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=full)
    assert done.returncode == (0 if outlives else 74)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_mistake_and_no_file_takes_their_place(tmp_path, closed):
    script = SCRIPT.replace("OUTLIVES", "False")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text() == "whole"
    assert "Traceback" not in done.stderr
    if ">&- 2" not in closed:
        assert ("last" in done.stdout) == (closed == "2>&-")
