"""Stamps of images: one for each file as it is, another for each way in which it may change."""

import os

import numpy as np

from vgg_keras.data import stamps as module
from vgg_keras.data.stamps import stamps

PATHS = [f"photos/{place:04}.jpg" for place in range(1000)]


def test_every_change_of_a_file_changes_its_stamp_and_no_others():
    sizes, times = np.arange(1000) * 7, np.full(1000, 1_700_000_000_123_456_789)
    before = stamps(PATHS, sizes, times)
    assert before.dtype == np.uint64 and len(set(before.tolist())) == 1000
    assert np.array_equal(stamps(PATHS, sizes, times), before)  # the next scan knows them
    renamed = [*PATHS[:5], "photos/other.jpg", *PATHS[6:]]
    larger, later = sizes.copy(), times.copy()
    larger[5] += 1
    later[5] += 1  # a nanosecond
    for changed in (stamps(renamed, sizes, times), stamps(PATHS, larger, times), stamps(PATHS, sizes, later)):
        assert np.flatnonzero(changed != before).tolist() == [5]


def test_sizes_and_times_of_one_path_do_not_meet():
    """Near numbers in both columns, as of files that are written again and again: 90,000 pairs, each with its own stamp."""
    sizes, times = (axis.ravel() for axis in np.meshgrid(np.arange(300), 1_700_000_000_000_000_000 + np.arange(300)))
    found = stamps(["a.jpg"] * len(sizes), sizes, times)
    assert len(np.unique(found)) == len(sizes)
    assert stamps(["a.jpg"], np.array([1]), np.array([2])) != stamps(["a.jpg"], np.array([2]), np.array([1]))


def test_a_stamp_is_the_same_wherever_its_text_lies(monkeypatch):
    whole = stamps(PATHS, np.arange(1000))
    monkeypatch.setattr(module, "_PART", 7)  # texts that are hashed at once
    assert np.array_equal(stamps(PATHS, np.arange(1000)), whole)
    assert np.array_equal(stamps(PATHS[::-1], np.arange(1000)[::-1]), whole[::-1])


def test_names_that_are_no_text_have_stamps_too():
    names = [os.fsdecode(b"caf\xe9.jpg"), "caf\u00e9.jpg", "caf\\xe9.jpg", ""]
    assert len(set(stamps(names).tolist())) == 4
    assert stamps([]).size == 0
