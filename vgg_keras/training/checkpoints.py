"""The complete state of a run on disk, so that a killed run resumes with the same bits.

A checkpoint is a folder, `epoch-0003-step-000000138`, written under a temporary name, synced and renamed: it is complete
or absent. Its epoch number counts the epochs that are done. A stop between an epoch's last step and its
validation thus has a name of its own. The folder holds the digests of its files, so that later damage is found before a
variable is read. TensorFlow would find it in the middle of the restore, and report it like the state of another net.
"""

import json
import os
import sys
import time
from pathlib import Path

import tensorflow as tf

from vgg_keras.config import Checkpoint
from vgg_keras.errors import UserError
from vgg_keras.files import discard, read_regular, replacing, sha256, sweep, write_json
from vgg_keras.paths import plain_folder
from vgg_keras.runs import checkpoints_in
from vgg_keras.training.disk_errors import writing_by_tensorflow

DIGESTS = "digests.json"  # in a checkpoint: sha256 of each of its files
_ASIDE = "damaged-"  # before the name of a damaged one
_STATE = "state"  # in a checkpoint: the prefix of TensorFlow's files


def damage(path: Path) -> str | None:
    """A description of the damage to a checkpoint's files; None where they match their digests."""
    try:
        digests = json.loads(read_regular(path / DIGESTS))
        changed = [name for name, digest in digests.items() if sha256(path / name) != digest]
        if f"{_STATE}.index" not in digests:
            raise ValueError
    except OSError as error:
        return f"{Path(error.filename or path).name}: {error.strerror}"
    except (ValueError, AttributeError, RecursionError):
        return f"{DIGESTS} is no list of digests"
    return f"{changed[0]} is not what was written" if changed else None


def step_of(path: Path) -> int:
    """The updates before a checkpoint, from its name."""
    return int(path.name.rpartition("-")[2])


def newest_intact(folder: Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The newest intact checkpoint in a folder, or None, and the damaged ones that are newer, each with its damage.

    Raises:
        UserError: there are checkpoints, and all are damaged.
    """
    damaged = []
    for path in reversed(checkpoints_in(folder)):
        if (reason := damage(path)) is None:
            return path, damaged
        damaged.append((path, reason))
    damaged += [(path, "set aside before") for path in sorted(folder.glob(f"{_ASIDE}*"))]
    if not damaged:
        return None, []
    if not any((bad / DIGESTS).exists() for bad, _ in damaged):
        raise UserError(
            f"A checkpoint holds the digests of its files. Received: {folder}, where none does: all were removed, or "
            "an earlier version of vgg_keras wrote them. Resume with that version, or name another --workdir."
        )
    found = "; ".join(f"{bad.name}: {reason}" for bad, reason in damaged)
    raise UserError(
        f"A run resumes from an intact checkpoint. Received: {folder}, which holds none: {found}. Put one back, or name "
        "another --workdir to start again."
    )


class Checkpoints:
    """Saves and restores `state`, a `tf.train.Checkpoint` of everything that a resumed run needs."""

    def __init__(self, folder: Path, state: tf.train.Checkpoint, rules: Checkpoint, writes: bool = True):
        """`writes` is False for the workers of a run beside the chief: they only restore, and after it."""
        self._folder, self._state, self._rules, self._writes = folder, state, rules, writes
        self._last_step, self._last_time = 0, time.monotonic()
        if writes:
            sweep(folder)

    def restore(self) -> bool:
        """Reads the newest intact checkpoint into the state; False where there is none yet.

        Damaged ones that are newer are named on standard error and renamed. They no longer count, and the run writes new
        ones in their place.

        Raises:
            UserError: there are checkpoints and all are damaged, or the newest intact one is of another net.
        """
        path = self._newest_intact()
        if path is None:
            return False
        with plain_folder(path) as folder:
            try:
                self._state.read(f"{folder}/{_STATE}").assert_consumed()
            except (tf.errors.OpError, ValueError, AssertionError) as error:
                raise UserError(
                    f"A checkpoint must be of the net that resumes from it. Received: {path}: {str(error).splitlines()[0]}. "
                    "Resume with the version of vgg_keras that wrote it, or name another --workdir."
                ) from None
        self._last_step = step_of(path)
        return True

    def _newest_intact(self) -> Path | None:
        path, damaged = newest_intact(self._folder)
        for bad, reason in damaged if self._writes else ():
            aside = bad.with_name(_ASIDE + bad.name)
            if aside.exists():
                discard(aside)
            os.replace(bad, aside)
            print(f"damaged checkpoint: {bad}: {reason}; set aside as {aside.name}", file=sys.stderr, flush=True)
        return path

    def newest(self) -> Path | None:
        """The folder of the newest checkpoint; None where there is none yet."""
        return next(reversed(checkpoints_in(self._folder)), None)

    def save(self, epochs: int, step: int) -> None:
        """Saves the state after these validated epochs and steps, and drops the oldest beyond `checkpoint.keep`.

        Raises:
            DiskFullError: there is no room for it; the older ones are unchanged.
        """
        path = self._folder / f"epoch-{epochs:04d}-step-{step:09d}"
        if not path.exists():  # else it holds these very bits
            with replacing(path) as temporary:
                temporary.mkdir()
                with writing_by_tensorflow(temporary), plain_folder(temporary) as folder:
                    self._state.write(f"{folder}/{_STATE}")
                write_json(temporary / DIGESTS, {file.name: sha256(file) for file in sorted(temporary.iterdir())})
        for old in checkpoints_in(self._folder)[: -self._rules.keep]:
            discard(old)
        self._last_step, self._last_time = step, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due, by `checkpoint.every_steps` or `every_minutes`."""
        by_steps = self._rules.every_steps and step - self._last_step >= self._rules.every_steps
        by_time = self._rules.every_minutes and time.monotonic() - self._last_time >= 60 * self._rules.every_minutes
        return bool(by_steps or by_time)
