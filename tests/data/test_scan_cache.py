"""The cache of the scan: what was written is read again, and a damaged file is an empty cache."""

import io

import numpy as np
import pytest

from vgg_keras.data.scan_cache import Found, ScanCache

GOOD = Found(fingerprint=2**62, orientation=6, height=40, width=50, jpeg=True, label=3)


@pytest.fixture
def path(tmp_path):
    cache = ScanCache(tmp_path / "scan.npz")
    cache.good, cache.bad = {1: GOOD, 2**64 - 1: GOOD._replace(label=-1)}, {5: "no image"}
    cache.write([1, 5, 2**64 - 1, 7])
    return cache.path


def test_what_was_written_is_read_again_and_only_for_images_that_still_exist(path):
    cache = ScanCache(path)
    assert cache.good == {1: GOOD, 2**64 - 1: GOOD._replace(label=-1)} and cache.bad == {5: "no image"}
    cache.write([1])
    assert ScanCache(path).good == {1: GOOD} and ScanCache(path).bad == {}


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
    assert ScanCache(path).good == {} and ScanCache(path).bad == {}
