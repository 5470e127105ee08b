"""The progress of long work on standard error: a bar in a terminal, and where there is none a line each 30 seconds.

scan of photos train: 300,000 of 1,330,000 images, 23 %, 9,800 images/s, 1:45 left
"""

import sys
from collections.abc import Iterable
from typing import Any

import tqdm

SECONDS = 30.0  # between two lines, and before the first one
_LINE = "{desc}: {n:,} of {total:,} {unit}, {percentage:.0f} %, {speed} {unit}/s, {remaining} left{postfix}"
_ENDLESS = "{desc}: {n:,} {unit}, {speed} {unit}/s{postfix}"


class _Bar(tqdm.tqdm):
    """tqdm's bar without its thread, which would only wake a bar whose work is counted rarely."""

    monitor_interval = 0

    def set_description(self, desc: str | None = None, refresh: bool = True) -> None:
        """The title of the lines to come; none is printed for it."""
        self.desc = desc or ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """What a line may show: tqdm's values, and `speed`."""
        found = super().format_dict
        rate = found["rate"] or (found["n"] - found["initial"]) / max(found["elapsed"], 1e-9)
        return {**found, "speed": f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"}


class _Lines:
    """A stream for tqdm on which each state of a bar is a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip("\r\n "):
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(
    items: Iterable | None = None,
    title: str = "",
    total: float | None = None,
    unit: str = "image",
    initial: int = 0,
    shown: bool = True,
) -> Any:
    """tqdm's bar over `items`, or one that is updated by hand; short work without a terminal prints nothing.

    Args:
        items: what is iterated over; None: `update` is called.
        title: what the work is.
        total: of the items; None: as many as `items` has, if it knows.
        unit: one item.
        initial: items that were done before.
        shown: False prints nothing, as of workers beside the first.
    """
    shared = {"desc": title, "initial": initial, "disable": not shown}
    if sys.stderr.isatty():
        return tqdm.tqdm(items, **shared, total=total, unit=unit, dynamic_ncols=True)
    if total is None and items is not None and hasattr(items, "__len__"):
        total = len(items)
    lines = {"mininterval": SECONDS, "maxinterval": SECONDS, "miniters": 1, "delay": SECONDS, "leave": False}
    form = _LINE if total else _ENDLESS
    return _Bar(
        items,
        **shared,
        **lines,
        total=total,
        unit=f"{unit}{'es' if unit.endswith('s') else 's'}",
        file=_Lines(),
        bar_format=form,
    )
