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
    ("shape", "side"),
    [((96, 96, 3), 96), ((3, 64, 64), 64), (128, 128), ((96, 64, 3), None), ((None, None, 3), None), ("96", None)],
)
def test_the_side_of_a_square_input(shape, side):
    assert synonyms.side_of(shape) == side


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
