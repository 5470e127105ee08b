"""A full disk, as TensorFlow reports it: by errors of its own, of which one also means that the memory is full."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from vgg_keras.data.errors import message_of
from vgg_keras.errors import DiskFullError
from vgg_keras.files import writing


@contextlib.contextmanager
def writing_by_tensorflow(path: Path) -> Iterator[None]:
    """`files.writing` for work in which TensorFlow writes `path` and does nothing else that could fail.

    Raises:
        DiskFullError: there was no room for it.
    """
    try:
        with writing(path):
            yield
    except tf.errors.OpError as error:  # of the system, passed on by TensorFlow
        full = isinstance(error, tf.errors.ResourceExhaustedError | tf.errors.OutOfRangeError)
        raise DiskFullError(
            errno.ENOSPC if full else errno.EIO, message_of(error).split("; ")[-1], str(path)
        ) from error
