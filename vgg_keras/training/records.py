"""What a run records: metrics.jsonl, TensorBoard events, a learning curve."""

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.evaluation import plots
from vgg_keras.files import read_regular, replacing, writing
from vgg_keras.paths import plain_folder
from vgg_keras.runs import LEARNING_CURVE, METRICS, TENSORBOARD
from vgg_keras.training.disk_errors import writing_by_tensorflow
from vgg_keras.training.epoch_measures import metric_of

_ASIDE = "damaged-"  # before the name of a metrics.jsonl with lines that cannot be read
_CURVES = ("step", "loss", "learning_rate")  # numbers in an epoch's line
_ERROR = "top1_error", "top-1 error, %"  # drawn beside the loss: in the lines of training and of validation
_PRECISION = "mean_average_precision", "mAP, %"  # of a multi-label set, in those of validation


class Records:
    """The epochs of a run, as lines of metrics.jsonl and as TensorBoard scalars."""

    def __init__(self, workdir: Path, epochs: int | None, writes: bool = True):
        """
        Args:
            workdir: of the run.
            epochs: validated epochs of a resumed run, which repeats later ones: their lines are dropped. Damaged lines are
                named on standard error, and the file is kept under another name. None: the run is new.
            writes: False for the workers of a run beside the chief.

        Raises:
            DiskFullError: there is no room.
        """
        self._writes = writes
        if not writes:
            return
        self._path, self._tensorboard = workdir / METRICS, workdir / TENSORBOARD
        if epochs is not None:
            _report_damage(self._path, epochs)
        lines = [] if epochs is None else [line for line in read(workdir) if line.get("epoch", 0) <= epochs]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._tensorboard.mkdir(exist_ok=True)
        self._open_folder = contextlib.ExitStack()  # as long as its files are written
        folder = self._open_folder.enter_context(plain_folder(self._tensorboard))
        with writing_by_tensorflow(self._tensorboard):
            self._events = tf.summary.create_file_writer(folder)

    def add(self, line: dict[str, Any]) -> None:
        """Appends a line; the numbers of an epoch's line go to TensorBoard too.

        Raises:
            DiskFullError: there is no room.
        """
        if not self._writes:
            return
        with writing(self._path), open(self._path, "a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if "epoch" in line:
            with writing_by_tensorflow(self._tensorboard):
                with self._events.as_default(step=line["step"]):
                    for name, value in line.items():
                        if isinstance(value, int | float) and name not in ("step", "epoch"):
                            tf.summary.scalar(name, value)
                self._events.flush()


def read(workdir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without damaged ones, such as a last one that a crash cut short."""
    return [line for line in _parsed(workdir / METRICS).values() if isinstance(line, dict)]


def _parsed(path: Path) -> dict[int, dict[str, Any] | str]:
    """Each line by its number, from 1; for a damaged one a description of its damage."""
    found: dict[int, dict[str, Any] | str] = {}
    for number, text in enumerate(read_regular(path).splitlines() if path.exists() else [], start=1):
        try:
            found[number] = _checked(json.loads(text.decode()))
        except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of `_checked`
            found[number] = str(error)
    return found


def _checked(line: Any) -> dict[str, Any]:
    """A line if it is one of ours; else a `ValueError`."""
    if not isinstance(line, dict):
        raise ValueError("no JSON object")
    if type(line.get("epoch", 0)) is not int:
        raise ValueError(f"no epoch's number: {line['epoch']!r:.40}")
    return line


def _report_damage(path: Path, epochs: int) -> None:
    """Names the damaged lines and the missing epochs up to this one; keeps a copy of a damaged file.

    An unfinished last line is no damage: a kill cut it short, and the resumed run repeats its epoch.
    """
    parsed = _parsed(path)
    bad = {number: reason for number, reason in parsed.items() if isinstance(reason, str)}
    known = {line.get("epoch") for line in parsed.values() if isinstance(line, dict)}
    missing = sorted(set(range(1, epochs + 1)) - known)
    if not missing and bad.keys() <= {len(parsed)} and not (bad and path.read_bytes().endswith(b"\n")):
        return
    kept = ""
    if bad:
        names = itertools.chain(
            [f"{_ASIDE}{METRICS}"], (f"{_ASIDE}{number}-{METRICS}" for number in itertools.count(2))
        )
        aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
        with replacing(aside) as temporary:
            temporary.write_bytes(path.read_bytes())
        kept = f"; the file is kept as {aside.name}"
    found = [f"line {number}: {reason}" for number, reason in list(bad.items())[:3]]
    found += ["..."] if len(bad) > 3 else []
    found += (
        [f"no line for {len(missing)} of the {epochs} epochs that were made, from {missing[0]} on"] if missing else []
    )
    print(f"damaged records: {path}: {'; '.join(found)}{kept}", file=sys.stderr, flush=True)


def draw_learning_curve(workdir: Path, title: str, training: Training) -> Path | None:
    """Draws loss and top-1 error, mAP or box error over the epochs, and where the rate was divided; returns the picture's path.

    Lines without all numbers are skipped; None if no validated epoch remains. The kept net is marked.
    """
    lines = [line for line in read(workdir) if "epoch" in line]
    measure, label_of_measure = _PRECISION if any("hamming_loss" in line for line in lines) else _ERROR
    if any("mean_iou" in line for line in lines):
        label_of_measure = "box error, %"
    of_training = (measure,) if measure == _ERROR[0] else ()
    epochs = [line for line in lines if _has(line, (*_CURVES, *of_training))]
    validated = [line for line in epochs if _has(line, ("val_loss", f"val_{measure}"))]
    if not validated:
        return None
    figure, (losses, errors) = plots.pyplot().subplots(1, 2, figsize=(11, 4), layout="constrained")
    figure.suptitle(title)
    divided = [
        after["epoch"] - 0.5
        for before, after in itertools.pairwise(epochs)
        if training.schedule != "cosine" and after["learning_rate"] < before["learning_rate"]
    ]
    for axes, name, label in ((losses, "loss", "loss"), (errors, measure, label_of_measure)):
        curves = {"training": (epochs, name)} if name in ("loss", *of_training) else {}
        _draw_curves(axes, curves | {"validation": (validated, f"val_{name}")}, divided)
        axes.set_ylabel(label)
    best = min(validated, key=lambda line: metric_of(line, training.plateau_metric))
    kept = validated[-1] if training.kept_net == "last" else best
    value = kept[f"val_{measure}"]
    described = f"the {training.kept_net} net: {value:.2f} % in epoch {kept['epoch']}"
    errors.plot(kept["epoch"], value, "o", color="tab:orange", label=described)
    if divided:
        losses.plot([], [], color="0.6", linestyle=":", linewidth=1, label="rate divided")
    losses.legend()
    errors.legend()
    path = workdir / LEARNING_CURVE
    plots.save(figure, path)
    return path


def _draw_curves(axes: Any, curves: dict[str, tuple[list[dict[str, Any]], str]], divided: Sequence[float]) -> None:
    """Draws values of lines over their epochs, by the curve's name, and where the rate was divided."""
    colors = {"training": "tab:blue", "validation": "tab:orange"}
    for curve, (lines, value) in curves.items():
        x, y = [[line[key] for line in lines] for key in ("epoch", value)]
        axes.plot(x, y, label=curve, color=colors[curve], marker="." if len(x) < 30 else None)
    axes.set_ylim(0, 1.05 * max(line[value] for lines, value in curves.values() for line in lines) or 1)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for x in divided:
        axes.axvline(x, color="0.6", linestyle=":", linewidth=1)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)


def _has(line: dict[str, Any], names: tuple[str, ...]) -> bool:
    return all(isinstance(line.get(name), int | float) for name in names)
