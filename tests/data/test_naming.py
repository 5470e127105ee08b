"""What --data cannot mean is said in one line before TensorFlow starts, and what it can is let through."""

import os
import subprocess
import sys

import pytest

from tests.conftest import command
from tests.evaluation.tested_runs import a_run
from vgg_keras.data import naming
from vgg_keras.data.naming import require_source
from vgg_keras.errors import UserError


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("photos/", r"'photos/', which is no folder and no such name\. Did you mean 'photo'\?"),
        ("photos\\cats", r"no folder and no such name"),
        ("C:\\photos", r"no folder and no such name"),
        ("./photos", r"no folder"),
        ("../photos", r"no folder"),
        ("~/no/photos", r"no folder"),
        ("a.b", r"no folder and no such name"),
        ("cifar10/", r"no folder and no such name"),
        ("cifar10:3", r"no folder and no such name"),
        ("photos/cats", r"There is no folder of that name, and no set 'photos'\."),
        ("file.txt", r"a file"),
        ("fifo.csv", r"'fifo\.csv', which is a FIFO, a socket or a device\."),
        ("zero.csv", r"'zero\.csv', which is a FIFO, a socket or a device\."),
        ("broken", r"a link that leads nowhere"),
    ],
)
def test_a_name_that_is_no_folder_and_no_set_is_refused_in_one_line(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
    (tmp_path / "photo").mkdir()
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=message) as error:
        require_source(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        "digits",
        "cifar10",
        "cifar10:3.0.2",
        "imagenette/320px-v2",
        "huggingface:mnist",
        "own/set",
        "photo",
        "photo/",
        "no_such",
    ],
)
def test_folders_and_possible_sets_pass(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
    (tmp_path / "photo").mkdir()
    (tmp_path / "sets" / "own").mkdir(parents=True)
    require_source(source, data_dir=str(tmp_path / "sets"))


def below(kind):
    """Every class that derives from this one."""
    return {one for child in kind.__subclasses__() for one in (child, *below(child))}


def test_every_set_of_tensorflow_datasets_is_known():
    import tensorflow_datasets as tfds

    known = naming._known_sets()
    # other tests of this process may have registered sets of their own
    ours = {
        builder.name
        for builder in below(tfds.core.DatasetBuilder)
        if not builder.__module__.startswith("tensorflow_datasets.")
    }
    theirs = set(tfds.list_builders(with_community_datasets=False)) - ours
    assert {name for name in theirs if naming._plain(name) not in known} == set()


@pytest.mark.parametrize("name", ["train", "samples"])
def test_a_command_with_such_a_name_makes_nothing_and_starts_no_tensorflow(tmp_path, name):
    blocked = tmp_path / "blocked"
    (blocked / "tensorflow").mkdir(parents=True)
    (blocked / "tensorflow" / "__init__.py").write_text("raise SystemExit('TensorFlow was started')")
    code = f"import sys; sys.path.insert(0, {str(blocked)!r}); from runpy import run_module; "
    code += f"run_module('vgg_keras.{name}', run_name='__main__', alter_sys=True)"
    folder = tmp_path / "here"
    folder.mkdir()
    arguments = command(name, "--config=quickstart", "--data=photos/", cache=tmp_path)[3:]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: --data takes") and done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("words", [["evaluate"], ["features", "--out=out"], ["export", "--format=tflite", "--out=out"]])
def test_a_run_whose_images_were_moved_names_the_flag(tmp_path, words):
    """A name without a slash may be a set of TensorFlow Datasets, which was asked for seconds: 'pics' was near to 'dices'."""
    a_run(tmp_path / "run", None, "data.source=pics")
    name, *flags = words
    done = subprocess.run(
        command(name, f"--model={tmp_path}/run", *flags, cache=tmp_path), capture_output=True, text=True, cwd=tmp_path
    )
    message = "run, of 'pics', which is not here. Give --data, such as the place that they were moved to.\n"
    assert done.returncode == 2 and done.stderr.startswith("error: A run's images") and done.stderr.endswith(message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_runs_images_on_the_disk_and_sets_pass(tmp_path):
    for source in ("digits", str(tmp_path), "mnist", "huggingface:mnist"):
        naming.require_source_of_run("run", {}, source)
