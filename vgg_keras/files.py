"""Writes that a crash leaves whole: a temporary name, fsync, rename; one writer at a time in a folder; paths as users and
TensorFlow take them.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from vgg_keras.errors import DiskFullError, UserError

LOCK = ".lock"
_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4})")  # what `printable` makes of a character
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# What the system says where a write finds no room, by the disk, a quota or a limit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = ".writing-"  # before the name of a folder in which something is written
_NAMED = re.compile(r"\.writing-[a-z0-9_]{8}")  # as `tempfile` names it
# Characters of a path that TensorFlow takes as they are: no part of a pattern, and UTF-8.
_PLAIN = re.compile(r"[\w ./,:=+@%#~-]+")


def user_path(path: Path | str) -> Path:
    """A path as a user gave it, with `~` and `~name` expanded. A file that has such a name is itself.

    Raises:
        UserError: nobody has that home folder.
    """
    text = os.fspath(path)
    if not text.startswith("~"):
        return Path(text)
    homeless = os.environ.get("HOME") == "" and text.split("/")[0] == "~"  # else it would be the root folder
    expanded = text if homeless else os.path.expanduser(text)
    if expanded == text and not os.path.lexists(text):
        raise UserError(
            f"~ at the start of a path is a user's home folder. Received: {text}, and there is none. Name the folder itself, "
            f"or ./{text} for one of that very name."
        )
    return Path(expanded)


@contextlib.contextmanager
def plain_folder(folder: Path | str) -> Iterator[str]:
    """Yields a name of a folder, which exists, that TensorFlow takes as it is.

    It reads `[`, `]`, `*`, `?` and `\\` in some paths as patterns, and takes no path that is not UTF-8. Where the folder's own
    path holds such characters it goes by the number of its open handle, which nothing has to clean up after a crash.

    Raises:
        UserError: the system has no such names of open folders.
    """
    if _PLAIN.fullmatch(os.fspath(folder)):
        yield os.fspath(folder)
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = f"/proc/self/fd/{handle}"
        if not os.path.isdir(name):
            raise UserError(
                f"Without /proc, TensorFlow takes no folder with [, ], *, ?, \\ or other special characters in its path. "
                f"Received: {folder}. Name another."
            )
        yield name
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """For work that writes `path`: a write that fails does not name its file, and HDF5 has words for nobody.

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
    """Yields a temporary path beside `path`, a file's or a folder's; on success it takes `path`'s name, else it is gone.

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
            except DiskFullError as error:  # of a write into it: nobody knows its temporary name
                if not Path(error.filename or "").is_relative_to(folder):
                    raise
                named = path.parent / Path(error.filename).relative_to(folder)
                raise DiskFullError(error.errno, error.strerror, str(named)) from error
            _sync(folder / path.name)
            os.replace(folder / path.name, path)
            _sync_entry(path.parent)


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent` that this process holds a lock in, so that no sweep takes it for a dead one's."""
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
    """The lock of a temporary folder, held; None where a sweep took the folder before it was."""
    try:
        lock = open(folder / LOCK, "w")  # noqa: SIM115, held by the caller
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    except OSError:  # a file system without locks, where no sweep holds one either
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
    finally:
        os.close(handle)


def discard(folder: Path) -> None:
    """Removes a folder; one that is interrupted leaves no half of it under its name."""
    with _temporary_folder(folder.parent) as temporary:
        os.replace(folder, temporary / folder.name)


def sweep(folder: Path) -> None:
    """Removes what interrupted writes left in a folder of ours; a write that still goes on keeps its own."""
    for temporary in folder.glob(f"{_TEMPORARY}*"):
        _remove_if_dead(temporary)


def _sweep_for(path: Path) -> None:
    """The same in the folder of `path`, which may be anybody's: only what is certainly a write's, or one of `path` itself."""
    for temporary in path.parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            inside = set(os.listdir(temporary))
            if _NAMED.fullmatch(temporary.name) and (LOCK in inside or inside <= {path.name}):
                _remove_if_dead(temporary)


def _remove_if_dead(temporary: Path) -> None:
    """Removes a temporary folder unless the process that writes in it lives."""
    if temporary.is_symlink():
        return
    with contextlib.suppress(OSError), open(temporary / LOCK, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` indented, so that a person can read it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def printable(name: Path | str) -> str:
    """A name from the disk as one line of text that can be written anywhere.

    Bytes that are not UTF-8, control characters and line separators become escapes such as `\\xe9` and `\\n`. Two names
    never become one: where there is an escape, or what looks like one, backslashes are doubled.
    """
    text = os.fsdecode(name)
    unsafe = any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)
    if not unsafe and not _ESCAPE.search(text):
        return text
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character == "\\":
        return r"\\"
    category, code = unicodedata.category(character), ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # by which Python stands for a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if category in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
    return character


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


def sha256(path: Path | str) -> str:
    """The file's digest in hexadecimal; the file is opened by `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path, flag: str) -> Iterator[None]:
    """Holds a folder for this process; two runs in one would write over each other.

    Args:
        folder: made where it is not there yet, with those above it, and gone again where nothing was put into it.
        flag: what the user named it with, for the message.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    made = missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")  # noqa: SIM115, held below
    except OSError as error:
        remove_empty(made)
        raise UserError(f"{flag} must be a folder that can be written. Received: {folder}: {error.strerror}.") from None
    with lock:
        _hold_or_refuse(lock, folder, flag)
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
            _hold_or_refuse(lock, folder, flag)


def require_writable(path: Path, flag: str, received: Path | None = None) -> None:
    """Refuses a file that could not be written, before the work whose result it takes. Nothing is made.

    Args:
        path: of the file; neither it nor its folder need be there.
        flag: what the user named it with, for the message.
        received: what the message names; None: `path`.

    Raises:
        UserError: the nearest folder that is there cannot be written, or a folder has the file's name.
    """
    there = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=there):  # permissions do not say that a disk is mounted read-only
            pass
    except OSError as error:
        raise UserError(
            f"{flag} must be a path that can be written. Received: {received or path}: {error.strerror}."
        ) from None


def _hold_or_refuse(lock: TextIO, folder: Path, flag: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"One run at a time works in the folder of {flag}. Received: {folder}, where one is running."
        ) from None
    except OSError as error:
        raise UserError(f"{flag} must be a folder that can be locked. Received: {folder}: {error.strerror}.") from None


def missing(folder: Path) -> list[Path]:
    """The folder and those above it that are not there yet, the innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Removes these folders, the innermost first, up to one that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()
