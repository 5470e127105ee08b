"""Overrides: their types, their names, and the one line that each mistake gets."""

import pytest

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.overrides import override, parse_assignments, require_effect
from vgg_keras.recipes import load


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
        ("architecture.head=mlp", r"architecture\.head must be one of fc, gap, gmp\. Received: 'mlp'"),
        (
            "data.scale=200",
            r"data\.scale must be architecture\.crop \(224\) or more\. Received: \(200,\)\. Try 256, 8/7 of the crop",
        ),
        ("training.momentum=1", r"training\.momentum must lie in \[0, 1\)\. Received: 1\.0"),
        ("seed=-1", r"seed must lie in"),
        ("stages.S384.epochs=3", r"by its place N, from 0\. .* Did you mean 'stages\.N\.epochs'\?"),
        ("stages.epochs=3", r"Received: 'stages\.epochs'\. Did you mean 'stages\.N\.epochs'\?"),
    ],
)
def test_mistakes_get_one_line(assignment, message):
    with pytest.raises(UserError, match=message) as caught:
        override(Config(), parse_assignments([assignment]))
    assert "\n" not in str(caught.value)


BOXES = {"architecture.boxes": "scr", "evaluation.protocol": "dense"}


@pytest.mark.parametrize(
    ("path", "value", "others", "flags", "refused"),
    [
        ("evaluation.grid", 3, {}, {}, "with evaluation.protocol=dense. Set both"),
        ("evaluation.grid", 3, {"evaluation.protocol": "both"}, {}, None),
        ("evaluation.flip", True, {}, {"--format": "onnx"}, "--format=saved_model. .* with --format=onnx"),
        ("evaluation.flip", False, {}, {"--format": "onnx"}, None),  # there are no mirror images
        ("evaluation.flip", True, {}, {"--format": "saved_model"}, None),
        ("export.min_agreement", 0.8, {}, {"--format": "saved_model"}, "--format=tflite"),
        ("export.min_agreement", 0.8, {}, {}, None),  # a training's, for a later export
        (
            "features.splits",
            5,
            {"features.per_class": 30},
            {"--classify": False},
            "--classify. .* no --clas",
        ),
        ("features.splits", 5, {}, {"--classify": True}, "with features.per_class=0"),
        ("features.splits", 5, {"features.per_class": 30}, {"--classify": True}, None),
        ("localization.iou", 0.75, {}, {}, "architecture.boxes=scr or .* with architecture.boxes=none"),
        ("localization.iou", 0.75, BOXES, {}, None),
        ("localization.windows", "crops", BOXES | {"evaluation.protocol": "center"}, {}, ".*protocol=dense"),
        ("localization.windows", "crops", BOXES, {}, None),
        ("localization.answers", 3, BOXES, {"--classifier": None}, "--classifier. .* with no --classifier"),
        ("localization.answers", 3, BOXES, {"--classifier": "runs/D"}, None),
        ("localization.answers", 3, {}, {"--classifier": "runs/D"}, "architecture.boxes=none"),
    ],
)
def test_an_override_without_effect_is_refused(path, value, others, flags, refused):
    overrides = {**others, path: value}
    config = override(Config(), overrides)
    if refused is None:
        require_effect([config], overrides, flags)
        return
    with pytest.raises(UserError, match=rf" belongs to .*{refused}") as caught:
        require_effect([config], overrides, flags)
    assert "\n" not in str(caught.value)


def test_a_setting_that_may_not_change_is_not_advised():
    overrides = {"localization.iou": 0.75}
    with pytest.raises(UserError, match=r"with architecture\.boxes=none\. Leave it out\.$"):
        require_effect([override(Config(), overrides)], overrides, may_change=["localization.iou"])


def test_a_larger_crop_than_a_recipes_scales_is_told_what_they_must_be():
    """The user has left them out; the recipe states them."""
    overrides = {"architecture.crop": 96}
    for field, value in (("data.scale", 110), ("evaluation.scales", 110)):
        with pytest.raises(UserError, match=rf"^{field} must be architecture\.crop \(96\) or more\. .* Try {value}, "):
            override(load("quickstart"), overrides)
        overrides[field] = (value,)
    assert override(load("quickstart"), overrides).test_scales == (110,)
    with pytest.raises(UserError, match=r"^stages\.2 \(S384\): data\.scale must be .* Received: \(384,\)\. Try 512, "):
        override(load("E"), {"architecture.crop": 448})
