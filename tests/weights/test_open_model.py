"""One way to a net: what a command line names is refused before it is opened where it can be; Python takes what holds a net."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import vgg_keras
from vgg_keras.config import PREDICT, Config, fields_with, without_protocols
from vgg_keras.errors import UserError
from vgg_keras.files import write_json
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.weights import load as loading
from vgg_keras.weights.open_model import open_model, resolve


def test_a_misspelt_override_is_refused_before_the_file_is_opened():
    with pytest.raises(UserError, match=r"Did you mean 'evaluation\.flip'\?"):
        resolve(None, "absent.pth", "quickstart", {"evaluation.flp": False})
    # whether a scale suits the file's net is known once it is open
    resolve(None, "absent.pth", None, {"data.scale": (32,)})


def test_overrides_are_applied_to_the_files_own_net_where_no_configuration_is_named(monkeypatch):
    config = override(Config(), {"architecture.name": "A", "architecture.num_classes": 7})

    def load_net(source, config_of, dtype, sha256, convolutions, stated):
        return SimpleNamespace(config=dataclasses.replace(config_of or Config(), architecture=config.architecture))

    monkeypatch.setattr(loading, "load_net", load_net)
    overrides = {"evaluation.flip": False, "runtime.precision": "float32"}
    for named in (None, "E"):
        early, open_net = resolve(None, "file.pth", named, overrides)
        assert early.runtime.precision == "float32"
        resolved = open_net("float32")[1]
        rest = override(load(named) if named else Config(), overrides)
        assert resolved == dataclasses.replace(rest, architecture=config.architecture, stages=())


def test_a_run_keeps_the_fields_that_a_command_may_not_change(tmp_path):
    write_json(tmp_path / "config.json", {"config": to_dict(Config()), "classes": ["a"]})
    may_change = fields_with(PREDICT)
    with pytest.raises(
        UserError,
        match=r"changes data\.scale, .*evaluation\.\*, localization\.windows, .*runtime\.cache_dir; the rest is fixed\. "
        r"Received: training\.epochs: 74, now 3\.$",
    ):
        resolve(str(tmp_path), None, None, {"training.epochs": 3}, may_change=may_change)
    overrides = {"training.epochs": 74, "evaluation.flip": False}  # the run's own value changes nothing
    assert resolve(str(tmp_path), None, None, overrides, may_change=may_change)[0].evaluation.flip is False


def test_a_configuration_beside_weights_states_the_net_and_its_images_alone():
    """Its training is over: a rate or a number of epochs was taken without a word."""
    may_change = fields_with(PREDICT)
    stated = {"architecture.width": 0.5, "architecture.dropout": 0.1, "data.scale": (256, 512), "stages": ()}
    config, _ = resolve(None, "file.pth", "E", stated, may_change=may_change)
    assert config.architecture.width == 0.5 and config.data.scale == (256, 512)
    for path, value in (("training.epochs", 3), ("data.batch", 8), ("runtime.strategy", "mirrored")):
        with pytest.raises(UserError, match=rf"the rest is fixed\. Received: {path}: "):
            resolve(None, "file.pth", "E", {**stated, path: value}, may_change=may_change)


def test_a_dense_command_reads_the_windows_of_a_run_whose_own_test_is_another(tmp_path):
    """localize has no protocol to choose; evaluate has."""
    boxes = override(load("localisation"), {"architecture.boxes": "scr"})
    write_json(tmp_path / "config.json", {"config": to_dict(boxes), "classes": ["a"]})
    words = str(tmp_path), None, None, {"localization.windows": "crops"}
    assert resolve(*words, may_change=without_protocols(PREDICT))[0].localization.windows == "crops"
    with pytest.raises(UserError, match=r"windows with evaluation\.protocol=center\. Set both, or leave it out"):
        resolve(*words, may_change=fields_with(PREDICT))


def test_a_scale_from_which_no_q_follows_is_refused(tmp_path):
    """A prediction ran at the run's own Q."""
    write_json(tmp_path / "config.json", {"config": to_dict(load("quickstart")), "classes": ["a"]})
    words = str(tmp_path), None, None, {"data.scale": (40,)}
    with pytest.raises(UserError, match=r"Received: data\.scale with evaluation\.scales=32\. Leave data\.scale out"):
        resolve(*words, may_change=fields_with(PREDICT))
    assert resolve(*words, may_change=fields_with(PREDICT), flags={"--format": "onnx"})[0].middle_scale == 40
    without = {"data.scale": (40,), "evaluation.scales": ()}
    assert resolve(*words[:3], without, may_change=fields_with(PREDICT))[0].test_scales == (40,)


@pytest.mark.slow
def test_python_takes_a_loaded_net_or_a_model_and_removes_its_soft_max(random):
    fields = {"num_classes": 3, "crop": 32, "width": 1 / 16, "seed": 1}
    model = vgg_keras.build("A", **fields)
    opened = open_model(model)
    assert opened.model is model and opened.config.architecture.name == "A" and opened.classes == ()
    assert opened.config.test_scales == (37,)  # 256 / 224 of the crop
    assert open_model(opened) is opened
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    softmax = vgg_keras.build("A", classifier_activation="softmax", **fields)
    logits = open_model(softmax).model
    assert np.array_equal(logits.predict(images, verbose=0), model.predict(images, verbose=0))
    assert open_model(softmax).model is logits
    for wrong, received in ((None, "None"), (3, "int 3")):
        with pytest.raises(UserError, match=rf"A net is a run's folder, another source.* Received: {received}\."):
            open_model(wrong)
