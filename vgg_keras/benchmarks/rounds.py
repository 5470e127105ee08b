"""Rows that are timed in turn, round after round, and their report: medians, and ratios within a round.

A machine's speed changes from minute to minute. So rows are compared within a round, and the median of those ratios is
reported.
"""

import dataclasses
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vgg_keras import processor, provenance, stop
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.progress import progress as show
from vgg_keras.text_table import text_table


@dataclasses.dataclass(frozen=True)
class Row:
    """Work that is timed.

    Attributes:
        name: of the table's row.
        images: that `work` reads.
        work: a function that does the work once; it returns the seconds that count, or None if all of them do.
        operations: twice the multiply-adds of the work; 0: not known.
    """

    name: str
    images: int
    work: Callable[[], float | None]
    operations: float = 0.0

    def seconds(self) -> float:
        """Does the work once and returns its seconds."""
        began = time.perf_counter()
        counted = self.work()
        return time.perf_counter() - began if counted is None else counted


def begun_once(begin: Callable[[], Callable[[], object]]) -> Callable[[], None]:
    """Work that is made at its first call, so that only rows that run take memory."""
    made = []

    def work():
        if not made:
            made.append(begin())
        made[0]()

    return work


def chosen(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """The rows whose names begin with one of `only`; all of them where it is empty.

    Raises:
        UserError: no such row.
    """
    for name in only:
        if not any(row.name.startswith(name) for row in rows):
            known = ", ".join(repr(row.name) for row in rows)
            raise UserError(f"--only names rows by their beginnings. Received: {name!r}. There are {known}.")
    return [row for row in rows if not only or row.name.startswith(tuple(only))]


LEAST = 0.5  # seconds of a row in a round: a quick one is repeated, or its start would be timed


def timed(rows: Sequence[Row], repeats: int) -> list[dict[str, float]]:
    """Seconds of each row's work in each round, without a first round, in which functions are traced and files cached."""
    rounds = []
    for number in progress(repeats + 1):
        rounds.append({})
        for row in rows:
            began, taken = time.perf_counter(), [row.seconds()]
            while number and time.perf_counter() - began < LEAST:
                taken.append(row.seconds())
            rounds[-1][row.name] = statistics.mean(taken)
            raise_if_requested()
    return rounds[1:]


def progress(rounds: int) -> Iterator[int]:
    """The rounds, with a bar and the time left."""
    return iter(show(range(rounds), "rounds, the first to warm up", unit="round"))


def raise_if_requested() -> None:
    """Ends the benchmark at Ctrl-C or SIGTERM."""
    if stop.requested():
        raise StoppedError("stopped; a benchmark keeps no results")


def summary(rows: Sequence[Row], rounds: Sequence[dict[str, float]], beside: Sequence[str]) -> list[dict]:
    """A record for each row: its rates over the rounds, and their ratios to those of the rows `beside`.

    A ratio is reported as its median and range over the rounds, and that of the fastest rounds, which other work on the
    machine disturbs least. Rates are of operations if both rows have some, so that rows of different batches compare, else
    of images.
    """
    by_name = {row.name: row for row in rows}
    records = []
    for row in rows:
        seconds = [one[row.name] for one in rounds]
        record = {
            "name": row.name,
            "images": row.images,
            "images_per_second": row.images / statistics.median(seconds),
            "images_per_second_range": [row.images / max(seconds), row.images / min(seconds)],
            "gflops": row.operations / statistics.median(seconds) / 1e9 if row.operations else None,
            "beside": {},
        }
        for name in beside:
            other = by_name.get(name)
            if other is None or other is row:
                continue
            both = row.operations and other.operations
            work = row.operations / other.operations if both else row.images / other.images
            ratios = [work * one[name] / one[row.name] for one in rounds]
            fastest = work * min(one[name] for one in rounds) / min(seconds)
            record["beside"][name] = {
                "median": statistics.median(ratios),
                "range": [min(ratios), max(ratios)],
                "fastest": fastest,
            }
        records.append(record)
    return records


def ratios(record: dict) -> dict[str, str]:
    """A record's ratios as text: `1.34 (1.20-1.41), 1.36` by the other row's name."""
    return {
        name: f"{ratio['median']:.2f} ({ratio['range'][0]:.2f}-{ratio['range'][1]:.2f}), {ratio['fastest']:.2f}"
        for name, ratio in record["beside"].items()
    }


def print_results(records: Sequence[dict], beside: Sequence[str], repeats: int, missing: dict[str, str]) -> None:
    """Prints the table of `summary`'s records, and which rows are missing and why.

    Args:
        records: of the rows.
        beside: the rows that others are compared with, by name.
        repeats: rounds that were counted.
        missing: the reasons, by the rows' names.
    """
    print(f"medians of {repeats} rounds, the spread in brackets; behind a ratio that of the fastest rounds\n")
    _print_table(records, beside)
    if missing:
        print("missing: " + "; ".join(f"{name}, {reason}" for name, reason in missing.items()), flush=True)


def _print_table(records: Sequence[dict], beside: Sequence[str]) -> None:
    beside = [name for name in beside if any(name in record["beside"] for record in records)]
    flops = any(record["gflops"] for record in records)
    header = ["", "images", "images/s", *(["GFLOP/s"] if flops else []), *(f"of {name}" for name in beside)]
    lines = [header]
    for record in records:
        low, high = record["images_per_second_range"]
        rate = f"{record['images_per_second']:.3g} ({low:.3g}-{high:.3g})"
        speed = [f"{record['gflops']:.3g}" if record["gflops"] else "-"] if flops else []
        compared = ratios(record)
        lines.append([record["name"], str(record["images"]), rate, *speed, *(compared.get(n, "-") for n in beside)])
    print(text_table(lines), flush=True)


def print_json(suite: str, **found) -> None:
    """Prints the last line of a suite: its records, and everything that makes them reproducible."""
    origin = {
        "peak_kib": _peak_kib(),
        "processor": processor.description(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
    }
    print(json.dumps({"benchmark": suite, **found, **origin, "command": provenance.command()}), flush=True)


def _peak_kib() -> int:
    """The peak memory of this process; the system's count for children would begin with that of their parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
