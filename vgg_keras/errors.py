"""The exceptions for users, the exit statuses of commands, and how a message names what was meant."""

import difflib
import typing
from typing import Any

from vgg_keras import synonyms

# Exit statuses beside 0.
WRONG_USE = 2  # a UserError, printed in one line
LOST = 69  # a worker of several is gone: start all again, and the same command resumes from the last checkpoint
NO_ROOM = 74  # a write failed, as on a full disk; what was saved before is kept: with room the same command resumes
INTERRUPTED = 75  # stopped by SIGTERM or Ctrl-C with everything saved: the same command resumes
UNREAD = 141  # nobody reads standard output any more: a shell's status for a process that SIGPIPE ended


class UserError(ValueError):
    """A mistake that the user can correct: the command line prints it as one line, without a traceback."""


def described(value: Any) -> str:
    """A value for a message, in one short line: its type, and the beginning of its text."""
    return "None" if value is None else f"{type(value).__name__} {' '.join(repr(value).split())[:40]}"


def nearest(received: str, known: typing.Iterable[str]) -> str:
    """A sentence that names the known word nearest to `received`, or all of them if none is near."""
    known = sorted(known)
    matches = difflib.get_close_matches(received, known, n=1)
    return f"Did you mean {matches[0]!r}?" if matches else f"Known: {', '.join(known)}."


def nearest_configuration(received: str, known: typing.Iterable[str], batch_norm: str) -> str:
    """The same for a net by the names of other packages: VGG16, vgg19_bn, d.

    Args:
        received: the name.
        known: the names that may be given.
        batch_norm: the setting that gives a net batch normalisation, for the message.
    """
    known = list(known)
    same = [name for name in known if synonyms.plain(name) == synonyms.plain(received)]
    meant = synonyms.configuration(received)
    if not same and meant and meant[0] in known:
        return f"Did you mean {meant[0]!r}{f' with {batch_norm}' if meant[1] else ''}?"
    return f"Did you mean {same[0]!r}?" if same else nearest(received, known)


def unknown_argument(function: str, received: str, value: Any, arguments: typing.Iterable[str]) -> UserError:
    """The error of a function that has no argument of this name; the package's own name for it is named.

    Args:
        function: its name, for the message.
        received: the argument's name.
        value: of it.
        arguments: that the function takes.
    """
    arguments = list(arguments)
    ours = synonyms.FIELDS.get(synonyms.plain(received), "").rpartition(".")[2]
    hint = f"Did you mean {ours!r}?" if ours in arguments else nearest(received, arguments)
    if ours == "crop" and ours in arguments and (fields := synonyms.input_of(value)):
        meant = ", ".join(f"{name}={number}" for name, number in fields.items())
        hint = f"Did you mean {meant}? Inputs are square."
    return UserError(f"{function} takes arguments that it knows. Received: {received}=... {hint}")


class DiskFullError(OSError):
    """A write of a file, which it names, found no room, or the disk failed."""


class StoppedError(Exception):
    """Work stopped on request, with everything saved; the message names the command that resumes."""


class WorkerLostError(Exception):
    """A worker, which the message names, is gone or never came. The others cannot go on without it: all start again."""
