"""Posteriors on disk and their mean: nothing changed by the way, and every mismatch named."""

import dataclasses
import json
import os

import numpy as np
import pytest

from tests.conftest import NET
from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.evaluation.posteriors import Posteriors, load, mean, save


def posteriors(random, images=7, classes=("a", "b", "c")):
    probabilities = random.dirichlet(np.ones(len(classes)), images).astype(np.float32)
    return Posteriors(
        probabilities=probabilities,
        labels=random.integers(0, len(classes), images).astype(np.int32),
        ids=tuple(f"train/ü {image}.jpg" for image in range(images)),
        fingerprints=np.arange(images),
        classes=classes,
        nets=(NET,),
        done=np.ones(images, np.bool_),
        seconds=1.5,
    )


def test_what_is_saved_comes_back(random, tmp_path):
    saved = posteriors(random)
    save(saved, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    for name, expected in vars(saved).items():
        value = getattr(found, name)
        assert np.array_equal(value, expected) if isinstance(value, np.ndarray) else value == expected, name


def test_the_mean_equals_numpys(random):
    first = posteriors(random)
    parts = [first, *(dataclasses.replace(first, probabilities=posteriors(random).probabilities) for _ in range(6))]
    fused = mean(parts, list("abcdefg"))
    expected = np.mean([part.probabilities.astype(np.float64) for part in parts], axis=0)
    difference = np.abs(fused.probabilities - expected).max()
    print(f"mean of 7: largest difference {difference:.2g}")
    assert difference < 1e-7
    assert len(fused.nets) == 7 and fused.seconds == 7 * 1.5


def test_the_first_difference_is_named(random):
    first = posteriors(random)
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


def test_other_files_are_refused_and_nothing_in_them_is_run(random, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    good = posteriors(random)
    save(good, tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    np.savez(tmp_path / "pickle.npz", description=np.array([Trap()], object))
    np.savez(tmp_path / "bare.npz", probabilities=good.probabilities)
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.npz").write_text("<html>")
    (tmp_path / "empty.npz").write_bytes(b"")
    flipped = bytearray(content)
    flipped[200] ^= 16  # in the probabilities
    (tmp_path / "flipped.npz").write_bytes(flipped)
    save(dataclasses.replace(good, probabilities=good.probabilities * 2), tmp_path / "doubled.npz")
    save(dataclasses.replace(good, labels=good.labels + 3), tmp_path / "labels.npz")
    save(dataclasses.replace(good, ids=good.ids[1:]), tmp_path / "ids.npz")
    negative = good.probabilities + np.array([[-2, 1, 1]], np.float32)
    save(dataclasses.replace(good, probabilities=negative), tmp_path / "negative.npz")
    save(dataclasses.replace(good, nets=()), tmp_path / "nets.npz")
    description = {"ids": good.ids, "classes": good.classes, "nets": [{"model": "a"}], "seconds": 1.0}
    arrays = {name: getattr(good, name) for name in ("probabilities", "labels", "fingerprints", "done")}
    np.savez(tmp_path / "net.npz", description=np.frombuffer(json.dumps(description).encode(), np.uint8), **arrays)
    for name in [
        "pickle",
        "bare",
        "cut",
        "text",
        "empty",
        "flipped",
        "doubled",
        "labels",
        "ids",
        "negative",
        "nets",
        "net",
    ]:
        with pytest.raises(UserError, match=f"Posteriors are .npz files of an evaluation. Received: .*{name}.npz"):
            load(tmp_path / f"{name}.npz")
    assert not (tmp_path / "run").exists()
    _assert_damage_is_noticed_or_harmless(content, good.probabilities, tmp_path / "damaged.npz", step=7)
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "none.npz")
    with pytest.raises(UserError, match=r"Received: .*, a folder$"):
        load(tmp_path)
    save(good, tmp_path / "posteriors.npz")
    with pytest.raises(UserError, match=r", a folder\. Did you mean .*/posteriors\.npz\?$"):
        load(tmp_path)


def test_what_is_no_regular_file_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for name in ("fifo.npz", "zero.npz"):
        with pytest.raises(UserError, match=rf"{name}, which is no file"):
            load(tmp_path / name)


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 50)
    monkeypatch.setattr(rows, "BLOCK", 4 * 3 * 2)


def test_numpy_reads_what_is_saved(random, tmp_path):
    saved = posteriors(random)
    save(saved, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["probabilities"], saved.probabilities)
        assert arrays["probabilities"].dtype == np.float32 and not np.isfortran(arrays["probabilities"])
    by_columns = dataclasses.replace(saved, probabilities=np.asfortranarray(saved.probabilities))
    save(by_columns, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_large_ones_are_read_where_they_lie_and_every_damage_is_noticed(random, tmp_path, small_memory):
    saved = posteriors(random)
    save(saved, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    assert isinstance(found.probabilities, np.memmap) and np.array_equal(found.probabilities, saved.probabilities)
    content = (tmp_path / "a.npz").read_bytes()
    save(dataclasses.replace(saved, probabilities=saved.probabilities[::-1]), tmp_path / "a.npz")
    assert np.array_equal(found.probabilities, saved.probabilities)  # of the file that was opened
    _assert_damage_is_noticed_or_harmless(content, saved.probabilities, tmp_path / "damaged.npz", step=5)
    for change in (2.0, -1.0):
        save(dataclasses.replace(saved, probabilities=saved.probabilities * change), tmp_path / "b.npz")
        with pytest.raises(UserError, match="rows that are no probabilities"):
            load(tmp_path / "b.npz")


def test_the_mean_of_large_ones_equals_numpys(random, tmp_path, small_memory):
    first = posteriors(random, images=50)
    arrays = [first.probabilities, *(posteriors(random, images=50).probabilities for _ in range(2))]
    for place, array in enumerate(arrays):
        save(dataclasses.replace(first, probabilities=array), tmp_path / f"{place}.npz")
    parts = [load(tmp_path / f"{place}.npz") for place in range(3)]
    fused = mean(parts, list("abc"), tmp_path)
    assert isinstance(fused.probabilities, np.memmap) and len(list(tmp_path.iterdir())) == 3
    assert np.abs(fused.probabilities - np.mean(arrays, axis=0, dtype=np.float64)).max() < 1e-7


def _assert_damage_is_noticed_or_harmless(content, probabilities, path, step):
    """One bit of every `step`-th byte is flipped: `load` refuses the file in one line, or reads the same numbers."""
    for place in range(0, len(content), step):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert np.array_equal(load(path).probabilities, probabilities)
        except UserError as error:
            assert "\n" not in str(error)
