"""SIGTERM and Ctrl-C as a wish: long work looks whether it was uttered, puts its things in order and stops.

An exception raised by the signal itself could land in anybody's callback, which may swallow it, or amid a write.
"""

import signal

from vgg_keras.errors import StoppedError

_requested = False


def listen() -> None:
    """From now on the first signal is a wish; a second Ctrl-C stops the process at once."""
    signal.signal(signal.SIGTERM, _receive)
    signal.signal(signal.SIGINT, _receive)


def requested() -> bool:
    """Whether to save and stop."""
    return _requested


def raise_if_requested() -> None:
    """A place where nothing is half done: raises `StoppedError` where that is wished."""
    if _requested:
        raise StoppedError("stopped; the same command goes on where it stood")


def _receive(number, frame):
    global _requested
    if _requested and number == signal.SIGINT:
        raise KeyboardInterrupt
    _requested = True
