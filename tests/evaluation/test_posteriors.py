"""The mean of posteriors: NumPy's, and every mismatch named."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.many import few
from vgg_keras.errors import UserError
from vgg_keras.evaluation.posteriors import load, mean, save


def test_the_mean_equals_numpys(random):
    first = few(random)
    parts = [first, *(dataclasses.replace(first, probabilities=few(random).probabilities) for _ in range(6))]
    fused = mean(parts, list("abcdefg"))
    expected = np.mean([part.probabilities.astype(np.float64) for part in parts], axis=0)
    difference = np.abs(fused.probabilities - expected).max()
    print(f"mean of 7: largest difference {difference:.2g}")
    assert difference < 1e-7
    assert len(fused.nets) == 7 and fused.seconds == 7 * 1.5


def test_the_first_difference_is_named(random):
    first = few(random)
    done = first.done.copy()
    done[2] = False
    labels = (first.labels + (np.arange(7) == 4)) % 3
    renamed = dataclasses.replace(first, ids=(*first.ids[:3], "other.jpg", *first.ids[4:]))
    words = [first.classes[values[4]] for values in (first.labels, labels)]
    for other, message in (
        (
            dataclasses.replace(first, classes=("a", "b", "d")),
            r"a\.npz and b\.npz, where class 2 is 'c' in the first and 'd' in the other",
        ),
        (renamed, r"where image 3 is 'train/ü 3\.jpg' in the first and 'other\.jpg'"),
        (dataclasses.replace(first, ids=first.ids[:6]), r"where image 6 is 'train/ü 6\.jpg' in the first and none"),
        (
            dataclasses.replace(first, labels=labels),
            f"'train/ü 4.jpg' is of class '{words[0]}' and of class '{words[1]}'",
        ),
        (dataclasses.replace(first, done=done), r"b\.npz, with 6 of 7 images\. Run its evaluation again"),
    ):
        with pytest.raises(UserError, match=message):
            mean([first, other], ["a.npz", "b.npz"])


def test_the_mean_of_large_ones_equals_numpys(random, tmp_path, small_memory):
    first = few(random, images=50)
    arrays = [first.probabilities, *(few(random, images=50).probabilities for _ in range(2))]
    for place, array in enumerate(arrays):
        save(dataclasses.replace(first, probabilities=array), tmp_path / f"{place}.npz")
    parts = [load(tmp_path / f"{place}.npz") for place in range(3)]
    fused = mean(parts, list("abc"), tmp_path)
    assert isinstance(fused.probabilities, np.memmap) and len(list(tmp_path.iterdir())) == 3
    assert np.abs(fused.probabilities - np.mean(arrays, axis=0, dtype=np.float64)).max() < 1e-7
