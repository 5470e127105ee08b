"""The folder of a run: what it was asked to do, on which data, and whether that is still so when it is resumed."""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgg_keras import __version__
from vgg_keras.config import FREE_ON_RESUME, Config, UserError, difference, from_dict, to_dict
from vgg_keras.data.splits import Source
from vgg_keras.data.statistics import Statistics, measure
from vgg_keras.files import sweep, write_json
from vgg_keras.weights.run import CONFIG, read_config

LOCK = ".lock"
PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds the folder for this process; two runs in one would write over each other.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / LOCK, "w")  # noqa: SIM115, held below
    except OSError as error:
        raise UserError(
            f"--workdir must be a folder that can be written. Received: {workdir}: {error.strerror}."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"One run at a time works in a workdir. Received: {workdir}, where one is running."
            ) from None
        yield


def check(workdir: Path, config: Config) -> None:
    """Refuses a folder that holds a run of another configuration, before any work is done.

    Raises:
        UserError: a field differs, which is named, or the folder holds other things.
    """
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"--workdir must be a folder. Received: {workdir}, which is a file.")
    stored = read_config(workdir)
    if stored is None:
        if workdir.exists() and any(path for path in workdir.iterdir() if not path.name.startswith(".")):
            raise UserError(
                f"--workdir must be new, empty or a run's folder. Received: {workdir}, which holds other files."
            )
        return
    begun = from_dict(Config, stored["config"])
    old, new = to_dict(begun), to_dict(_resolve(config, begun.architecture))
    for section in FREE_ON_RESUME:
        del old[section], new[section]
    if found := difference(old, new):
        raise UserError(
            f"A workdir is resumed with the configuration that it was begun with. Received: {workdir}, begun with {found}. "
            "Give the old value, or name another --workdir."
        )


def prepare(workdir: Path, config: Config, source: Source, hardware: dict[str, Any]) -> tuple[Config, Statistics]:
    """The resolved configuration and the training set's statistics: measured and written, or read again.

    Args:
        workdir: locked.
        config: as asked for.
        source: the images, bad ones left out.
        hardware: what was chosen for this machine, kept beside the configuration.

    Raises:
        UserError: the data set is no longer the one that the run was begun with.
    """
    sweep(workdir)
    data = {
        name: {"images": split.size, "sha256_of_names": split.digest()}
        for name, split in (("train", source.train), ("val", source.val))
    }
    stored = read_config(workdir)
    if stored is not None:
        begun = {"classes": stored["classes"], **{name: stored["data"][name] for name in data}}
        if found := difference(begun, {"classes": list(source.classes), **data}):
            raise UserError(
                f"A run is resumed with the data that it was begun with. Received: {workdir}, begun with {found}."
            )
        resolved = _resolve(config, from_dict(Config, stored["config"]).architecture)
        return resolved, Statistics(**stored["data"]["statistics"])

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
            "data": {"description": source.description, **data, "statistics": dataclasses.asdict(statistics)},
            "test_scales": list(resolved.test_scales),
            "hardware": hardware,
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
