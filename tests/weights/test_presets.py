"""The files of a KerasHub preset, without a framework: which folder is one, and its digest by hashlib alone."""

import hashlib
import json
import sys

import pytest

from vgg_keras.weights.presets import digest, is_preset


def test_a_preset_is_a_folder_whose_configuration_names_a_class(tmp_path):
    config = tmp_path / "config.json"
    assert not is_preset(tmp_path)  # without one
    for text, found in (
        ('{"class_name": "VGGBackbone", "config": {}}', True),
        ('{"config": {}, "classes": []}', False),  # a run's
        ('["class_name"]', False),
        ('"class_name"', False),
        ("{", False),
        ("[" * (sys.getrecursionlimit() * 100), False),
        (b"\xff\xfe\x00", False),
    ):
        config.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert is_preset(tmp_path) == found, text[:40]
    config.write_text(json.dumps({"class_name": "VGGBackbone", "padding": " " * 2**20}))
    assert not is_preset(tmp_path)  # too long for a configuration
    config.write_text('{"class_name": "VGGBackbone"}')
    (tmp_path / "manifest.json").write_text("{}")
    assert not is_preset(tmp_path)  # a run has a manifest


def test_a_folder_of_that_name_is_no_configuration(tmp_path):
    (tmp_path / "config.json").mkdir()
    assert not is_preset(tmp_path)


def by_hand(files):
    lines = (f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("task", [False, True])
def test_the_digest_is_of_the_files_that_are_read(tmp_path, task):
    files = [("config.json", b"{}"), ("model.weights.h5", b"arrays")]
    files += [("task.json", b"{1}"), ("task.weights.h5", b"more")] if task else []
    files += [("preprocessor.json", b"{2}")]
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "metadata.json").write_text("which is not read")
    assert digest(tmp_path) == by_hand(files)
    (tmp_path / "metadata.json").write_text("another")
    assert digest(tmp_path) == by_hand(files)
    for place, (name, content) in enumerate(files):
        (tmp_path / name).write_bytes(content + b"!")
        changed = [*files[:place], (name, content + b"!"), *files[place + 1 :]]
        assert digest(tmp_path) == by_hand(changed) != by_hand(files), name
        (tmp_path / name).write_bytes(content)
