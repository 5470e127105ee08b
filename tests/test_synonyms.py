"""Names of other packages, and what they mean here."""

import pytest

from vgg_keras import synonyms
from vgg_keras.config import every_field
from vgg_keras.overrides import fields_called


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("VGG16", ("D", False)),
        ("vgg19_bn", ("E", True)),
        ("vgg-11-batch-norm", ("A", True)),
        ("VGGNet 13", ("B", False)),
        ("16 layers", ("D", False)),
        ("resnet50", None),
        ("vgg12", None),
    ],
)
def test_a_net_by_its_depth(name, meant):
    assert synonyms.configuration(name) == meant


@pytest.mark.parametrize(
    ("shape", "meant"),
    [
        ((96, 96, 3), {"crop": 96}),
        ((3, 64, 64), {"crop": 64}),
        (128, {"crop": 128}),
        ((48, 48), {"crop": 48}),
        ((28, 28, 1), {"crop": 28, "channels": 1}),
        ((None, 32, 32, 16), {"crop": 32, "channels": 16}),
        ((96, 64, 3), {}),
        ((None, None, 3), {}),
        ("96", {}),
    ],
)
def test_the_crop_and_the_channels_of_a_square_input(shape, meant):
    assert synonyms.input_of(shape) == meant


def test_flags_by_other_names():
    assert synonyms.flags_of("Output-Dir") == ["out", "workdir"]
    assert synonyms.flags_of("pretrained") == ["weights"] and synonyms.flags_of("nothing") == []


def test_other_names_mean_fields_that_exist():
    paths = set(every_field())
    assert set(synonyms.FIELDS.values()) <= paths
    # a name of our own must not mean another field; but Keras's build(pooling="avg") is our head
    own = {path.rpartition(".")[2] for path in paths}
    assert own & set(synonyms.FIELDS) == {"pooling"}
    assert fields_called("pooling") == ["features.pooling"]
