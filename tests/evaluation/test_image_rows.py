"""Rows of images on disk, posteriors as an example: nothing changed by the way, and other files refused."""

import dataclasses
import json
import os

import numpy as np
import pytest

from tests.evaluation.many import few
from vgg_keras.errors import UserError
from vgg_keras.evaluation.posteriors import load, save


def test_what_is_saved_comes_back(random, tmp_path):
    saved = few(random)
    save(saved, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    for name, expected in vars(saved).items():
        value = getattr(found, name)
        assert np.array_equal(value, expected) if isinstance(value, np.ndarray) else value == expected, name


@pytest.mark.slow
def test_other_files_are_refused_and_nothing_in_them_is_run(random, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    good = few(random)
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


def test_numpy_reads_what_is_saved(random, tmp_path):
    saved = few(random)
    save(saved, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["probabilities"], saved.probabilities)
        assert arrays["probabilities"].dtype == np.float32 and not np.isfortran(arrays["probabilities"])
    by_columns = dataclasses.replace(saved, probabilities=np.asfortranarray(saved.probabilities))
    save(by_columns, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.slow
def test_large_ones_are_read_where_they_lie_and_every_damage_is_noticed(random, tmp_path, small_memory):
    saved = few(random)
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
