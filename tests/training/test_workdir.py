"""A run's folder as the workers that do not write find it; tests/training/test_resume.py resumes through the command line."""

import dataclasses

import pytest

from tests.conftest import write_images
from vgg_keras.config import Config, UserError, override, to_dict
from vgg_keras.data.sources import open_source
from vgg_keras.files import write_json
from vgg_keras.training.start import Start
from vgg_keras.training.workdir import check, decisive, prepare


def test_workers_that_start_from_other_weights_than_the_first_are_refused(tmp_path):
    for seed, name in enumerate("ab"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 5, seed=seed)
    config = override(
        Config(), [f"data.source={tmp_path / 'photos'}", "architecture.crop=32", "data.scale=32", "data.batch=2"]
    )
    source, start = open_source(config.data), Start("12ab", (1.0, 2.0, 3.0))
    (tmp_path / "run").mkdir()

    def prepared(start, writes):
        return prepare(tmp_path / "run", config, source, {}, start, writes)

    first, _ = prepared(start, writes=True)
    assert first.architecture.mean == start.mean
    for same in (start, None):  # None: of a run that goes on, whose start is compared before
        assert prepared(same, writes=False)[0] == first
    for other, told in ((dataclasses.replace(start, digest="34cd"), "34cd"), (Start(None, ()), "random weights")):
        with pytest.raises(UserError, match=f"start from the same weights. Received: 12ab for the first, {told} here"):
            prepared(other, writes=False)


def test_a_resume_takes_other_limits_and_nothing_else(tmp_path):
    for place, batch_norm in enumerate((False, True)):
        begun, folder = override(Config(), [f"architecture.batch_norm={batch_norm}"]), tmp_path / str(place)
        write_json(folder / "config.json", {"config": to_dict(begun), "classes": [], "started_from": None})
        (folder / "checkpoints" / "epoch-0001-step-000000045").mkdir(parents=True)
        for limit in ("evaluation.max_pixels=200000000", "evaluation.batch=1", "runtime.cpu_devices=2"):
            check(folder, override(begun, [limit]))
        fewer = override(begun, ["data.micro_batch=32"])
        if batch_norm:  # whose mean and variance are those of the part of a batch
            with pytest.raises(UserError, match="begun with data.micro_batch: 0, now 32"):
                check(folder, fewer)
        else:
            check(folder, fewer)
        assert decisive(begun) != decisive(fewer)  # workers of one run still agree
        assert decisive(begun) != decisive(override(begun, ["evaluation.batch=1"]))
        for other in ("data.batch=32", "evaluation.flip=false", "evaluation.scales=384", "training.epochs=3", "seed=1"):
            with pytest.raises(UserError, match=f"begun with {other.split('=')[0]}: "):
                check(folder, override(begun, [other]))
