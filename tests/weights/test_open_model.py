"""What a command line asks of a source of weights is settled before the source is opened, as far as it can be."""

import dataclasses
from types import SimpleNamespace

import pytest

from vgg_keras.config import Config, load, override
from vgg_keras.errors import UserError
from vgg_keras.weights import load as opened
from vgg_keras.weights.open_model import resolve


def test_a_misspelt_wish_is_refused_before_the_file_is_opened():
    for named in (None, "quickstart"):
        with pytest.raises(UserError, match=r"Did you mean 'evaluation\.flip'\?"):
            resolve(None, "absent.pth", named, ["evaluation.flp=false"], None)
    # whether a net of another size suits a wish the file alone can tell
    resolve(None, "absent.pth", None, ["data.scale=32"], None)


def test_wishes_are_of_the_files_net_where_no_configuration_is_named(monkeypatch):
    config = override(Config(), ["architecture.name=A", "architecture.num_classes=7"])

    def load_net(source, config_of, dtype, sha256):
        asked = dataclasses.replace(config_of or Config(), architecture=config.architecture)
        return SimpleNamespace(config=asked)

    monkeypatch.setattr(opened, "load_net", load_net)
    wishes = ["evaluation.flip=false", "runtime.precision=float32"]
    for named in (None, "E"):
        early, open_net = resolve(None, "file.pth", named, wishes, None)
        assert early.runtime.precision == "float32"
        settled = open_net("float32")[1]
        rest = override(load(named) if named else Config(), wishes)
        assert settled == dataclasses.replace(rest, architecture=config.architecture)
