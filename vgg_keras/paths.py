"""Paths: as users give them, as messages print them, and as TensorFlow takes them."""

import contextlib
import errno
import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.errors import UserError

_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4})")  # what `printable` makes of a character
_LONGEST = 255  # bytes of a name
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
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


def local_path(path: Path | str, what: str) -> Path:
    """`user_path` of a file or a folder of this machine.

    Args:
        path: as a user gave it.
        what: the files, in the plural, as a message begins with them.

    Raises:
        UserError: it is an address, or nobody has that home folder.
    """
    found = user_path(path)
    if "://" in os.fspath(path) and not found.exists():
        raise UserError(f"{what} are files of this machine. Received: {path}, an address. Download it first.")
    return found


def require_folder(path: Path, flag: str) -> None:
    """Refuses a file where a flag takes a folder, which need not exist.

    Raises:
        UserError: it is a file.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{flag} must be a folder. Received: {path}, which is a file.")


def require_writable(path: Path, flag: str, received: Path | None = None) -> None:
    """Refuses a file that could not be written, before the work whose result it takes. Nothing is made.

    Args:
        path: of the file; neither it nor its folder need exist.
        flag: the one that names it, for the message.
        received: what the message names; None: `path`.

    Raises:
        UserError: the nearest folder that exists cannot be written, or a folder has the file's name.
    """
    existing = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=existing):  # permissions do not say that a disk is mounted read-only
            pass
    except OSError as error:
        raise UserError(
            f"{flag} must be a path that can be written. Received: {received or path}: {error.strerror}."
        ) from None


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


def below(folder: Path, name: str) -> Path:
    """The path of an image's name in a folder, for a picture of it.

    A list's images may lie outside of the list's folder. The `..` in their names must lead out of no other folder.
    """
    return folder.joinpath(*("_" if part == ".." else _shortened(part) for part in Path(name).parts if part != os.sep))


def _shortened(part: str) -> str:
    """A name that file systems take: both ends of a longer one, such as one with escapes, and a digest between them."""
    content = os.fsencode(part)
    if len(content) <= _LONGEST:
        return part
    digest = hashlib.sha256(content).hexdigest()[:8]
    return f"{content[:150].decode(errors='ignore')}-{digest}-{content[-50:].decode(errors='ignore')}"


def printable(name: Path | str | bytes) -> str:
    """A name from the disk as one line of text that can be written anywhere.

    Bytes that are not UTF-8, control characters and line separators become escapes such as `\\xe9` and `\\n`. Two names
    never become one: with an escape, or text like one, backslashes are doubled.
    """
    text = os.fsdecode(name)
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
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
    if 0xDC80 <= code <= 0xDCFF:  # Python's character for a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if category in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
    return character
