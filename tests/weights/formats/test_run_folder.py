"""A net on disk: what is saved is what is loaded, and nothing that was changed since."""

import contextlib
import dataclasses
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

import vgg_keras
from vgg_keras import runs
from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sha256, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import require_unchanged
from vgg_keras.weights.formats import run_folder
from vgg_keras.weights.formats.run_folder import load_run, save_weights


@pytest.fixture
def run(tmp_path):
    architecture = Architecture("A-LRN", num_classes=3, crop=32, width=1 / 16, mean=(1.0, 2.0, 3.0))
    config = dataclasses.replace(Config(), architecture=architecture)
    write_json(tmp_path / "config.json", {"config": to_dict(config), "classes": ["a", "b", "c"]})
    model = vgg_keras.build(architecture, seed=5)
    save_weights(model, tmp_path)
    return tmp_path, model


@pytest.mark.slow
def test_the_loaded_net_is_the_saved_one(run, random):
    folder, model = run
    loaded = load_run(folder)
    image = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    assert np.array_equal(loaded.model.predict(image, verbose=0), model.predict(image, verbose=0))
    assert loaded.classes == ("a", "b", "c") and loaded.config.architecture.mean == (1.0, 2.0, 3.0)


def test_nothing_is_assumed_of_a_run(run, capsys):
    folder, model = run
    vgg_keras.load_weights(model, folder)
    assert capsys.readouterr().err == ""


def test_what_is_stated_of_a_run_does_not_contradict_it(run):
    for stated, message in (
        ({"mean": (0, 0, 0)}, r"Received: mean=\(0\.0, 0\.0, 0\.0\) for .*, whose mean is \(1\.0, 2\.0, 3\.0\)"),
        ({"croop": 64}, r"Received: croop=\.\.\. Did you mean 'crop'\?"),
    ):
        with pytest.raises(UserError, match=message):
            vgg_keras.load_net(run[0], stated=stated)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_changed_file_is_refused_by_name(run, name):
    folder, _ = run
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        UserError, match=f"must match their sha256.*{name}, which was changed, damaged|Received another file"
    ):
        load_run(folder)


def test_a_removed_file_is_refused_by_name(run):
    folder, _ = run
    (folder / "model.weights.h5").unlink()
    with pytest.raises(UserError, match="model.weights.h5, which was changed, damaged or removed"):
        load_run(folder)


@pytest.mark.parametrize("reader", ["read_manifest", "read_keras"])
def test_weights_that_a_training_replaces_while_they_are_read_are_read_again(run, monkeypatch, reader):
    """Between manifest and digest they seemed damaged, between digest and weights a net had the digest of another."""
    folder, old = run
    new, module = vgg_keras.build(old.architecture, seed=6), {"read_manifest": runs, "read_keras": run_folder}[reader]
    original, calls = getattr(module, reader), []

    def read(path):
        found = original(path) if reader == "read_manifest" else None
        calls.append(path)
        if len(calls) == 1:
            save_weights(new, folder)
        return found or original(path)

    monkeypatch.setattr(module, reader, read)
    loaded = load_run(folder)
    assert loaded.weights_sha256 == sha256(folder / "model.weights.h5") and len(calls) == 2
    assert all(map(np.array_equal, loaded.model.get_weights(), new.get_weights()))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 2])
def test_killed_while_the_weights_change_places_it_leaves_a_net_that_loads(run, monkeypatch, moment):
    folder, old = run
    new = vgg_keras.build(load_run(folder).config.architecture, seed=6)
    writes = []

    def write(path, value):
        writes.append(path)
        if len(writes) == moment:
            raise KeyboardInterrupt  # before the new weights have their name, and after
        write_json(path, value)

    monkeypatch.setattr("vgg_keras.weights.formats.run_folder.write_json", write)
    with pytest.raises(KeyboardInterrupt):
        save_weights(new, folder)
    expected = (old, new)[moment - 1]
    assert all(map(np.array_equal, load_run(folder).model.get_weights(), expected.get_weights()))


@pytest.mark.slow
def test_killed_between_any_two_files_it_leaves_what_a_resumed_run_accepts(run, monkeypatch):
    folder, _ = run
    new = vgg_keras.build(load_run(folder).config.architecture, seed=6)
    replace, moved = os.replace, []

    def killed_at(number):
        def move(old, path):
            if len(moved) == number:
                raise KeyboardInterrupt
            moved.append(Path(path).name)
            replace(old, path)

        return move

    for number in itertools.count():
        moved.clear()
        monkeypatch.setattr("vgg_keras.files.os.replace", killed_at(number))
        try:
            save_weights(new, folder)
        except KeyboardInterrupt:
            assert set(require_unchanged(folder, resumed=True)) == {"config.json", "model.weights.h5", "model.keras"}
            load_run(folder)
        else:
            break
    assert moved == ["manifest.json", "model.weights.h5", "model.keras", "manifest.json"]


@pytest.mark.parametrize("number", range(4))
def test_killed_at_its_first_weights_a_run_goes_on(run, monkeypatch, number):
    folder, model = run
    for name in ("model.weights.h5", "model.keras"):
        (folder / name).unlink()
    write_json(folder / "manifest.json", {"config.json": [sha256(folder / "config.json")]})
    replace, moved = os.replace, []

    def move(old, path):
        if len(moved) == number:
            raise KeyboardInterrupt
        moved.append(path)
        replace(old, path)

    monkeypatch.setattr("vgg_keras.files.os.replace", move)
    with pytest.raises(KeyboardInterrupt) if number < 3 else contextlib.nullcontext():
        save_weights(model, folder)
    monkeypatch.undo()
    require_unchanged(folder, resumed=True)
    if number < 3:
        with pytest.raises(UserError, match="there after its first validation"):
            load_run(folder)


def test_saving_does_not_bless_a_configuration_that_was_edited(run):
    folder, model = run
    stored = json.loads((folder / "config.json").read_text())
    stored["config"]["architecture"]["mean"] = [9.0, 9.0, 9.0]
    write_json(folder / "config.json", stored)
    save_weights(model, folder)
    with pytest.raises(UserError, match=r"config\.json, which was changed"):
        load_run(folder)


def test_a_net_loads_without_the_copy_for_keras_and_a_run_does_not_go_on(run):
    folder, _ = run
    (folder / "model.keras").unlink()
    load_run(folder)
    with pytest.raises(UserError, match=r"model\.keras, which was changed, damaged or removed\. Put it back"):
        require_unchanged(folder, resumed=True)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="Received: .*, without config.json"):
        load_run(tmp_path)


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(RuntimeError), replacing(tmp_path / "value.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]
    assert (tmp_path / "value.json").read_text() == "1\n"
