"""The whole state of a run on disk, so that a killed run goes on with the same bits.

A checkpoint is a folder, `epoch-0003-step-000000138`, written under a temporary name, synced and renamed: it is there
whole or not at all. Its epoch counts those that are validated too, so a stop between an epoch's last step and its
validation has a name of its own.
"""

import time
from pathlib import Path

import tensorflow as tf

from vgg_keras.config import Checkpoint, UserError
from vgg_keras.files import discard, replacing, sweep

FOLDER = "checkpoints"  # in the workdir


def stored(folder: Path) -> list[Path]:
    """The checkpoints there, oldest first: their numbers are padded."""
    return sorted(folder.glob("epoch-*-step-*"))


class Checkpoints:
    """Saves and restores `state`, a `tf.train.Checkpoint` of everything that a resumed run needs."""

    def __init__(self, folder: Path, state: tf.train.Checkpoint, rules: Checkpoint):
        self._folder, self._state, self._rules = folder, state, rules
        self._last_step, self._last_time = 0, time.monotonic()
        sweep(folder)

    def restore(self) -> bool:
        """Reads the newest checkpoint into the state; False where there is none yet.

        Raises:
            UserError: the newest one is damaged, or of another net.
        """
        path = self.newest()
        if path is None:
            return False
        try:
            self._state.read(str(path / "state")).assert_consumed()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise UserError(
                f"The newest checkpoint must be readable. Received: {path}: {str(error).splitlines()[0]}. "
                "Remove that folder to go on from the one before, if there is one."
            ) from None
        self._last_step = int(path.name.split("-")[-1])
        return True

    def newest(self) -> Path | None:
        """The folder of the newest checkpoint; None where there is none yet."""
        return max(stored(self._folder), default=None)

    def save(self, epochs: int, step: int) -> None:
        """Saves the state after so many validated epochs and steps, and drops the oldest beyond `checkpoint.keep`."""
        path = self._folder / f"epoch-{epochs:04d}-step-{step:09d}"
        if not path.exists():  # else it holds these very bits
            with replacing(path) as temporary:
                temporary.mkdir()
                self._state.write(str(temporary / "state"))
        for old in stored(self._folder)[: -self._rules.keep]:
            discard(old)
        self._last_step, self._last_time = step, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether `checkpoint.every_steps` or `every_minutes` asks for one now."""
        by_steps = self._rules.every_steps and step - self._last_step >= self._rules.every_steps
        by_time = self._rules.every_minutes and time.monotonic() - self._last_time >= 60 * self._rules.every_minutes
        return bool(by_steps or by_time)
