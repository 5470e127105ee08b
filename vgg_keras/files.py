"""Writes and reads of files.

A write that is interrupted changes nothing: it goes to a temporary name, then fsync, then rename. Only regular files are read.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from vgg_keras.errors import DiskFullError
from vgg_keras.locks import LOCK, acquire

# The system's errors of a write without room: on the disk, in a quota or under a limit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = ".writing-"  # before the name of a folder in which something is written
_NAMED = re.compile(r"\.writing-[a-z0-9_]{8}")  # as `tempfile` names it


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Names `path` in the error of work that writes it; the system's error does not, and HDF5's is none of the system's.

    Raises:
        DiskFullError: there was no room for it, or the disk failed.
    """
    try:
        yield
    except DiskFullError:  # of a write inside this one, which it names
        raise
    except OSError as error:
        if error.errno in FULL | {errno.EIO}:
            raise DiskFullError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path, of a file or a folder, which is renamed to `path` on success and else removed.

    The temporary name keeps the suffix, since writers such as Keras choose a format by it. A folder of that name must
    not exist yet: no rename replaces a full one.

    Raises:
        DiskFullError: there was no room for it.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_for(path)
        with _temporary_folder(path.parent) as folder:
            try:
                yield folder / path.name
            except DiskFullError as error:  # of a write into it: under the name that the user knows
                if not Path(error.filename or "").is_relative_to(folder):
                    raise
                named = path.parent / Path(error.filename).relative_to(folder)
                raise DiskFullError(error.errno, error.strerror, str(named)) from error
            _sync(folder / path.name)
            os.replace(folder / path.name, path)
            _sync_entry(path.parent)


def discard(folder: Path) -> None:
    """Removes a folder; interrupted, it is complete or gone under its name."""
    with _temporary_folder(folder.parent) as temporary:
        os.replace(folder, temporary / folder.name)


def sweep(folder: Path) -> None:
    """Removes the temporary folders of interrupted writes from a folder of this package; those of writes that go on stay."""
    for temporary in folder.glob(f"{_TEMPORARY}*"):
        _remove_if_dead(temporary)


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` indented, so that a person can read it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def open_regular(path: Path | str) -> BinaryIO:
    """Opens a file to be read, if it is one: a FIFO would be waited for, and a device read until the memory is full.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # of a folder the system says so itself
        raise OSError(errno.EINVAL, "a FIFO, a socket or a device, where a file is needed", str(path))
    return open(path, "rb")


def read_regular(path: Path | str) -> bytes:
    """The content of a file, opened by `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def sha256_of_names(names: Iterable[str]) -> str:
    """The digest of names in their order, a line each: of a split's images, which image has which number."""
    found = hashlib.sha256()
    for name in names:
        found.update(name.encode() + b"\n")
    return found.hexdigest()


_ahead: dict[tuple[int, ...], Future] = {}  # digests that `hash_ahead` computes, by `version`


def sha256(path: Path | str) -> str:
    """The file's digest in hexadecimal; the file is opened by `open_regular`."""
    with open_regular(path) as file:
        ahead = _ahead.pop(version(file.fileno()), None)
        return ahead.result() if ahead else _digest(file)


def hash_ahead(path: Path | str) -> None:
    """Begins to hash a large file for a call of `sha256` to come: while a framework is imported, a core is idle."""
    try:
        file = open_regular(path)
    except OSError:  # `sha256` says so
        return
    found = _ahead[version(file.fileno())] = Future()

    def run():
        with file:
            try:
                found.set_result(_digest(file))
            except Exception as error:  # of the system, or no memory: whoever asks for the digest gets it
                found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # no process waits for it at its end


def version(file: Path | int) -> tuple[int, ...]:
    """What changes when a file does, of a path or a descriptor."""
    found = os.stat(file)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(file: BinaryIO) -> str:
    """The sha256 of the rest of a file, read in few and large parts.

    Between two of them the thread of `hash_ahead` waits for Python, which imports meanwhile.
    """
    found, part = hashlib.sha256(), memoryview(bytearray(min(2**24, os.fstat(file.fileno()).st_size) or 1))
    while count := file.readinto(part):
        found.update(part[:count])
    return found.hexdigest()


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` with a lock in it, which `sweep` does not remove as long as this process lives."""
    lock = None
    while lock is None:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))
        lock = _hold(folder)
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _hold(folder: Path) -> TextIO | None:
    """The lock of a temporary folder, acquired; None if another process removed the folder before that."""
    try:
        lock = open(folder / LOCK, "w")  # noqa: SIM115, held by the caller
    except FileNotFoundError:
        return None
    try:
        acquire(lock)
    except BlockingIOError:
        lock.close()
        return None
    except OSError:  # a file system without locks, where `sweep` acquires none either
        return lock
    if not (folder / LOCK).exists():
        lock.close()
        return None
    return lock


def _sync(path: Path) -> None:
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _sync_entry(entry)


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some file systems, such as those of virtual machines' shared folders, sync no folders
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def _sweep_for(path: Path) -> None:
    """The same in the folder of `path`, which may hold a user's files: only what is certainly a temporary folder of a write."""
    for temporary in path.parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            inside = set(os.listdir(temporary))
            if _NAMED.fullmatch(temporary.name) and (LOCK in inside or inside <= {path.name}):
                _remove_if_dead(temporary)


def _remove_if_dead(temporary: Path) -> None:
    """Removes a temporary folder unless its process lives, which holds the lock."""
    if temporary.is_symlink():
        return
    with contextlib.suppress(OSError), open(temporary / LOCK, "a") as lock:
        acquire(lock)
        shutil.rmtree(temporary, ignore_errors=True)
