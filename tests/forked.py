"""Command lines run in forks of one process, which has imported what all commands need and no framework.

A Python of its own takes each of them longer to start than a mistake in its flags takes to be found.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


def run_all(commands: Sequence[Sequence[str]], folder: Path) -> list[subprocess.CompletedProcess]:
    """Runs each command, its name and its arguments, one after the other in `folder`."""
    words = [sys.executable, "-m", "tests.forked"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        words, input=json.dumps([folder, commands], default=str), capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return [subprocess.CompletedProcess(*one) for one in json.loads(done.stdout)]


def _run(name: str, *arguments: str) -> tuple[list[str], int, str, str]:
    """The command in a fork: its words, exit status, output and errors."""
    words = [sys.executable, "-m", f"vgg_keras.{name}", *arguments]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = os.fork()
        if process == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            sys.argv, sys.orig_argv = [name, *arguments], words
            runpy.run_module(f"vgg_keras.{name}", run_name="__main__", alter_sys=True)
            sys.exit(0)
        _, status = os.waitpid(process, 0)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return words, os.waitstatus_to_exitcode(status), *texts


def _main() -> None:
    import vgg_keras.cli  # noqa: F401

    folder, commands = json.load(sys.stdin)
    os.chdir(folder)
    json.dump([_run(*command) for command in commands], sys.stdout)


if __name__ == "__main__":
    _main()
