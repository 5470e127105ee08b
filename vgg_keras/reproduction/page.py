"""One page: the tables beside the paper's, the claims with their verdicts, the charts, the trainings. report.html is one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vgg_keras.evaluation import report_pages
from vgg_keras.reproduction import charts, results, wording
from vgg_keras.reproduction.plan import Run
from vgg_keras.reproduction.suite import Suite
from vgg_keras.text_table import text_table

CHARTS = "charts"  # the folder of the pictures


def write(
    suite: Suite,
    runs: Sequence[Run],
    folder: Path,
    failed: Mapping[str, str] = MappingProxyType({}),
    merged: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Writes results.json, the charts, report.html and report.md; returns the results.

    Args:
        suite, runs: the whole suite, and its runs in `folder`.
        folder: of the suite.
        failed: how each job that failed has ended, with the last line of its output.
        merged: of `merging.read`.
    """
    found = results.write(suite, runs, folder, failed, merged)
    write_page(found, folder)
    return found


def write_page(found: dict[str, Any], folder: Path) -> None:
    """Writes the charts and the page of results.json's content."""
    drawn = charts.draw(found, folder / CHARTS)
    content = {
        "found": found,
        "verdicts": wording.verdicts(found),
        "progress": wording.progress(found),
        "hours": wording.hours(found),
        "claims": wording.claims(found),
        "beyond": wording.claims(found, beyond=True),
        "tables": {title: rows for name, title in wording.TABLES.items() if (rows := wording.table(found, name))},
        "trainings": wording.trainings(found),
        "images": wording.images(found),
        "machines": wording.machines(found),
        "mixed": wording.mixed(found),
        "within": wording.within(found),
        "commands": [one["command"] for one in found["trainings"] if "command" in one],
        "reading": wording.reading(found),
        "charts": [
            {
                "title": title,
                "file": f"{CHARTS}/{name}",
                "url": report_pages.data_url((folder / CHARTS / name).read_bytes(), "png"),
            }
            for name, title in drawn.items()
        ],
    }
    report_pages.write(Path(__file__).parent, content, folder, {"markdown": wording.markdown})


def summary(found: dict[str, Any]) -> str:
    """The measured claims and their verdicts for the terminal, and how much is there."""
    rows = wording.claims(found)
    measured = wording.measured(rows, "points")
    table = text_table([[row[1], *row[2:5], *row[-2:]] for row in measured]) if measured else ""
    missing = wording.verdicts(found).get(results.NOT_YET)
    left = f"claims not measured yet: {missing}" if missing else ""
    lines = [table, left, wording.progress(found), wording.within(found), wording.mixed(found)]
    return "\n".join(filter(None, lines))
