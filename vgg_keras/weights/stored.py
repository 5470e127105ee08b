"""The files of a run's net, and its configuration, which is read without a framework."""

import json
from pathlib import Path
from typing import Any

from vgg_keras.config import UserError

CONFIG, WEIGHTS, KERAS, MANIFEST = "config.json", "model.weights.h5", "model.keras", "manifest.json"


def read_config(workdir: Path) -> dict[str, Any] | None:
    """What `config.json` of a run holds; None where the folder holds no run.

    Raises:
        UserError: a file of that name which is none of ours.
    """
    path = workdir / CONFIG
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text())
        if not {"config", "classes"} <= stored.keys():
            raise ValueError("without 'config' and 'classes'")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} must be a run's configuration. Received another file: {error}.") from None
    return stored


def weights_digest(workdir: Path) -> str:
    """sha256 of a run's best weights, as its manifest says.

    Raises:
        UserError: no run there, or none that has saved weights yet.
    """
    if read_config(workdir) is None:
        raise UserError(
            f"A net starts from a run's folder, the --workdir of its training. Received: {workdir}, which is none."
        )
    if not (workdir / MANIFEST).exists():
        raise UserError(f"A run's net is there after its first epoch. Received: {workdir}, without {MANIFEST} yet.")
    return json.loads((workdir / MANIFEST).read_text())[WEIGHTS][-1]
