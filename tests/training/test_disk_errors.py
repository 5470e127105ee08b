"""A full disk, as TensorFlow reports it, is an error of the file."""

import errno

import pytest
import tensorflow as tf

from vgg_keras.errors import DiskFullError
from vgg_keras.training.disk_errors import writing_by_tensorflow


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "events.out; No space left on device"), errno.ENOSPC),
        (tf.errors.OutOfRangeError(None, None, "events.out; File too large"), errno.ENOSPC),
        (tf.errors.UnknownError(None, None, "events.out; Input/output error"), errno.EIO),
    ],
)
def test_an_error_of_tensorflow_becomes_that_of_the_file(tmp_path, error, number):
    with pytest.raises(DiskFullError) as caught, writing_by_tensorflow(tmp_path / "tensorboard"):
        raise error
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "tensorboard"))
    assert caught.value.strerror == error.message.split("; ")[-1]


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(KeyError), writing_by_tensorflow(tmp_path / "tensorboard"):
        raise KeyError("a mistake of ours")
