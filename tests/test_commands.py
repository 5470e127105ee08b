"""The table of commands: the modules that run, and the line that describes each."""

from pathlib import Path

import vgg_keras
from vgg_keras.commands import COMMANDS

ROOT = Path(vgg_keras.__file__).parent


def test_commands_are_the_modules_that_run():
    runnable = {path.stem for path in ROOT.glob("*.py") if "cli.run(" in path.read_text()} - {"cli", "__main__"}
    assert set(COMMANDS) == runnable
