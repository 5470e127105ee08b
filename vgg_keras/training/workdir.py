"""The folder of a run: what it was asked to do, on which data, and whether that is still so when it is resumed."""

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

from vgg_keras import __version__
from vgg_keras.config import FREE_ON_RESUME, Config, UserError, difference, from_dict, to_dict
from vgg_keras.data.splits import Source
from vgg_keras.data.statistics import Statistics, measure
from vgg_keras.files import sweep, write_json
from vgg_keras.weights.run import CONFIG, read_config

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


def check(workdir: Path, config: Config) -> None:
    """Refuses a folder that holds a run of another configuration, before any work is done.

    Raises:
        UserError: a field differs, which is named.
    """
    stored = read_config(workdir)
    if stored is None:
        if workdir.exists() and any(path for path in workdir.iterdir() if not path.name.startswith(".writing-")):
            raise UserError(
                f"--workdir must be new, empty or a run's folder. Received: {workdir}, which holds other files."
            )
        return
    old, new = stored["config"], to_dict(_resolve(config, from_dict(Config, stored["config"]).architecture))
    for section in FREE_ON_RESUME:
        old, new = {**old, section: None}, {**new, section: None}
    if found := difference(old, new):
        raise UserError(
            f"A workdir is resumed with the configuration that it was begun with. Received: {workdir}, begun with {found}. "
            "Give the old value, or name another --workdir."
        )


def prepare(workdir: Path, config: Config, source: Source, bad_images: int) -> tuple[Config, Statistics]:
    """The resolved configuration and the training set's statistics: measured and written, or read again.

    Raises:
        UserError: the data set is no longer the one that the run was begun with.
    """
    sweep(workdir)
    data = {
        "description": source.description,
        "train_images": source.train.size,
        "val_images": source.val.size,
        "bad_images": bad_images,
    }
    stored = read_config(workdir)
    if stored is not None:
        old = {"classes": stored["classes"], **{key: stored["data"][key] for key in data}}
        if found := difference(old, {"classes": list(source.classes), **data}):
            raise UserError(
                f"A run is resumed with the data that it was begun with. Received: {workdir}, begun with {found}."
            )
        statistics = Statistics(**stored["data"]["statistics"])
        return dataclasses.replace(
            _resolved(stored), **{name: getattr(config, name) for name in FREE_ON_RESUME}
        ), statistics

    if config.architecture.num_classes not in (0, len(source.classes)):
        raise UserError(
            f"architecture.num_classes must be 0 or the data's {len(source.classes)}. "
            f"Received: {config.architecture.num_classes}"
        )
    statistics = measure(source.train, config.data.statistics_images)
    known = dataclasses.replace(config.architecture, num_classes=len(source.classes), mean=statistics.mean)
    resolved = _resolve(config, known)
    write_json(
        workdir / CONFIG,
        {
            "config": to_dict(resolved),
            "classes": list(source.classes),
            "data": {**data, "statistics": json.loads(json.dumps(dataclasses.asdict(statistics)))},
            "command": [sys.executable, *sys.orig_argv[1:]],
            "git_commit": _git_commit(),
            "versions": {
                "vgg_keras": __version__,
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
            },
        },
    )
    return resolved, statistics


def _resolved(stored: dict) -> Config:
    return from_dict(Config, stored["config"])


def _resolve(config: Config, known) -> Config:
    """`config` with the classes and the mean that were left to the data taken from the architecture `known`."""
    architecture = dataclasses.replace(
        config.architecture,
        num_classes=config.architecture.num_classes or known.num_classes,
        mean=config.architecture.mean or known.mean,
    )
    return dataclasses.replace(config, architecture=architecture)


def _git_commit() -> str | None:
    """The commit of the clone that the package runs from, marked where files differ from it; None outside a clone."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
