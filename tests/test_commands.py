"""The table of commands: the modules that run, and the line that describes each."""

from pathlib import Path

import pytest
from absl import flags

import vgg_keras
from vgg_keras.commands import COMMANDS, summary

ROOT = Path(vgg_keras.__file__).parent


def test_commands_are_the_modules_that_run():
    runnable = {path.stem for path in ROOT.glob("*.py") if "cli.run(" in path.read_text()} - {"cli", "__main__"}
    assert set(COMMANDS) == runnable


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_summary_is_the_first_line_of_its_file(name):
    first = (ROOT / f"{name}.py").read_text().splitlines()[0]
    assert first == f'"""{summary(name)}' and summary(name).endswith(".")
    assert len(f"  {name:<10} {summary(name)}") <= 140  # one line of `vgg-keras --help`


def test_a_summary_is_read_without_the_commands_flags():
    """Two commands in one process would define --set twice."""
    before = set(flags.FLAGS)
    assert all(map(summary, COMMANDS)) and set(flags.FLAGS) == before
