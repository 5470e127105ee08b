"""How the input's rate follows cores and files, memory files and batch, and how long the verbs take to start.

Each number comes from a process of its own, whose memory is its alone; they run one after the other.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import tqdm

from vgg_keras import cli, stop
from vgg_keras.benchmarks import rounds
from vgg_keras.config import UserError

VERBS = ("train", "evaluate", "compare", "predict", "export", "samples", "summarize", "benchmark")
TIMES = (1, 10, 100)  # the list of files, repeated
GIB = 2**20  # in KiB


def run(flags: Sequence[str], config: str, images: int, repeats: int, batches: Sequence[int]) -> None:
    """Makes the measurements, prints tables and a JSON line.

    Args:
        flags: `--data` and `--set`, for the processes.
        config: for the processes.
        images: that the input goes through in a round.
        repeats: rounds that are counted, in each process.
        batches: of the training steps whose memory is measured.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    inputs = ["input", "--only=vgg_keras", f"--config={config}", f"--images={images}", f"--repeats={repeats}", *flags]
    steps = ["train", "--only=vgg_keras", f"--config={config}", "--repeats=1", *flags]
    wanted = [(f"input on {n} core{'s' * (n > 1)}", [*inputs], cores[:n]) for n in range(1, len(cores) + 1)]
    wanted += [(f"input, files x {times}", [*inputs, f"--times={times}"], cores) for times in TIMES]
    wanted += [(f"training step, batch {batch}", [*steps, f"--batch={batch}"], cores) for batch in batches]
    lines, records = [["", "images/s", "peak memory, GiB"]], []
    for name, command, pinned in tqdm.tqdm(wanted, "processes", unit="process", disable=None):
        found, peak = _benchmark(command, pinned)
        rate = found["rows"][0]["images_per_second"]
        records.append({"name": name, "images_per_second": rate, "peak_gib": peak / GIB})
        lines.append([name, f"{rate:.3g}", f"{peak / GIB:.2f}"])
    print(cli.table(lines))
    starts = {verb: min(_start(verb) for _ in range(repeats)) for verb in VERBS}
    print(
        cli.table([["until --help is printed", "s"], *([verb, f"{seconds:.2f}"] for verb, seconds in starts.items())])
    )
    rounds.tell_json("scaling", rows=records, start_seconds=starts)


def _benchmark(words: Sequence[str], cores: Sequence[int]) -> tuple[dict, int]:
    """What a benchmark's last line says, and the most memory that its process held, in KiB."""
    stop.here()
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    command = [sys.executable, "-m", "vgg_keras.benchmark", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin
    ) as process:
        output, errors = process.communicate()
    if process.returncode:
        raise UserError(f"{' '.join(words)} ended with status {process.returncode}: {errors.strip().splitlines()[-1]}")
    found = json.loads(output.splitlines()[-1])
    return found, found["peak_kib"]


def _start(verb: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", f"vgg_keras.{verb}", "--help"], capture_output=True, check=True)
    return time.perf_counter() - began
