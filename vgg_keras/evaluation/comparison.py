"""Tested runs side by side: those that differ in nothing but their seed make one row, with mean and spread of its errors.

Starts no framework.
"""

import hashlib
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import RESUME, Config, fields_with, label_of_test_scales, unused_fields
from vgg_keras.errors import UserError
from vgg_keras.evaluation import plots
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict, to_dict, without
from vgg_keras.runs import CONFIG, FINAL_EVALUATION, MANIFEST, RESULT, WEIGHTS, read_config, read_json, read_manifest

LONGEST = 40  # characters of a label in the table and at the picture's edge
# Not in a label that has other fields: what has a column, and the digest of what a run started from.
_ELSEWHERE = ("test.protocol", "test.scales", "training.init_from", "training.weights")
# A resumed run may find these elsewhere; between runs they are what each was trained on, and what it started from.
_COMPARED = {"data.source", "training.init_from", "training.weights"}
_MULTI_LABEL = "mean_average_precision"
# what makes a test another one, beside its images; those of boxes are missing in a test of classes
_TESTED = ("protocol", "scales", "flip", "grid", "interpolation", "exif_orientation", "precision", "windows")
_RESULT_FIELDS = ("top1_error", "top5_error", "images", "images_sha256", "protocol", "scales", "flip")


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but their seed, with the same test; errors in percent.

    Attributes:
        label: the fields in which this row differs from others, with their values.
        test: protocol and scales.
        top1_errors, top5_errors, balanced_errors: by seed; a top-5 error among five classes or fewer is None, and so is a
            balanced error of a test that did not measure it. Empty for a multi-label set.
        mean_average_precisions: of a multi-label set, by seed.
    """

    label: str
    test: str
    top1_errors: dict[int, float]
    top5_errors: dict[int, float | None]
    balanced_errors: dict[int, float | None]
    mean_average_precisions: dict[int, float]

    @property
    def values(self) -> dict[int, float]:
        """What rows are compared by: top-1 errors, or mean average precisions."""
        return self.top1_errors or self.mean_average_precisions

    @property
    def measure(self) -> str:
        """The name of `values`."""
        return "top-1 error" if self.top1_errors else "mAP"

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the runs, n - 1 in its denominator; of one run there is none."""
        return _deviation(self.values.values())

    def against(self, other: "Row") -> tuple[float, float | None, int] | None:
        """Mean, standard deviation and number of the differences from another row's runs of the same seeds."""
        seeds = sorted(self.values.keys() & other.values.keys())
        differences = [self.values[seed] - other.values[seed] for seed in seeds]
        return (statistics.fmean(differences), _deviation(differences), len(seeds)) if seeds else None


def compare(folders: list[Path], test: str) -> tuple[list[Row], int, list[Path]]:
    """The rows in the order of their first runs, the number of images, and the runs that have no such test yet.

    Args:
        folders: of runs.
        test: the folder in each that holds `evaluation.json`.

    Raises:
        UserError: a folder that is no run, none with such a test, tests of different images, or one run named twice.
    """
    found: dict[str, dict[str, Any]] = {}  # a row's settings, by these as text
    seeds: dict[str, dict[int, tuple[Path, dict]]] = {}  # and its runs
    untested, first, sets = [], None, set()
    for folder in _runs(folders):
        stored, result = _read(folder, test)
        if result is None:
            untested.append(folder)
            continue
        first = first or (folder, result)
        _require_same_images(first, (folder, result))
        settings, seed = _settings(folder, stored, result)
        # one set may have several paths: it is identified by the names of its training images
        trained_on = stored.get("data", {}).get("train", {}).get("sha256_of_names", settings["data.source"])
        sets.add(trained_on)
        key = json.dumps({**settings, "data.source": trained_on}, sort_keys=True)
        found[key] = settings
        runs = seeds.setdefault(key, {})
        if seed in runs:
            raise UserError(
                f"Runs of one row differ in their seed. Received: {folder}, which has seed {seed} as {runs[seed][0]} has, and "
                "the same configuration. Leave one out."
            )
        runs[seed] = folder, result
    if first is None:
        raise UserError(
            f"A run to compare has been tested. Received: none with {test}/{RESULT}: {untested[0]}. A training ends with a test "
            f"in {FINAL_EVALUATION}/; evaluate makes others."
        )
    if len(sets) == 1:
        found = {key: {**settings, "data.source": ""} for key, settings in found.items()}
    labels = _labels(list(found.values()))
    rows = [_row(label, runs) for label, runs in zip(labels, seeds.values(), strict=True)]
    if other := next((row for row in rows if row.measure != rows[0].measure), None):
        raise UserError(
            f"Runs are compared by one measure. Received: {rows[0].measure} of {rows[0].label}, {other.measure} of {other.label}."
        )
    return rows, first[1]["images"], untested


