"""A suite in a process of its own, whose memory and devices are its alone."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from vgg_keras.benchmarks import rounds
from vgg_keras.errors import UserError


def benchmark(words: Sequence[str], cores: Sequence[int] = (), shown: bool = False) -> dict:
    """Runs `python -m vgg_keras.benchmark` with these words and returns what its last line holds.

    Args:
        words: suite and flags.
        cores: that it may use; all where there are none.
        shown: whether what it prints is printed, its progress too.

    Raises:
        UserError: it failed; its last words are told.
        StoppedError: it was stopped.
    """
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    command = [sys.executable, "-m", "vgg_keras.benchmark", *words]
    errors, lines = None if shown else subprocess.PIPE, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=pin) as process:
        if shown:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
            said = ""
        else:
            output, said = process.communicate()
            lines = output.splitlines()
    rounds.stop_where_wished()
    if process.returncode:
        last = (said.strip().splitlines() or ["see above"])[-1].removeprefix("error: ")
        raise UserError(f"{' '.join(words)} ended with status {process.returncode}: {last}")
    return json.loads(lines[-1])
