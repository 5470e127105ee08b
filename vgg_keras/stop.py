"""SIGTERM and Ctrl-C as a request to stop: long work checks for it where nothing is half done, saves and ends.

An exception raised by the signal itself could land in any library's callback, which may swallow it, or amid a write.
A process that another command has started with `environment` takes the end of that command, by SIGKILL too, as a request.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from vgg_keras.errors import StoppedError

PARENT = "VGG_KERAS_PARENT"  # the number of the process that a command ends with
POLL_SECONDS = 1.0

_requested = False


def listen(hangup: bool = False) -> None:
    """From now on the first signal is a request; a second Ctrl-C ends the process at once.

    Args:
        hangup: whether a terminal that is closed asks for a stop too, unless the command was begun with nohup.
    """
    if hangup and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _receive)
    signal.signal(signal.SIGTERM, _receive)
    signal.signal(signal.SIGINT, _receive)
    if parent := os.environ.pop(PARENT, None):  # not for the processes that this one starts
        threading.Thread(target=_follow, args=(int(parent),), daemon=True).start()


def environment() -> dict[str, str]:
    """The environment of a command that is to save and stop when this process is gone: nobody else would stop it."""
    return {**os.environ, PARENT: str(os.getpid())}


def requested() -> bool:
    """Whether to save and stop."""
    return _requested


def raise_if_requested() -> None:
    """Raises `StoppedError` if a stop is requested. To be called where nothing is half done."""
    if _requested:
        raise StoppedError("stopped; the same command resumes")


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """For a library's work that takes hours, keeps nothing when it is stopped and cleans up: a request ends it where it is.

    Raises:
        StoppedError: at a request. Without `listen` signals do what they did before.
    """
    every = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    numbers = [number for number in every if signal.getsignal(number) is _receive]
    try:
        raise_if_requested()
        for number in numbers:
            signal.signal(number, _interrupt)
        yield
    except KeyboardInterrupt:
        if not numbers:
            raise
        raise_if_requested()
    finally:
        for number in numbers:
            signal.signal(number, _receive)


def _interrupt(number, frame):
    global _requested
    _requested = True
    raise KeyboardInterrupt  # no Exception, which a library may take for a failure and try again


def _follow(parent: int) -> None:
    global _requested
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    _requested = True  # no signal: of several workers TensorFlow has its own handler until `listen` is called again


def _receive(number, frame):
    global _requested
    if _requested and number == signal.SIGINT:
        raise KeyboardInterrupt
    _requested = True
