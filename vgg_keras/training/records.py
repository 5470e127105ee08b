"""What a run tells while it runs: metrics.jsonl, TensorBoard events, a progress bar, a learning curve."""

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from vgg_keras.files import replacing, writing
from vgg_keras.training.room import writing_by_tensorflow

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class Records:
    """The epochs of a run, as lines of metrics.jsonl and as TensorBoard scalars."""

    def __init__(self, workdir: Path, epochs: int | None, writes: bool = True):
        """`epochs` is where a resumed run stands: lines of later ones, which it repeats, are dropped; None: it begins.

        `writes` is False for those workers of a run that leave the records to the chief.

        Raises:
            Unwritten: there is no room.
        """
        self._writes = writes
        if not writes:
            return
        self._path, self._tensorboard = workdir / METRICS, workdir / TENSORBOARD
        lines = [] if epochs is None else [line for line in read(workdir) if line.get("epoch", 0) <= epochs]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with writing_by_tensorflow(self._tensorboard):
            self._events = tf.summary.create_file_writer(str(self._tensorboard))

    def add(self, line: dict[str, Any]) -> None:
        """Appends a line; the numbers of an epoch's line go to TensorBoard too.

        Raises:
            Unwritten: there is no room.
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
    """The lines of metrics.jsonl; a last one that a crash cut short is left out."""
    path = workdir / METRICS
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def draw_learning_curve(workdir: Path, title: str, metric: str) -> Path:
    """Draws loss and top-1 error over the epochs, and where the learning rate was divided; returns the picture's path.

    The best net is marked: that of the lowest validation `metric`, `loss` or `top1_error`.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    epochs = [line for line in read(workdir) if "epoch" in line]
    x = [line["epoch"] for line in epochs]
    figure, (losses, errors) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    figure.suptitle(title)
    for axes, name, label in ((losses, "loss", "loss"), (errors, "top1_error", "top-1 error, %")):
        curves = {"training": [line[name] for line in epochs], "validation": [line[f"val_{name}"] for line in epochs]}
        for (curve, values), color in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
            axes.plot(x, values, label=curve, color=color, marker="." if len(x) < 30 else None)
        axes.set_ylim(0, 1.05 * max(max(values) for values in curves.values()) or 1)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        for before, after in itertools.pairwise(epochs):
            if after["learning_rate"] < before["learning_rate"]:
                axes.axvline(after["epoch"] - 0.5, color="0.6", linestyle=":", linewidth=1)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    best = min(epochs, key=lambda line: line[f"val_{metric}"])
    kept = f"the best net: {best['val_top1_error']:.2f} % in epoch {best['epoch']}"
    errors.plot(best["epoch"], best["val_top1_error"], "o", color="tab:orange", label=kept)
    if any(line["learning_rate"] < epochs[0]["learning_rate"] for line in epochs):
        losses.plot([], [], color="0.6", linestyle=":", linewidth=1, label="rate divided")
    losses.legend()
    errors.legend()
    path = workdir / "learning_curve.png"
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)
    return path


def percent(value: float | None) -> str:
    """An error for a person: `2.51 %`, or a dash where it means nothing."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f} %"
