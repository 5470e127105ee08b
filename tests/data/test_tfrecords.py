"""The offsets of the records of a TFRecord file."""

import os

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
    assert record_offsets(str(path)) == record_offsets(str(path), len(sizes)) == expected
    with pytest.raises(
        UserError, match=r"records with 203 of 204\. Put the file back"
    ):  # cut short between two records
        record_offsets(str(path), 204)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"records@{expected[-1]}, cut short"):
        record_offsets(str(path))


def test_what_is_no_regular_file_is_neither_waited_for_nor_a_set_without_records(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "empty").touch()
    for name in ("fifo", "zero"):
        with pytest.raises(OSError, match="a FIFO, a socket or a device"):
            record_offsets(str(tmp_path / name))
    with pytest.raises(UserError, match=r"empty with 0 of 3\."):
        record_offsets(str(tmp_path / "empty"), 3)
