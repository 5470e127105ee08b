"""Processes that start in a tenth of a second: forked from a server that has imported the frameworks and done nothing with them.

To import TensorFlow takes six seconds, so a test that runs a command forks it here. tests/test_startup.py,
tests/test_streams.py and tests/test_cli.py have commands in processes of their own, as a shell starts them.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tqdm

_CONTEXT = multiprocessing.get_context("forkserver")
# what the commands import, but no command: runpy runs those
_CONTEXT.set_forkserver_preload(
    [
        "vgg_keras",
        "tensorflow",
        "keras",
        "matplotlib.pyplot",
        "sklearn.datasets",
        "tensorflow_datasets",
        "vgg_keras.cli",
        "vgg_keras.training.dry_run",
        "vgg_keras.evaluation.comparison",
        "vgg_keras.evaluation.prediction",
        "vgg_keras.exports.export",
        "vgg_keras.weights.load",
        "tests.warm",
    ]
)


class Warm:
    """`function(*arguments)` in a process of its own, in `folder`; used as a `Popen` is.

    Args:
        function, arguments: what is run; they are pickled.
        folder: the working directory.
        log: the file to which standard output and error are appended.
        errors: another file for standard error.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        function: Callable,
        *arguments,
        folder: Path,
        log: Path,
        errors: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        errors = errors or log
        log.touch()
        errors.touch()
        variables = {**os.environ, **(environment or {})}
        self._process = _CONTEXT.Process(target=_run, args=(folder, log, errors, variables, function, arguments))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def run_command(words: list[str]) -> None:
    """Runs `python -m MODULE arguments`, given as such a command line, in this process."""
    _, _, module, *arguments = words
    sys.argv, sys.orig_argv = [module, *arguments], words
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_script(words: list[str]) -> None:
    """Runs `python SCRIPT arguments`, given as such a command line, in this process."""
    sys.argv, sys.orig_argv = words[1:], words
    runpy.run_path(words[1], run_name="__main__")


def run_code(words: list[str]) -> None:
    """Runs `python -c CODE arguments`, given as such a command line, in this process."""
    _, option, code, *arguments = words
    sys.argv = [option, *arguments]
    exec(code, {"__name__": "__main__"})


def finished(run: Callable[[list[str]], None], words: Sequence[str], folder: Path) -> subprocess.CompletedProcess:
    """Runs a command line by `run_command`, `run_script` or `run_code` in `folder` to its end, its output as text."""
    with tempfile.TemporaryDirectory() as output:
        log, errors = Path(output, "stdout"), Path(output, "stderr")
        status = Warm(run, list(words), folder=folder, log=log, errors=errors).wait()
        return subprocess.CompletedProcess(words, status, log.read_text(), errors.read_text())


def _run(folder, log, errors, variables, function, arguments) -> None:
    tqdm.tqdm.set_lock(
        threading.RLock()
    )  # its own is of multiprocessing, which counts it as lost with a killed process
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    for path, number in ((log, 1), (errors, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    function(*arguments)
