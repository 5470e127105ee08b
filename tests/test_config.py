"""Configurations: overrides with types, names, round trips, and the one line that each mistake gets."""

import json
import re

import numpy as np
import pytest

from vgg_keras import config, synonyms
from vgg_keras.config import Architecture, Config, Data, load
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments


def test_every_named_configuration_loads_and_survives_json():
    names = [path.stem for path in config.config_folder().glob("*.py")]
    assert {"A", "A_LRN", "B", "B_5x5", "C", "D", "E", "quickstart"} <= set(names)
    for name in names:
        loaded = load(name)
        stored = json.loads(json.dumps(config.to_dict(loaded)))
        assert config.from_dict(Config, stored) == loaded


def test_named_configurations_hold_their_net():
    assert load("A_LRN").architecture.name == "A-LRN"
    assert load("E").architecture.width == 1.0
    assert load("E").test_scales == (256,)
    assert (load("single_scale").data.scale, load("multi_scale").data.scale) == ((256,), (256, 512))


@pytest.mark.parametrize(
    ("assignment", "read", "value"),
    [
        ("training.learning_rate=1e-3", lambda c: c.training.learning_rate, 1e-3),
        ("data.scale=256,512", lambda c: c.data.scale, (256, 512)),
        ("data.flip=false", lambda c: c.data.flip, False),
        ("architecture.head=gap", lambda c: c.architecture.head, "gap"),
        ("architecture.mean=1,2,3.5", lambda c: c.architecture.mean, (1.0, 2.0, 3.5)),
        ("data.source=a=b", lambda c: c.data.source, "a=b"),
        ("seed=7", lambda c: c.seed, 7),
        ("evaluation.scales=", lambda c: c.evaluation.scales, ()),
    ],
)
def test_override_sets_one_field_with_its_type(assignment, read, value):
    assert read(override(Config(), parse_assignments([assignment]))) == value
    assert type(read(override(Config(), parse_assignments([assignment])))) is type(value)


def test_checks_across_fields_see_the_end_of_all_overrides():
    changed = override(Config(), {"data.scale": (40,), "architecture.crop": 32})
    assert (changed.data.scale, changed.architecture.crop) == ((40,), 32)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.learning_rat=1", r"'training\.learning_rat'\. Did you mean 'training\.learning_rate'"),
        ("learning_rate=1", r"Did you mean 'training\.learning_rate'"),
        ("epochs=1", r"Did you mean 'training\.epochs'"),
        ("lr=1", r"Did you mean 'training\.learning_rate'"),
        ("batch_size=8", r"Did you mean 'data\.batch'"),
        ("training.lr=1", r"Did you mean 'training\.learning_rate'"),
        ("training.batch=8", r"Did you mean 'data\.batch'"),
        ("architecture.classes=8", r"Did you mean 'architecture\.num_classes'"),
        ("bacth=1", r"Did you mean '(data|evaluation)\.batch'"),
        ("training.learning_rate=inf", r"training\.learning_rate must be a finite number\. Received: inf"),
        ("data.batch.size=1", r"Received: 'data\.batch\.size'"),
        ("data=3", r"a field, not a section\. Received: 'data'\. Inside it: data\.source"),
        ("data.batch", r"takes field\.path=value\. Received: 'data\.batch'"),
        ("data.batch=big", r"data\.batch must be an integer\. Received: 'big'"),
        ("data.batch=1.5", r"data\.batch must be an integer\. Received: '1\.5'"),
        ("data.flip=maybe", r"data\.flip must be true or false\. Received: 'maybe'"),
        ("data.scale=a,b", r"data\.scale must be int values with commas between them\. Received: 'a,b'"),
        ("data.scale=512,256", r"Smin <= Smax\. Received: \(512, 256\)"),
        ("architecture.head=mlp", r"architecture\.head must be one of fc, gap\. Received: 'mlp'"),
        ("architecture.crop=300", r"data\.scale must be architecture\.crop \(300\) or more\. Received: \(256,\)"),
        ("training.momentum=1", r"training\.momentum must lie in \[0, 1\)\. Received: 1\.0"),
        ("seed=-1", r"seed must lie in"),
    ],
)
def test_mistakes_get_one_line(assignment, message):
    with pytest.raises(UserError, match=message) as caught:
        override(Config(), parse_assignments([assignment]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture(head="FC"), r"architecture\.head must be one of fc, gap\. Received: 'FC'"),
        (lambda: Architecture(num_classes="10"), r"architecture\.num_classes must be an integer\. Received: '10'"),
        (lambda: Architecture(mean=5), r"architecture\.mean must be float values"),
        (lambda: Data(scale=32), r"data\.scale must be int values with commas between them\. Received: 32"),
        (lambda: Config(data=3), r"data must be a Data\. Received: 3"),
    ],
)
def test_values_are_checked_from_python_too(make, message):
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VGG11", "'A'"),
        ("vgg_13", "'B'"),
        ("VGG-16", "'D'"),
        ("VGGNet-19", "'E'"),
        ("16", "'D'"),
        ("vgg19_bn", "'E' with --set=architecture.batch_norm=true"),
        ("e", "'E'"),
        ("a-lrn", "'A_LRN'"),
        ("QuickStart", "'quickstart'"),
        ("configs/VGG16", "'D'"),
    ],
)
def test_a_configuration_by_its_name_elsewhere_is_named(name, meant):
    with pytest.raises(UserError, match=re.escape(f"Did you mean {meant}?")):
        load(name)


def test_other_names_mean_fields_that_exist():
    paths = set(config.every_field())
    assert set(synonyms.FIELDS.values()) <= paths
    # a name of our own must not stand for another field
    own = {path.rpartition(".")[2] for path in paths}
    assert not own & set(synonyms.FIELDS)


def test_numpys_numbers_and_lists_become_plain_ones():
    made = Data(scale=[np.int64(32), 40], batch=np.int32(8), color_shift=np.float32(0.5))
    assert (made.scale, made.batch, made.color_shift) == ((32, 40), 8, 0.5)
    assert type(made.batch) is int and type(made.color_shift) is float


def test_every_field_is_read_somewhere():
    """A field that nothing reads is a promise that nothing keeps."""
    package = config.Path(config.__file__).parent
    code = "\n".join(path.read_text() for path in package.rglob("*.py") if path.name != "config.py")
    for path in config.every_field():
        section, _, name = path.rpartition(".")
        reader = rf"\b_?({section or 'config'}|rules)\.{name}\b"
        assert re.search(reader, code) or path == "evaluation.scales", path
    assert "config.test_scales" in code  # which reads evaluation.scales


def test_a_configuration_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from vgg_keras.config import Config\n\ndef config():\n    return Config(seed=5)\n")
    assert load(str(path)).seed == 5
    path.write_text("def config():\n    return 3\n")
    with pytest.raises(UserError, match=r"must return a vgg_keras\.config\.Config\. Received: 3"):
        load(str(path))
    path.write_text("import nowhere\n")
    with pytest.raises(UserError, match=r"mine\.py must define config\(\)\. It failed with ModuleNotFoundError"):
        load(str(path))
    with pytest.raises(UserError, match=r"Received: 'quikstart'\. Did you mean 'quickstart'"):
        load("quikstart")


def test_the_first_difference_is_named():
    old, new = config.to_dict(Config()), config.to_dict(override(Config(), {"data.batch": 32}))
    assert config.difference(old, new) == "data.batch: 256, now 32"
    assert config.difference(old, old) is None
