"""How an error ends a command: a line on standard error and an exit status."""

import sys

from vgg_keras import streams
from vgg_keras.errors import INTERRUPTED, LOST, NO_ROOM, UNREAD, WRONG_USE, DiskFullError, UserError, WorkerLostError
from vgg_keras.files import FULL

_ONE_LINE = {place: repr(chr(place))[1:-1] for place in range(32)}  # a path may hold line breaks


def status_of(error: BaseException) -> int:
    """Prints why a command ends, in one line, and returns its exit status; raises an error that is none of a user's."""
    if isinstance(error, UserError):
        return refused(str(error))
    if isinstance(error, WorkerLostError):
        print(f"lost: {error}", file=sys.stderr)
        return LOST
    if not isinstance(error, OSError):  # SIGTERM or Ctrl-C
        print(str(error) or "stopped", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) and error.filename == streams.STREAM:
        return UNREAD
    if error.errno is None:  # not the system's, but some library's
        raise error
    received = f"Received: {error.filename or 'a file'}: {error.strerror}"
    if _no_room(error):
        return refused(
            f"There must be room for what is written. {received}. "
            "What was saved before is kept: make room, and the same command resumes.",
            NO_ROOM,
        )
    return refused(f"Files and folders must exist and allow their use. {received}")


def is_mistake(error: BaseException) -> bool:
    """Whether `status_of` takes an error for a user's mistake, such as a file that cannot be read."""
    of_the_system = isinstance(error, OSError) and error.errno is not None
    return isinstance(error, UserError) or (of_the_system and not _no_room(error))


def _no_room(error: OSError) -> bool:
    return isinstance(error, DiskFullError) or error.errno in FULL


def refused(message: str, status: int = WRONG_USE) -> int:
    """Prints an error in one line and returns the status."""
    print(f"error: {message.translate(_ONE_LINE)}", file=sys.stderr)
    return status
