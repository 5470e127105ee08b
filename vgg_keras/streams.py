"""The standard streams of a command: closed ones (`>&-`), and ones whose reader is gone (`| head -1`).

A command ends quietly when nobody reads its output any more. A training goes on without its output, since its results are in
its folder.
"""

import errno
import io
import os
import sys

STREAM = "standard output"  # as the file's name in its errors
_GONE = {errno.EPIPE, errno.EIO}  # EIO: of a terminal that was closed


def prepare(goes_on: bool) -> None:
    """Makes the standard streams safe to write to, whatever text it is.

    Args:
        goes_on: whether the process goes on when nobody reads its standard output any more. If not, a write to it raises
            `BrokenPipeError`, and a write without room `OSError`. An error of standard error never ends the process.
    """
    _open_closed()
    sys.stdout = _wrapped(sys.stdout, 1, goes_on)
    sys.stderr = _wrapped(sys.stderr, 2, goes_on=True)


def _open_closed() -> None:
    """Opens the null device in the place of each closed stream.

    Otherwise the next file that is opened would get its number, and what a library prints would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number, which is this one


def _wrapped(stream, number: int, goes_on: bool):
    if stream is None:  # closed when Python started
        return open(os.devnull, "w")
    if stream is not (sys.__stdout__, sys.__stderr__)[number - 1]:  # another library's, such as pytest's
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(number, goes_on)),
        encoding=stream.encoding,
        errors="backslashreplace",  # a path need not be UTF-8, nor the terminal's encoding have all of it
        line_buffering=stream.line_buffering or stream.write_through,
    )


class _Output(io.FileIO):
    """A standard stream that becomes the null device once its reader is gone, or once its error ends the command."""

    def __init__(self, number: int, goes_on: bool):
        super().__init__(number, "w", closefd=False)
        self._goes_on = goes_on

    def write(self, content) -> int | None:
        try:
            return super().write(content)
        except OSError as error:
            gone, failed = error.errno in _GONE, error
        if self._goes_on and not gone:  # such as a log on a full disk, which may have room again later
            return len(content)
        null = os.open(os.devnull, os.O_WRONLY)  # what is still in buffers must not fail again at the end
        os.dup2(null, self.fileno())
        os.close(null)
        if self._goes_on:
            return len(content)
        if gone:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), STREAM)
        raise OSError(failed.errno, failed.strerror, STREAM)
