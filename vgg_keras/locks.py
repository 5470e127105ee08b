"""Folders that one process at a time works in, by a lock that ends with the process.

A lock is `flock`'s: the system releases it when the process dies, and a process that this one starts inherits it.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from vgg_keras.errors import UserError
from vgg_keras.paths import require_writable

LOCK = ".lock"


def acquire(lock: TextIO) -> None:
    """Takes the lock of an open file, until the file is closed.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file system has no locks.
    """
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(folder: Path, flag: str) -> Iterator[None]:
    """Locks a folder for this process: two runs in one would write over each other's files.

    Args:
        folder: made where it does not exist, with those above it; removed again if it is empty at the end.
        flag: the one that names the folder, for the message.

    Raises:
        UserError: another process has locked it, or it cannot be written.
    """
    made = missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")  # noqa: SIM115, held below
    except OSError as error:
        remove_empty(made)
        raise UserError(f"{flag} must be a folder that can be written. Received: {folder}: {error.strerror}.") from None
    with lock:
        _acquire_or_refuse(lock, folder, flag)
        try:
            yield
        finally:
            if made and [path.name for path in folder.iterdir()] == [LOCK]:  # a mistake found before anything was done
                (folder / LOCK).unlink()
                remove_empty(made)


def require_lockable(folder: Path, flag: str) -> None:
    """Refuses what `locked` would refuse, and writes nothing; arguments and errors are those of `locked`."""
    require_writable(folder / LOCK, flag, received=folder)
    if (folder / LOCK).exists():
        with open(folder / LOCK, "a") as lock:
            _acquire_or_refuse(lock, folder, flag)


def _acquire_or_refuse(lock: TextIO, folder: Path, flag: str) -> None:
    try:
        acquire(lock)
    except BlockingIOError:
        raise UserError(
            f"One run at a time works in the folder of {flag}. Received: {folder}, where one is running."
        ) from None
    except OSError as error:
        raise UserError(f"{flag} must be a folder that can be locked. Received: {folder}: {error.strerror}.") from None


def missing(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Removes these folders, the innermost first, up to one that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()
