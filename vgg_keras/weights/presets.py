"""The files of a KerasHub preset's folder. No framework is needed here."""

import hashlib
import json
from pathlib import Path

from vgg_keras.files import sha256
from vgg_keras.runs import MANIFEST

BACKBONE, BACKBONE_WEIGHTS = "config.json", "model.weights.h5"
TASK, TASK_WEIGHTS = "task.json", "task.weights.h5"  # of a classifier
PREPROCESSOR = "preprocessor.json"
_MAX_BYTES = 2**20  # of a configuration


def is_preset(folder: Path) -> bool:
    """Whether a folder is a preset and no run's: its configuration names a class."""
    config = folder / BACKBONE
    if not config.is_file() or (folder / MANIFEST).exists() or config.stat().st_size > _MAX_BYTES:
        return False
    try:
        found = json.loads(config.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "class_name" in found


def digest(folder: Path) -> str:
    """The sha256 of a preset: of the names and the sha256 of its files that are read."""
    known = (BACKBONE, BACKBONE_WEIGHTS, TASK, TASK_WEIGHTS, PREPROCESSOR)
    lines = [f"{name} {sha256(folder / name)}" for name in known if (folder / name).is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
