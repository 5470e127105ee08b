"""The rates of the input and the scan over files, memory over files and batch, and the time that the commands take to start.

Each number but the scan's comes from a process of its own. They run one after the other.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from vgg_keras.benchmarks import rounds
from vgg_keras.benchmarks.processes import benchmark
from vgg_keras.commands import COMMANDS
from vgg_keras.config import Config
from vgg_keras.progress import progress
from vgg_keras.text_table import text_table

TIMES = (1, 10, 100)  # the list of files, repeated
MICRO_BATCH = 16  # of the steps whose memory is measured
GIB = 2**20  # in KiB


def run(config: Config, flags: Sequence[str], images: int, repeats: int, batches: Sequence[int]) -> None:
    """Makes the measurements, prints tables and a JSON line.

    Args:
        config: its data are scanned.
        flags: `--config`, `--data` and `--set`, for the processes.
        images: that the input reads in a round.
        repeats: rounds that are counted, in each process.
        batches: of the training steps whose memory is measured, in micro-batches.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    inputs = ["input", "--only=vgg_keras", f"--images={images}", f"--repeats={repeats}", *flags]
    steps = ["train", "--only=vgg_keras", "--repeats=1", f"--set=data.micro_batch={MICRO_BATCH}", *flags]
    counts = sorted({min(2**power, len(cores)) for power in range(len(cores).bit_length() + 1)} - {0})
    wanted = [(f"input on {n} core{'s' * (n > 1)}", inputs, cores[:n]) for n in counts]
    wanted += [(f"input, files x {times}", [*inputs, f"--times={times}"], cores) for times in TIMES]
    wanted += [(f"training step, batch {batch}", [*steps, f"--batch={batch}"], cores) for batch in batches]
    lines, records = [["", "images/s", "until the first batch, s", "peak memory, GiB"]], []
    for name, command, pinned in progress(wanted, "processes", unit="process"):
        found = benchmark(command, pinned)
        rate, first, peak = found["rows"][0]["images_per_second"], found.get("first_batch_seconds"), found["peak_kib"]
        records.append({"name": name, "images_per_second": rate, "first_batch_seconds": first, "peak_gib": peak / GIB})
        lines.append([name, f"{rate:.3g}", f"{first:.2f}" if first else "-", f"{peak / GIB:.2f}"])
    print(text_table(lines))
    scans = {times: scan for times in TIMES if (scan := _scan(config, times))}
    if scans:
        head = ["", "images/s", "first start, s", "second start, s"]
        rates = [
            [
                f"scan, files x {times}",
                *(f"{scan[name]:.3g}" for name in ("images_per_second", "seconds", "second_seconds")),
            ]
            for times, scan in scans.items()
        ]
        print(text_table([head, *rates]))
    starts = {command: min(_start(command) for _ in range(repeats)) for command in COMMANDS}
    print(
        text_table(
            [["until --help is printed", "s"], *([command, f"{seconds:.2f}"] for command, seconds in starts.items())]
        )
    )
    rounds.print_json("scaling", rows=records, scans=scans, start_seconds=starts)


def _scan(config: Config, times: int) -> dict | None:
    from vgg_keras.benchmarks import scans  # and TensorFlow, behind the processes

    return scans.measure(config, times)


def _start(command: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", f"vgg_keras.{command}", "--help"], capture_output=True, check=True)
    return time.perf_counter() - began
