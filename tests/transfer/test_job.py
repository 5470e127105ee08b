"""The flags of features that belong to others are refused, each with the reason."""

import dataclasses

import pytest

from vgg_keras.config import FEATURES, TEST, fields_with
from vgg_keras.errors import UserError
from vgg_keras.transfer.job import MAY_CHANGE, Options, require_possible

PLAIN = Options("val", (), classify=False, others=(), queries=(), top=5)


def test_what_belongs_together_is_possible(tmp_path):
    (tmp_path / "other.npz").touch()
    (tmp_path / "photo.jpg").touch()
    require_possible(PLAIN)
    require_possible(dataclasses.replace(PLAIN, classify=True, others=(tmp_path / "other.npz",)))
    require_possible(dataclasses.replace(PLAIN, classify=True, queries=(str(tmp_path / "photo.jpg"),)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"others": ("other.npz",)}, r"several nets for --classify\. Received: it alone\."),
        ({"others": ("other.npz",), "classify": True, "queries": ("photo.jpg",)}, r"one net's .* --with beside it\."),
        ({"others": ("other.npz", "gone.npz"), "classify": True}, r"Received: .*gone\.npz, which is no file\."),
        ({"others": ("folder",), "classify": True}, r"--with takes features\.npz files.*folder, which is no file\."),
        ({"queries": ("photo.jpg", "folder")}, r"--query takes photographs\. Received: .*folder, which is no file\."),
    ],
)
def test_what_does_not_is_refused_with_the_flag(tmp_path, fields, message):
    for name in ("other.npz", "photo.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    paths = {
        name: tuple(tmp_path / one if name == "others" else str(tmp_path / one) for one in value)
        for name, value in fields.items()
        if name != "classify"
    }
    with pytest.raises(UserError, match=message):
        require_possible(dataclasses.replace(PLAIN, **{**fields, **paths}))


def test_features_may_change_its_own_fields_and_those_of_a_test():
    of_protocols = {"evaluation.protocol", "evaluation.grid"}  # appendix B runs the dense net
    assert set(MAY_CHANGE) == {*fields_with(TEST), *fields_with(FEATURES)} - of_protocols
    assert "features.layer" in MAY_CHANGE and "training.epochs" not in MAY_CHANGE
