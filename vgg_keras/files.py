"""Writes that a crash leaves whole: a temporary name, fsync, rename; and one writer at a time in a folder."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgg_keras.config import UserError

LOCK = ".lock"
_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4})")  # what `printable` makes of a character
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
# What the system says where a write finds no room, by the disk, a quota or a limit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Unwritten(OSError):  # noqa: N818, as `stop.Stopped`
    """A write found no room for a file, which it names, or the disk failed, which `EIO` alone says of reads too."""


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """For work that writes `path`: a write that fails does not name its file, and HDF5 has words for nobody.

    Raises:
        Unwritten: there was no room for it, or the disk failed.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL | {errno.EIO}:
            raise Unwritten(error.errno, os.strerror(error.errno), str(path)) from error
        raise


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path beside `path`, a file's or a folder's; on success it takes `path`'s name, else it is gone.

    The temporary name keeps the suffix, since writers such as Keras choose a format by it. A folder of that name must
    not exist yet: no rename replaces a full one.

    Raises:
        Unwritten: there was no room for it.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
        try:
            yield room / path.name
            _sync(room / path.name)
            os.replace(room / path.name, path)
            _sync_entry(path.parent)
        finally:
            shutil.rmtree(room, ignore_errors=True)


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
    room = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    os.replace(folder, room / folder.name)
    shutil.rmtree(room)


def sweep(folder: Path) -> None:
    """Removes what interrupted writes left in `folder`."""
    for room in folder.glob(".writing-*"):
        shutil.rmtree(room, ignore_errors=True)


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


def sha256(path: Path | str) -> str:
    """The file's digest in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path, flag: str) -> Iterator[None]:
    """Holds a folder for this process; two runs in one would write over each other.

    Args:
        folder: made where it is not there yet, and gone again where nothing was put into it.
        flag: what the user named it with, for the message.

    Raises:
        UserError: another process holds it, or it cannot be written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")  # noqa: SIM115, held below
    except OSError as error:
        raise UserError(f"{flag} must be a folder that can be written. Received: {folder}: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"One run at a time works in the folder of {flag}. Received: {folder}, where one is running."
            ) from None
        try:
            yield
        finally:
            if made and [path.name for path in folder.iterdir()] == [LOCK]:  # a mistake found before anything was done
                (folder / LOCK).unlink()
                folder.rmdir()
