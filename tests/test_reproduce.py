"""The command reproduce from its flags to its options, with a stand-in for the suite's runs."""

import importlib
import sys
from types import SimpleNamespace

import pytest
from absl import flags

from vgg_keras import reproduction, stop
from vgg_keras.errors import UserError
from vgg_keras.reproduction.options import Options


@pytest.fixture
def main(monkeypatch):
    """Runs the command with these words; what it would reproduce. Its flags are removed at the end."""
    monkeypatch.setattr(sys, "argv", ["reproduce"])
    before, given = set(flags.FLAGS), []
    reproduce = importlib.import_module("vgg_keras.reproduce")
    stand_in = SimpleNamespace(reproduce=lambda *arguments: given.append(arguments) or 7)
    monkeypatch.setitem(sys.modules, "vgg_keras.reproduction.job", stand_in)
    monkeypatch.setattr(reproduction, "job", stand_in, raising=False)
    monkeypatch.setattr(stop, "listen", lambda hangup: given.append(hangup))

    def run(*words):
        given.clear()
        flags.FLAGS(["reproduce", *words])
        try:
            assert reproduce.main() == 7  # the status of the suite
        finally:
            flags.FLAGS.unparse_flags()
        return given

    yield run
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    del sys.modules["vgg_keras.reproduce"]


def test_every_flag_reaches_its_option(main, tmp_path):
    hangup, (suite, found) = main(
        "--suite=imagenet",
        f"--data={tmp_path}",
        "--weights=D=vgg16.h5",
        "--weights=E=vgg19.h5",
        "--only=table4,table5",
        "--jobs=3",
        "--dry_run",
        f"--out={tmp_path}/out",
        "--set=runtime.cache_dir=here",
    )
    assert hangup and suite.name == "imagenet"  # the whole suite, whatever --only says
    assert found == Options(
        suite="imagenet",
        data=(str(tmp_path),),
        weights=("D=vgg16.h5", "E=vgg19.h5"),
        only=("table4", "table5"),
        jobs=3,
        dry_run=True,
        out=f"{tmp_path}/out",
        settings=("runtime.cache_dir=here",),
    )


def test_without_flags_of_its_own_a_suite_is_written_below_reports(main):
    _, (suite, found) = main("--suite=smoke")
    assert suite.name == "smoke" and found == Options("smoke", (), (), (), 1, False, "reports/smoke")


def test_mistakes_are_found_before_anything_is_run(main):
    with pytest.raises(UserError, match=r"The design of a suite is fixed: --set takes .* Received: training\.epochs"):
        main("--suite=smoke", "--set=training.epochs=3")
    with pytest.raises(flags.IllegalFlagValueError, match="should be one of"):
        main("--suite=large")
