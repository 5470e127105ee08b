"""Paths as users type them, paths that cannot be written, and folders whose names TensorFlow reads as patterns."""

import os
from pathlib import Path

import pytest
import tensorflow as tf

from vgg_keras.errors import UserError
from vgg_keras.paths import below, plain_folder, require_writable, user_path

HOSTILE = ["a[b]c", "a[b", "d*e?", "x\\y", "{a,b}", "two\nlines", os.fsdecode(b"\xff\xfe")]


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


def test_a_picture_of_an_image_beside_its_list_stays_in_its_folder():
    for name, inside in (("cat/a.jpg", "cat/a.jpg"), ("../b/a.jpg", "_/b/a.jpg"), ("/x/../a.jpg", "x/_/a.jpg")):
        assert below(Path("maps"), name) == Path("maps") / inside


def test_a_picture_of_an_image_with_the_longest_name_can_be_written(tmp_path):
    """255 bytes, to which its ending is added; in a name that is not UTF-8 each byte becomes four characters."""
    names = ["a" * 251 + ".jpg", "b" * 251 + ".jpg", "\u732b" * 83 + ".jpg", r"\xe9" * 251 + ".jpg"]
    paths = [below(tmp_path, f"cat/{name}.png") for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert len(set(paths)) == len(names) and all(path.name.endswith(".jpg.png") for path in paths)
    assert below(tmp_path, "c" * 251 + ".png").name == "c" * 251 + ".png"
