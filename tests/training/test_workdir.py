"""A run's folder as the workers that do not write find it; tests/training/test_resume.py resumes through the command line."""

import dataclasses

import pytest

from tests.conftest import write_images
from vgg_keras.config import Config, UserError, override, to_dict
from vgg_keras.data.sources import open_source
from vgg_keras.files import write_json
from vgg_keras.training.start import Start
from vgg_keras.training.workdir import prepare


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
    config = override(config, ["training.weights=vgg.pth"])
    with pytest.raises(UserError, match=r"Received: 12ab for the first, vgg\.pth \(sha256 34cd\) here\."):
        prepared(dataclasses.replace(start, digest="34cd"), writes=False)


def test_a_start_of_other_classes_is_refused_before_the_colours_are_measured(tmp_path):
    """3.1 takes the last layer too, so as many classes of other names would be trained on in silence."""
    for seed, name in enumerate(("cat", "owl")):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 5, seed=seed)
    write_json(tmp_path / "start" / "config.json", {"config": to_dict(Config()), "classes": ["cat", "dog"]})
    config = override(Config(), [f"data.source={tmp_path / 'photos'}", f"training.init_from={tmp_path / 'start'}"])
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"class 1 is 'owl', the net's 'dog'\. --weights=.*start fine-tunes it"):
        prepare(tmp_path / "run", config, open_source(config.data), {}, Start("12ab", ()))
    assert list((tmp_path / "run").iterdir()) == []