def _read(folder: Path, test: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A run's configuration, and the result of its test if there is one."""
    stored = read_config(folder)
    if stored is None:
        raise UserError(f"Runs are compared by their folders. Received: {folder}, which is none.")
    path = folder / test / RESULT
    return stored, read_json(path, *_RESULT_FIELDS) if path.exists() else None


def _require_same_images(first: tuple[Path, dict], other: tuple[Path, dict]) -> None:
    if other[1]["images_sha256"] != first[1]["images_sha256"]:
        raise UserError(
            f"Runs are compared on the same images. Received: {other[0]} with {other[1]['images']:,} of others than "
            f"{first[0]} with {first[1]['images']:,}."
        )


def _row(label: str, runs: dict[int, tuple[Path, dict]]) -> Row:
    """The row of runs, by their seeds."""
    result = next(iter(runs.values()))[1]
    multi_label = result["top1_error"] is None
    names = ("", "", "", _MULTI_LABEL) if multi_label else (*_RESULT_FIELDS[:2], "balanced_error", "")
    errors = [{seed: result.get(name) for seed, (_, result) in sorted(runs.items())} if name else {} for name in names]
    return Row(label, f"{result['protocol']}, Q={label_of_test_scales(result['scales'])}", *errors)


def _deviation(values) -> float | None:
    values = list(values)
    return statistics.stdev(values) if len(values) > 1 else None


def _runs(folders: list[Path]) -> Iterator[Path]:
    """These runs; of a chain's folder its stages."""
    for folder in folders:
        stages = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        yield from [folder] if (folder / CONFIG).exists() or not stages else stages


def _settings(folder: Path, stored: dict[str, Any], result: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """What makes a run another one than a repetition, by the paths of the fields that have an effect in it; and its seed."""
    config = from_dict(Config, stored["config"])
    same = {*fields_with(RESUME), *unused_fields(config), "seed", "evaluation", "stages"}
    values = without(to_dict(config), same - _COMPARED)
    measured = stored.get("data", {}).get("statistics", {}).get("mean")
    set_by_user = measured is not None and list(config.architecture.mean) != list(measured)
    if config.training.weights or not set_by_user:
        values["architecture"]["mean"] = []  # that of the images or of the start
    if not config.architecture.batch_norm:  # the result is then the same
        del values["data"]["micro_batch"]
    # runs of a row start from nets of their own, which differ in nothing but their seed either
    if start := config.training.start:
        source = _start_of(folder, start, stored.get("started_from"))
        foreign = {"sha256": stored.get("started_from")} if config.training.weights else {}
        started_from = _settings(source, read_config(source), {})[0] if source else foreign
        started_from.pop("data.source", None)
        field = "weights" if config.training.weights else "init_from"
        values["training"][field] = hashlib.sha256(json.dumps(started_from, sort_keys=True).encode()).hexdigest()[:8]
    flat = {f"{section}.{name}": value for section, fields in values.items() for name, value in fields.items()}
    tested = {name: result.get(name) for name in _TESTED}
    tested |= {name: value for name, value in (result.get("localization") or {}).items() if name not in tested}
    tested["classifier"] = bool(result.get("classifier_sha256"))  # that of a net of boxes: whether it had one
    flat |= {f"test.{name}": value for name, value in tested.items()}
    return flat, config.seed


def _start_of(folder: Path, start: str, digest: str | None) -> Path | None:
    """The run that a run started from, where it is now; None: it is gone, or no run.

    That of a chain's stage is beside it, also where the chain's folder was moved.
    """
    for path in (folder.parent / user_path(start).name, user_path(start)):
        # other folders have a config.json too, such as a KerasHub preset
        if (path / MANIFEST).exists() and read_manifest(path).get(WEIGHTS, [None])[-1] == digest:
            return path
    return None


def _labels(rows: list[dict[str, Any]]) -> list[str]:
    """The label of each row: the fields whose values are not the same in all rows in which they have an effect.

    Where one has none, another field of the label says so, such as the optimizer beside its decay.
    """
    paths = dict.fromkeys(path for row in rows for path in row)
    known = {path: [row[path] for row in rows if path in row] for path in paths}
    differing = [path for path, values in known.items() if any(value != values[0] for value in values)]
    shown = [path for path in differing if path not in _ELSEWHERE]
    shown = shown or differing or ["architecture.name"]

    def text(value):
        if value is None:
            return ""
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)

    return ["  ".join(f"{path.split('.')[1]}={text(row.get(path)) or 'none'}" for path in shown) for row in rows]


def names(rows: list[Row]) -> list[str]:
    """The rows' labels where they are short, else numbers."""
    labels = [row.label for row in rows]
    long = any(len(label) > LONGEST for label in labels) or len(set(labels)) < len(labels)
    return [str(place) if long else row.label for place, row in enumerate(rows, start=1)]


def table(rows: list[Row]) -> list[list[str]]:
    """The rows as cells of text, the header first."""
    more = [] if rows[0].measure == "mAP" else ["top-5 error, %", "balanced error, %"]
    cells = [["", "test", "runs", f"{rows[0].measure}, %", "lowest-highest", *more, "beside the first row"]]
    for name, row in zip(names(rows), rows, strict=True):
        values, others = row.values.values(), (row.top5_errors.values(), row.balanced_errors.values())
        means = ["-" if None in other else f"{statistics.fmean(other):.2f}" for other in others] if more else []
        beside = ""
        if row is not rows[0]:
            difference = row.against(rows[0])
            beside = f"{_with_spread(*difference[:2], sign='+')} ({difference[2]})" if difference else "no common seed"
        numbers = [_with_spread(row.mean, row.deviation), f"{min(values):.2f}-{max(values):.2f}", *means, beside]
        cells.append([name, row.test, str(len(values)), *numbers])
    return cells


def _with_spread(mean: float, deviation: float | None, sign: str = "") -> str:
    return f"{mean:{sign}.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def draw(rows: list[Row], images: int, path: Path) -> None:
    """Draws each run's top-1 error or mAP as a point, a row's mean as a stroke."""
    figure, axes = plots.pyplot().subplots(figsize=(8, 1.2 + 0.36 * len(rows)), layout="constrained")
    for place, row in enumerate(rows):
        errors = list(row.values.values())
        axes.plot(errors, [place] * len(errors), "o", color="tab:blue", alpha=0.6, markersize=5)
        axes.plot([row.mean] * 2, [place - 0.3, place + 0.3], color="tab:orange", linewidth=2)
    axes.plot([], [], "o", color="tab:blue", alpha=0.6, label="a run")
    axes.plot([], [], color="tab:orange", label="mean")
    axes.set_yticks(range(len(rows)), names(rows), parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(f"{rows[0].measure}, %, {images:,} images")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    plots.save(figure, path)
