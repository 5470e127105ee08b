"""Writes that are killed and their leftovers, paths as users type them, and folders that TensorFlow takes for patterns."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from vgg_keras.errors import UserError
from vgg_keras.files import (
    discard,
    locked,
    plain_folder,
    replacing,
    require_lockable,
    require_writable,
    sweep,
    user_path,
    write_json,
)

HOSTILE = ["a[b]c", "a[b", "d*e?", "x\\y", "{a,b}", "two\nlines", os.fsdecode(b"\xff\xfe")]

# ---- leftovers

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


# ---- home folders


def test_a_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert user_path("~/runs/E") == Path("/home/someone/runs/E")
    assert user_path("~") == Path("/home/someone")
    assert user_path("runs/~/E") == Path("runs/~/E") and user_path("./~") == Path("~")


@pytest.mark.parametrize("home", [None, ""])
def test_a_user_without_a_home_is_not_given_a_folder_of_that_name(monkeypatch, tmp_path, home):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    with pytest.raises(
        UserError, match=r"Received: ~/runs/E, and there is none\. Name the folder itself, or \./~/runs"
    ):
        user_path("~/runs/E")


def test_a_name_that_nobody_has_is_refused_but_for_a_file_of_that_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"Received: ~nobody_at_all\.jpg"):
        user_path("~nobody_at_all.jpg")
    (tmp_path / "~nobody_at_all.jpg").touch()
    assert user_path("~nobody_at_all.jpg") == Path("~nobody_at_all.jpg")


# ---- folders for TensorFlow


@pytest.mark.parametrize("name", HOSTILE)
def test_tensorflow_writes_and_reads_in_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    handles = len(os.listdir("/proc/self/fd"))
    with plain_folder(folder) as plain:
        tf.train.Checkpoint(value=tf.Variable(3.0)).write(f"{plain}/state")
        read = tf.train.Checkpoint(value=tf.Variable(0.0))
        read.read(f"{plain}/state").assert_consumed()
        assert float(read.value) == 3.0
        module = tf.Module()
        module.value = tf.Variable(5.0)
        tf.saved_model.save(module, f"{plain}/model")
        assert float(tf.saved_model.load(f"{plain}/model").value) == 5.0
    assert {"state.index", "model"} <= set(os.listdir(folder))
    assert len(os.listdir("/proc/self/fd")) == handles


@pytest.mark.parametrize("name", ["plain", "with spaces, signs=+@%~ and-so_on.1", "größe"])
def test_a_harmless_name_is_given_as_it_is(tmp_path, name):
    with plain_folder(tmp_path / name) as plain:
        assert plain == str(tmp_path / name)


def test_a_write_inside_another_is_named_where_there_is_no_room(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "outer"):
        with replacing(tmp_path / "inner"):
            raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "inner")


# ---- before the work


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


@pytest.mark.parametrize("path", ["/proc/self/picture.png", "/proc/absent/picture.png", "file/picture.png", "folder"])
def test_a_path_that_cannot_be_written_is_known_before(tmp_path, path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"--out must be a path that can be written. Received: {tmp_path / path}: "):
        require_writable(tmp_path / path, "--out")
    require_writable(tmp_path / "folder" / "new" / "picture.png", "--out")
    require_writable(tmp_path / "file", "--out")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_would_not_be_locked_is_known_and_nothing_is_written(tmp_path):
    require_lockable(tmp_path / "runs" / "E", "--workdir")
    assert not any(tmp_path.iterdir())
    with locked(tmp_path, "--workdir"), pytest.raises(UserError, match="where one is running"):
        require_lockable(tmp_path, "--workdir")
    require_lockable(tmp_path, "--workdir")
    with pytest.raises(UserError, match="--workdir must be .* Received: /proc/self/runs: "):
        require_lockable(Path("/proc/self/runs"), "--workdir")
