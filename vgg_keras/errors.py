"""The exceptions that a user meets, the exit statuses they end a command with, and how a message names what was meant."""

import difflib
import typing
from typing import Any

from vgg_keras import synonyms

# Exit statuses beside 0.
WRONG_USE = 2  # a UserError, said in one line
LOST = 69  # a worker of several is gone: all start again, and the same command goes on from the last checkpoint
NO_ROOM = 74  # a write failed, as on a full disk; what was saved before stands: with room the same command goes on
INTERRUPTED = 75  # stopped by SIGTERM or Ctrl-C with everything saved: the same command goes on
UNREAD = 141  # nobody reads standard output any more: what a shell reports of a process that SIGPIPE ended


class UserError(ValueError):
    """A mistake that its reader can mend: the command line prints it as one line, without a traceback."""


def nearest(received: str, known: typing.Iterable[str]) -> str:
    """A sentence that names the known word most like `received`, or all of them where none is like it."""
    known = sorted(known)
    matches = difflib.get_close_matches(received, known, n=1)
    return f"Did you mean {matches[0]!r}?" if matches else f"Known: {', '.join(known)}."


def nearest_configuration(received: str, known: typing.Iterable[str], batch_norm: str) -> str:
    """The same for a net, by whatever name it goes elsewhere: VGG16, vgg19_bn, d.

    Args:
        received: the name.
        known: those that may be given.
        batch_norm: what gives a net batch normalisation there.
    """
    known = list(known)
    same = [name for name in known if synonyms.plain(name) == synonyms.plain(received)]
    meant = synonyms.configuration(received)
    if not same and meant and meant[0] in known:
        return f"Did you mean {meant[0]!r}{f' with {batch_norm}' if meant[1] else ''}?"
    return f"Did you mean {same[0]!r}?" if same else nearest(received, known)


def unknown_argument(function: str, received: str, value: Any, arguments: typing.Iterable[str]) -> UserError:
    """The error of a function that does not take an argument of this name; ours for the same is named.

    Args:
        function: its name, as the message prints it.
        received: the argument's name.
        value: of it.
        arguments: that the function takes.
    """
    arguments = list(arguments)
    ours = synonyms.FIELDS.get(synonyms.plain(received), "").rpartition(".")[2]
    hint = f"Did you mean {ours!r}?" if ours in arguments else nearest(received, arguments)
    if ours == "crop" and ours in arguments and (side := synonyms.side_of(value)):
        hint = f"Did you mean crop={side}? Inputs are square RGB images."
    return UserError(f"{function} takes arguments that it knows. Received: {received}=... {hint}")


class DiskFullError(OSError):
    """A write found no room for a file, which it names, or the disk failed, which `EIO` alone says of reads too."""


class StoppedError(Exception):
    """Work stopped in order; its words say how to go on."""


class WorkerLostError(Exception):
    """A worker is gone or never came; its words name it. The others cannot go on without it: all start again."""
