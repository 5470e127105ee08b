"""The offsets of the records of a TFRecord file."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.data.tfrecords import record_offsets
from vgg_keras.errors import UserError


def test_record_offsets_find_every_record_and_a_cut_file(tmp_path, random):
    path = tmp_path / "records"
    sizes = [0, 5, 300, *random.integers(0, 70_000, 200).tolist()]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in sizes:
            writer.write(b"x" * size)
    expected = np.cumsum([0, *(size + 16 for size in sizes[:-1])]).tolist()
    assert record_offsets(str(path)) == expected
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"records@{expected[-1]}, cut short"):
        record_offsets(str(path))
