"""Writes that are killed, what they leave, and who removes it."""

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vgg_keras.files import discard, hash_ahead, replacing, sha256, sha256_of_names, sweep, write_json

WRITER = """
import sys
from vgg_keras.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("whole")
    print("writing", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing `tmp_path/other.json`, which ends when it gets a line."""
    words = [sys.executable, "-c", WRITER, tmp_path / "other.json"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def leftovers(folder):
    return [path.name for path in folder.glob(".writing-*")]


@pytest.mark.parametrize("clean", [sweep, lambda folder: write_json(folder / "value.json", 1)])
def test_what_a_killed_write_left_is_swept_at_the_next_one(writer, tmp_path, clean):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(leftovers(tmp_path)) == 1
    clean(tmp_path)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("clean", [sweep, lambda folder: write_json(folder / "value.json", 1)])
def test_a_write_that_goes_on_keeps_its_folder(writer, tmp_path, clean):
    clean(tmp_path)
    assert len(leftovers(tmp_path)) == 1
    writer.communicate("\n")
    assert writer.returncode == 0 and (tmp_path / "other.json").read_text() == "whole"
    assert not leftovers(tmp_path)


def test_a_folder_of_the_users_own_stays(tmp_path):
    for name in (".writing-notes", ".writing-projects"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
    write_json(tmp_path / "value.json", 1)
    assert sorted(leftovers(tmp_path)) == [".writing-notes", ".writing-projects"]


def test_leftovers_without_a_lock_are_swept_where_they_are_certain(tmp_path):
    for name in ("12345678", "abcdefgh"):
        (tmp_path / f".writing-{name}").mkdir()
    (tmp_path / ".writing-12345678" / "value.json").write_text("half")  # and one that was killed before its lock
    write_json(tmp_path / "value.json", 1)
    assert not leftovers(tmp_path)
    (tmp_path / ".writing-12345678").mkdir()
    sweep(tmp_path)
    discard(Path(tmp_path / "value.json"))
    assert not list(tmp_path.iterdir())


def test_a_write_inside_another_is_named_where_there_is_no_room(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "outer"):
        with replacing(tmp_path / "inner"):
            raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "inner")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_is_written_to(tmp_path, monkeypatch, number):
    """Such as VirtualBox's shared folders. A file that cannot be synced may be lost: that is an error."""
    sync, refuses = os.fsync, stat.S_ISDIR

    def fsync(handle):
        if refuses(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "value.json", 1)
    with replacing(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "file").write_text("whole")
    assert (tmp_path / "value.json").read_text() == "1\n" and (tmp_path / "folder" / "file").read_text() == "whole"
    refuses = stat.S_ISREG
    with pytest.raises(OSError, match=os.strerror(number)):
        write_json(tmp_path / "value.json", 2)
    assert (tmp_path / "value.json").read_text() == "1\n"


def test_a_digest_of_names_is_that_of_their_lines():
    assert sha256_of_names(["a/1.jpg", "ä"]) == hashlib.sha256("a/1.jpg\nä\n".encode()).hexdigest()


def test_a_file_that_was_hashed_ahead_has_its_own_digest_also_when_it_was_replaced_or_is_none(tmp_path):
    path = tmp_path / "weights"
    first, second = b"a" * (2**24 + 1), b"b" * (2**24 + 1)  # two parts
    path.write_bytes(first)
    hash_ahead(path)
    assert sha256(path) == hashlib.sha256(first).hexdigest()
    hash_ahead(path)
    other = tmp_path / "other"
    other.write_bytes(second)
    other.replace(path)
    assert sha256(path) == hashlib.sha256(second).hexdigest()
    hash_ahead(tmp_path)
    hash_ahead(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "missing")
