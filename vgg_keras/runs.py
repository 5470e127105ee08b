"""A run's folder: the names of its files, and reading and verifying them without a framework."""

import json
import re
from pathlib import Path
from typing import Any

from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import read_regular, sha256
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict

# In the folder of a run:
CONFIG = "config.json"  # the resolved configuration, the classes, what the data are, how it was started
WEIGHTS = "model.weights.h5"  # of the kept net
KERAS = "model.keras"  # the kept net, for Keras alone
MANIFEST = "manifest.json"  # the sha256 of these three
CHECKPOINTS = "checkpoints"  # a folder; a checkpoint in it is named by its epochs and its steps
METRICS = "metrics.jsonl"  # a line for each epoch
TENSORBOARD = "tensorboard"  # the same for TensorBoard
LEARNING_CURVE = "learning_curve.png"
FINAL_EVALUATION = "final_evaluation"  # the folder of the evaluation that ends a run
FINISHED = "finished.json"  # the result of a finished stage, and the digest of its weights
WORKER_LOGS = ".workers"  # the output of all workers of `launch` but the first
# In the folder of an evaluation:
RESULT = "evaluation.json"
POSTERIORS = "posteriors.npz"
BOXES = "boxes.npz"  # of a net of boxes

_DIGESTED = (CONFIG, WEIGHTS, KERAS)
_CHECKPOINT = re.compile(r"epoch-(\d{4,})-step-(\d{9,})")


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first. A folder of another name, such as a user's copy of one, is none."""
    found = [
        (tuple(map(int, name.groups())), path)
        for path in folder.glob("epoch-*")
        if (name := _CHECKPOINT.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def begun(workdir: Path) -> bool:
    """Whether the folder holds a run with a checkpoint, which is resumed."""
    return (workdir / CONFIG).exists() and bool(checkpoints_in(workdir / CHECKPOINTS))


def outlives_start(workdir: Path, config: Config) -> bool:
    """Whether a run needs the weights that it started from no more: they are gone, and it resumes or is finished."""
    if not (begun(workdir) or (workdir / FINISHED).exists()):
        return False
    start = run_config(workdir).training.start
    return bool(start) and start == config.training.start and not user_path(start).exists()


def read_config(workdir: Path) -> dict[str, Any] | None:
    """The content of a run's `config.json`; None if the folder holds no run.

    Raises:
        UserError: a file of that name that is no run's.
    """
    path = workdir / CONFIG
    if not path.exists():
        return None
    try:
        stored = json.loads(read_regular(path))
        if not isinstance(stored.get("config"), dict) or not isinstance(stored.get("classes"), list):
            raise ValueError("without 'config' and 'classes'")
        from_dict(Config, stored["config"])
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} must be a run's configuration. Received another file: {error}.") from None
    return stored


def run_config(workdir: Path) -> Config:
    """The configuration of a run's folder.

    Raises:
        UserError: it is no run's folder; one above or below it is named.
    """
    stored = read_config(workdir)
    if stored is None:
        found = "which is none" if workdir.exists() else "which does not exist"
        raise UserError(
            f"--model takes a run's folder, the --workdir of its training. Received: {workdir}, {found}.{hint_of(workdir)}"
        )
    return from_dict(Config, stored["config"])


def run_of(path: Path) -> Path | None:
    """The run's folder that a path lies in, whether the path exists or not; None if it is in none."""
    for folder in list(path.parents)[:3]:  # as in RUN/checkpoints/NAME/FILE
        try:
            if read_config(folder) is not None:
                return folder
        except (UserError, OSError):  # a config.json of something else
            continue
    return None


def weights_digest(workdir: Path) -> str:
    """The sha256 of the kept net's weights in a run's manifest.

    Raises:
        UserError: no run, or one that has not saved weights yet.
    """
    if read_config(workdir) is None:
        raise UserError(
            "A net starts from a run's folder, the --workdir of its training. "
            f"Received: {workdir}, which is none.{hint_of(workdir)}"
        )
    return _manifest_with_weights(workdir)[WEIGHTS][-1]


def read_manifest(workdir: Path) -> dict[str, list[str]]:
    """The digests that a run's files may have, by their names; two while a file is replaced.

    `config.json` has one from the start of the run on, the weights after the first epoch.

    Raises:
        UserError: the manifest is damaged.
    """
    found = read_json(workdir / MANIFEST, CONFIG)
    for name, digests in found.items():
        if name not in _DIGESTED or not isinstance(digests, list) or not digests:
            raise UserError(
                f"A run's files must stay as they were. Received: {workdir / MANIFEST}, damaged: no digest of {name}."
            )
    return found


def require_unchanged(workdir: Path, resumed: bool = False) -> dict[str, str]:
    """The sha256 of a run's files, which must be those in its manifest.

    Args:
        workdir: the run's folder.
        resumed: whether the run is resumed, which needs every file of the manifest. A net is read from its configuration and
            its weights, which must exist then.

    Raises:
        UserError: one was changed, damaged or removed.
    """
    if resumed and not (workdir / MANIFEST).exists():
        raise UserError(
            f"A run resumes from the files that it wrote. Received: {workdir / MANIFEST}, their digests, which was removed. "
            "Put it back, or name another --workdir to begin anew."
        )
    digests = read_manifest(workdir) if resumed else _manifest_with_weights(workdir)
    advice = "Put it back as it was, or name another --workdir to begin anew." if resumed else "Put it back as it was."
    found = {}
    for name in digests if resumed else (CONFIG, WEIGHTS):
        found[name] = sha256(workdir / name) if (workdir / name).exists() else None
        if found[name] not in digests[name]:
            rule = f"Files must match their sha256 in {MANIFEST}."
            raise UserError(f"{rule} Received: {workdir / name}, which was changed, damaged or removed. {advice}")
    return found


def _manifest_with_weights(workdir: Path) -> dict[str, list[str]]:
    """The manifest of a run, which must have saved weights."""
    if not (workdir / MANIFEST).exists():
        raise UserError(
            f"A run's net is there after its first validation. Received: {workdir}, without {MANIFEST} yet."
        )
    found = read_manifest(workdir)
    if WEIGHTS not in found:
        raise UserError(f"A run's net is there after its first validation. Received: {workdir}, without {WEIGHTS} yet.")
    return found


def read_json(path: Path, *fields: str) -> dict[str, Any]:
    """The content of a JSON file of a run, which must have these fields.

    Raises:
        UserError: it is damaged.
    """
    try:
        found = json.loads(read_regular(path))
        if not set(fields) <= found.keys():
            raise ValueError(f"without {', '.join(fields)}")
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"A run's files must stay as they were. Received: {path}, damaged: {error}.") from None
    return found


def difference_of_images(first: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs between the images of a split as two runs state them, such as `names, labels`; empty: nothing.

    The contents of a set in memory, and labels that the names hold, are not always stated. What only one states is no difference.
    """
    digests = [key for key in first if key.startswith("sha256_of_") and key in other]
    return ", ".join(key.removeprefix("sha256_of_") for key in digests if first[key] != other[key])


def hint_of(path: Path) -> str:
    """A sentence that names what to give instead of a path that is no run's folder; empty where nothing is known.

    Known are the run that it lies in, the net of a SavedModel, and the stages of a chain.
    """
    if run := run_of(path):
        return f" Give the run's folder, {run}."
    if (path / "saved_model.pb").exists():
        return " A SavedModel is not read: give the net that it was made of, a run's folder, a .keras or an .h5 file."
    stages = sorted(str(config.parent) for config in path.glob(f"*/{CONFIG}"))
    return f" Each stage of a chain is a run: name one of {', '.join(stages)}." if stages else ""
