"""A net on disk: what is saved is what is loaded, and nothing that was changed since."""

import dataclasses

import numpy as np
import pytest

import vgg_keras
from vgg_keras.config import Architecture, Config, UserError, to_dict
from vgg_keras.files import replacing, write_json
from vgg_keras.weights.run import load_run, save_weights


@pytest.fixture
def run(tmp_path):
    architecture = Architecture("A-LRN", num_classes=3, crop=32, width=1 / 16, mean=(1.0, 2.0, 3.0))
    config = dataclasses.replace(Config(), architecture=architecture)
    write_json(tmp_path / "config.json", {"config": to_dict(config), "classes": ["a", "b", "c"]})
    model = vgg_keras.build(architecture, seed=5)
    save_weights(model, tmp_path)
    return tmp_path, model


def test_the_loaded_net_is_the_saved_one(run, random):
    folder, model = run
    loaded = load_run(folder)
    image = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    assert np.array_equal(loaded.model.predict(image, verbose=0), model.predict(image, verbose=0))
    assert loaded.classes == ("a", "b", "c") and loaded.config.architecture.mean == (1.0, 2.0, 3.0)


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

    monkeypatch.setattr("vgg_keras.weights.run.write_json", write)
    with pytest.raises(KeyboardInterrupt):
        save_weights(new, folder)
    expected = (old, new)[moment - 1]
    assert all(map(np.array_equal, load_run(folder).model.get_weights(), expected.get_weights()))


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
