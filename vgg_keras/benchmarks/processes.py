"""A suite in a process of its own, with memory and devices of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

from vgg_keras.benchmarks import rounds
from vgg_keras.errors import UserError


def benchmark(arguments: Sequence[str], cores: Sequence[int] = (), shown: bool = False) -> dict:
    """Runs `python -m vgg_keras.benchmark` with these arguments and returns the JSON object of its last line.

    Args:
        arguments: suite and flags.
        cores: that it may use; none: all.
        shown: whether its output and progress are printed.

    Raises:
        UserError: it failed; the message holds its last line.
        StoppedError: it was stopped.
    """
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    command = [sys.executable, "-m", "vgg_keras.benchmark", *arguments]
    errors, lines = None if shown else subprocess.PIPE, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, preexec_fn=pin) as process:
        if shown:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
            log = ""
        else:
            output, log = process.communicate()
            lines = output.splitlines()
    rounds.raise_if_requested()
    if process.returncode:
        last = (log.strip().splitlines() or ["see above"])[-1].removeprefix("error: ")
        raise UserError(f"{' '.join(arguments)} ended with status {process.returncode}: {last}")
    return json.loads(lines[-1])
