"""The cache of the scan: what was written is read again, once, and a damaged file is an empty cache."""

import io
import os

import numpy as np
import pytest

from vgg_keras.data import scan_cache
from vgg_keras.data.scan_cache import ROW, ScanCache

STAMPS = np.array([2**64 - 1, 1, 7], np.uint64)
ROWS = np.array([(2**62, 6, 40, 50, True, -1), (5, 1, 4, 3, False, 3), (0, 1, 1, 1, True, 0)], ROW)


@pytest.fixture
def path(tmp_path):
    cache = ScanCache(tmp_path / "scan.npz")
    cache.write(STAMPS, ROWS, {5: "no image"})
    return tmp_path / "scan.npz"


def known(path, *stamps):
    rows, good = ScanCache(path).known(np.array(stamps, np.uint64))
    return rows[good].tolist(), good.tolist()


def test_what_was_written_is_read_again_and_only_for_images_that_still_exist(path):
    assert known(path, 1, 3, 2**64 - 1) == ([ROWS[1].item(), ROWS[0].item()], [True, False, True])
    cache = ScanCache(path)
    assert cache.bad == {5: "no image"} and len(cache) == 4
    cache.write(STAMPS[1:2], ROWS[1:2], {})
    assert known(path, 1, 7) == ([ROWS[1].item()], [True, False]) and ScanCache(path).bad == {}


def test_an_interrupted_scan_writes_what_is_new_once_and_the_end_makes_one_file_of_it(path):
    cache = ScanCache(path)
    sizes = []
    for start in range(0, 3000, 1000):  # three minutes
        stamps = np.arange(100 + start, 1100 + start).astype(np.uint64)
        cache.add(stamps[:500], np.repeat(ROWS[1:2], 500))
        cache.add(stamps[500:], np.repeat(ROWS[1:2], 500))
        cache.add_bad(start + 10_000, "cut short")
        cache.save()
        cache.save()  # nothing is new
        sizes.append(sorted(one.stat().st_size for one in path.parent.glob("scan.part-*.npz")))
    assert [len(one) for one in sizes] == [1, 2, 3] and sizes[2][-1] < 1.1 * sizes[0][0]
    again = ScanCache(path)
    assert len(again) == 3 + 1 + 3000 + 3 and again.bad[12_000] == "cut short"
    assert again.known(np.array([100, 3099, 3100, 7], np.uint64))[1].tolist() == [True, True, False, True]
    again.write(STAMPS, ROWS, {5: "no image"})
    assert [one.name for one in path.parent.iterdir()] == ["scan.npz"] and known(path, 1, 100)[1] == [True, False]


def test_an_end_that_cannot_be_written_keeps_what_was_saved_on_the_way(path, monkeypatch, capsys):
    cache = ScanCache(path)
    cache.add(np.array([100], np.uint64), ROWS[1:2])
    cache.save()

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scan_cache, "replacing", full)
    cache.write(np.array([100], np.uint64), ROWS[1:2], {})
    monkeypatch.undo()
    assert "cannot be kept (runtime.cache_dir)" in capsys.readouterr().err
    assert known(path, 100, 1)[1] == [True, True]


def test_an_image_that_is_not_known_has_no_row_of_another(path):
    rows, good = ScanCache(path).known(np.array([2, 7, 8], np.uint64))
    assert good.tolist() == [False, True, False] and rows.tolist() == [(0,) * 6, ROWS[2].item(), (0,) * 6]


def without_sizes(content):
    """A cache as it was before sizes were kept."""
    arrays = dict(np.load(io.BytesIO(content)))
    found, written = arrays.pop("found"), io.BytesIO()
    np.savez(written, fingerprints=found["fingerprint"], orientations=found["orientation"], **arrays)
    return written.getvalue()


@pytest.mark.parametrize(
    "damage", [lambda content: b"no archive", lambda content: content[:100], lambda content: b"", without_sizes]
)
def test_a_damaged_file_is_an_empty_cache(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    assert len(ScanCache(path)) == 0 and known(path, 1) == ([], [False])


def test_what_is_no_regular_file_is_an_empty_cache(path):
    path.unlink()
    os.mkfifo(path)
    assert len(ScanCache(path)) == 0


def test_a_file_with_a_bit_flipped_in_its_directory_is_a_cache(path):
    """A bit may say that a file is encrypted, or packed in some other way."""
    content, read = path.read_bytes(), set()
    entry = content.index(b"PK\x01\x02")
    for bit in range(8 * (entry + 4), 8 * (entry + 12)):  # versions, flags, the way of packing
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        read.add(len(ScanCache(path)))
    assert read == {0, 4}
