"""Rows that are too many for the memory: the same numbers out of a file, and nothing of it that stays."""

import errno
import os

import numpy as np
import pytest

from vgg_keras.errors import DiskFullError
from vgg_keras.evaluation import rows


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 100)
    monkeypatch.setattr(rows, "BLOCK", 4 * 5 * 7)  # 7 rows of 5 classes


def test_many_rows_are_a_file_without_a_name_and_few_are_not(tmp_path, small_memory):
    assert not isinstance(rows.zeros((5, 5), tmp_path), np.memmap)
    many = rows.zeros((6, 5), tmp_path)
    assert isinstance(many, np.memmap) and not many.any() and list(tmp_path.iterdir()) == []


def test_what_is_written_stays_when_its_memory_is_given_back(tmp_path, small_memory, random):
    expected = random.uniform(size=(100, 5)).astype(np.float32)
    array = rows.zeros(expected.shape, tmp_path)
    for place in random.permutation(100):
        array[place] = expected[place]
        rows.release(array)
    assert np.array_equal(array, expected)
    found = [(part.start, part.stop, block.copy()) for part, block in rows.blocks(array)]
    assert [(first, last) for first, last, _ in found] == [(n, min(n + 7, 100)) for n in range(0, 100, 7)]
    assert np.array_equal(np.concatenate([block for _, _, block in found]), expected)
    columns = [(place.stop - place.start, block) for place, block in rows.columns(array)]
    assert [count for count, _ in columns] == [1] * 5 and np.array_equal(
        np.concatenate([block for _, block in columns], axis=1), expected
    )
    other = rows.copy(array, tmp_path)
    other[3] = 0
    assert np.array_equal(array, expected) and np.array_equal(np.delete(other, 3, 0), np.delete(expected, 3, 0))


def test_a_full_disk_is_an_error_and_not_a_signal(tmp_path, small_memory, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError, match="No space left"):
        rows.zeros((60, 5), tmp_path)
