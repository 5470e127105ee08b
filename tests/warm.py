"""Processes that start in a second: forked from a server that has imported the frameworks and done nothing with them.

Tests that kill a process many times would else spend their time on TensorFlow's import.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import tqdm

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tensorflow",
        "keras",
        "matplotlib.pyplot",
        "sklearn.datasets",
        "vgg_keras.training.loop",
        "vgg_keras.evaluation.evaluator",
    ]
)


class Warm:
    """`function(*arguments)` in a process of its own, in `folder`, its output appended to `log`; used as a `Popen` is."""

    def __init__(self, function: Callable, *arguments, folder: Path, log: Path):
        log.touch()
        self._process = _CONTEXT.Process(target=_run, args=(folder, log, function, arguments))
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


def _run(folder, log, function, arguments) -> None:
    tqdm.tqdm.set_lock(
        threading.RLock()
    )  # its own is of multiprocessing, which counts it as lost with a killed process
    os.chdir(folder)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    function(*arguments)
