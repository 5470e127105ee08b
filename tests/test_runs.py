"""A run's folder, read without a framework; tests/training/test_workdir.py tests what a resume checks."""

import pytest

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import (
    begun,
    checkpoints_in,
    outlives_start,
    read_config,
    require_unchanged,
    run_config,
    run_of,
    weights_digest,
)


def a_run(folder, **fields):
    config = override(Config(), fields)
    write_json(folder / "config.json", {"config": to_dict(config), "classes": []})
    return config


def test_checkpoints_by_their_steps_and_no_other_folders(tmp_path):
    names = ("epoch-0002-step-000000090", "epoch-0001-step-000000045", "epoch-10000-step-1000000000")
    for name in (*names, "epoch-0001-step-000000045-backup", "epoch-1-step-2", "unfinished-epoch-0003-step-000000135"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints_in(tmp_path)] == [names[1], names[0], names[2]]


def test_a_run_outlives_its_start_once_it_has_a_checkpoint_or_is_finished(tmp_path):
    weights = tmp_path / "vgg.pth"
    config = a_run(tmp_path / "run", **{"training.weights": str(weights)})
    assert not begun(tmp_path / "run") and not outlives_start(tmp_path / "run", config)
    (tmp_path / "run" / "checkpoints" / "epoch-0001-step-000000045").mkdir(parents=True)
    assert begun(tmp_path / "run") and outlives_start(tmp_path / "run", config)
    other = override(config, {"training.weights": str(tmp_path / "other.pth")})
    assert not outlives_start(tmp_path / "run", other)
    weights.write_bytes(b"weights")  # there: their digest is compared
    assert not outlives_start(tmp_path / "run", config)

    random = a_run(tmp_path / "random")
    (tmp_path / "random" / "finished.json").write_text("{}")
    assert not outlives_start(tmp_path / "random", random)


def test_a_path_in_a_run_names_the_run(tmp_path):
    a_run(tmp_path / "chain" / "S256")
    inside = tmp_path / "chain" / "S256" / "checkpoints" / "epoch-0001-step-000000045"
    assert run_of(inside / "digests.json") == run_of(inside) == tmp_path / "chain" / "S256"
    assert run_of(tmp_path / "chain" / "S256") is None  # the folder itself
    with pytest.raises(UserError, match=rf"Give the run's folder, {tmp_path / 'chain' / 'S256'}\."):
        run_config(inside)
    with pytest.raises(UserError, match=r"Each stage of a chain is a run: name one of .*S256\."):
        run_config(tmp_path / "chain")
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").touch()
    for read in (run_config, weights_digest):
        with pytest.raises(UserError, match=r"exported, which is none\. A SavedModel is not read: give the net"):
            read(tmp_path / "exported")


@pytest.mark.parametrize("content", ["{", "[]", '{"config": {}}', '{"config": {"seed": "x"}, "classes": []}'])
def test_another_file_of_that_name_is_no_run(tmp_path, content):
    assert read_config(tmp_path) is None
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json must be a run's configuration\. Received another file: "):
        read_config(tmp_path)


def test_the_files_of_a_run_are_those_of_its_manifest(tmp_path):
    a_run(tmp_path)
    (tmp_path / "model.weights.h5").write_bytes(b"weights")
    digests = {name: sha256(tmp_path / name) for name in ("config.json", "model.weights.h5")}
    write_json(tmp_path / "manifest.json", {name: [digest] for name, digest in digests.items()})
    assert require_unchanged(tmp_path) == digests
    (tmp_path / "model.weights.h5").write_bytes(b"weighty")
    with pytest.raises(UserError, match=r"model\.weights\.h5, which was changed, damaged or removed\. Put it back"):
        require_unchanged(tmp_path)
