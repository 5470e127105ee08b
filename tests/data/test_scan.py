"""Bad images among good ones: skipped, named, remembered, and too many refused."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.conftest import write_images
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import scan
from vgg_keras.data.scan_cache import ScanCache
from vgg_keras.data.sources import open_source
from vgg_keras.errors import StoppedError, UserError

BAD = {  # and a link to nowhere, and a name that is no UTF-8
    "truncated.jpg": lambda good: good[: len(good) // 2],
    "page.jpg": lambda good: b"<html>not found</html>",
    "empty.png": lambda good: b"",
}


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 20)
    good = (tmp_path / "photos" / "cat" / "000.jpg").read_bytes()
    for name, spoil in BAD.items():
        (tmp_path / "photos" / "cat" / name).write_bytes(spoil(good))
    (tmp_path / "photos" / "cat" / "link.jpg").symlink_to("/no/such/file.jpg")
    (tmp_path / "photos" / "dog" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"no image either")
    return tmp_path / "photos"


def look(photos, fraction=0.2):
    config = Config(
        data=Data(source=str(photos), max_bad_fraction=fraction),
        runtime=Runtime(cache_dir=str(photos.parent / "cache")),
    )
    return scan.without_bad_images(open_source(config.data), config)


def test_bad_images_are_named_and_no_good_one_is_lost(photos):
    source, bad = look(photos)
    assert {Path(image.name).name for image in bad} == {*BAD, "link.jpg", "caf\\xe9.jpg"}
    assert all(image.reason for image in bad)
    names = [split.path(image) for split in (source.train, source.val) for image in range(split.size)]
    assert sorted(names) == sorted(str(path) for path in photos.rglob("0*.jpg"))  # the forty good ones
    for split in (source.train, source.val):
        for image in range(split.size):
            encoded, label = split.read(tf.constant(image, tf.int64))
            assert encoded.numpy() == Path(split.path(image)).read_bytes()
            assert int(label) == ("dog" in split.name(image))


def test_only_new_and_changed_files_are_looked_at_again(photos, monkeypatch):
    look(photos)
    seen = []
    decoded = scan._inspect_chunk

    def noted(split, content, images, max_pixels):
        seen.extend(split.name(image) for image in images)
        return decoded(split, content, images, max_pixels)

    monkeypatch.setattr(scan, "_inspect_chunk", noted)
    _, bad = look(photos)
    assert not seen and len(bad) == 5
    shutil.copy(photos / "cat" / "000.jpg", photos / "cat" / "page.jpg")  # mended
    (photos / "dog" / "001.jpg").write_bytes(b"spoilt")
    _, bad = look(photos)
    assert sorted(seen) == ["cat/page.jpg", "dog/001.jpg"]
    assert {Path(image.name).name for image in bad} == {
        "truncated.jpg",
        "empty.png",
        "001.jpg",
        "link.jpg",
        "caf\\xe9.jpg",
    }


FAILURES = [
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnknownError,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_to_open_a_file_is_not_kept(photos, monkeypatch, failure):
    """The next run tries again, though the file is as it was; what was found of the others is kept."""
    victim = str(photos / "dog" / "001.jpg")
    read_file = tf.io.read_file

    def failing(path):
        def read(path):
            if path.decode(errors="replace") == victim:
                raise failure(None, None, f"{victim}; the disk is away")
            return path

        if tf.executing_eagerly():
            return read_file(tf.constant(read(path.numpy())))
        return read_file(tf.ensure_shape(tf.numpy_function(read, [path], tf.string), []))

    monkeypatch.setattr(tf.io, "read_file", failing)
    _, bad = look(photos)
    assert [image.reason for image in bad if image.name == victim] == ["the disk is away"]
    monkeypatch.undo()
    source, bad = look(photos)
    assert len(bad) == 5 and victim in [source.train.path(image) for image in range(source.train.size)]


def test_too_little_memory_to_decode_is_no_verdict_and_too_little_content_is(photos, monkeypatch):
    content, errors = scan._content, {}

    def failing(encoded, label, max_pixels):
        if tf.executing_eagerly() and (error := errors.get(encoded.numpy())):
            raise error
        return content(encoded, label, max_pixels)

    monkeypatch.setattr(scan, "_content", failing)
    for name, error in (("001", tf.errors.ResourceExhaustedError), ("002", tf.errors.InvalidArgumentError)):
        errors[(photos / "dog" / f"{name}.jpg").read_bytes()] = error(None, None, "no such bytes")
    assert len(look(photos)[1]) == 7  # what fails makes the scan take the images one by one
    errors.clear()
    assert {Path(image.name).name for image in look(photos)[1]} == {*BAD, "link.jpg", "caf\\xe9.jpg", "002.jpg"}


STOPPED = """
import sys
from tests.data.test_scan import slow_scan
slow_scan(sys.argv[1])
"""


def slow_scan(photos):
    """A scan that takes a tenth of a second an image, as of large ones, and stops as commands do."""
    import time

    from vgg_keras import stop

    decoded = scan._inspect_chunk

    def slow(*arguments):
        for number, one in enumerate(decoded(*arguments)):
            if number == 3:
                print("begun", flush=True)
            time.sleep(0.1)
            yield one

    scan._inspect_chunk = slow
    stop.listen()
    try:
        look(Path(photos))
    except StoppedError:
        print("stopped", flush=True)


def test_sigterm_stops_a_scan_between_two_images_and_what_was_found_is_kept(photos):
    process = subprocess.Popen([sys.executable, "-c", STOPPED, str(photos)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=100)[0] == "stopped\n"
    (cache,) = (photos.parent / "cache").iterdir()
    kept = ScanCache(cache)
    assert 1 <= len(kept.good) + len(kept.bad) < 36  # of the training images


def test_fingerprints_are_the_files_and_not_the_names(photos):
    source, _ = look(photos)
    again, _ = look(photos)  # from the cache
    assert source.train.fingerprints.tolist() == again.train.fingerprints.tolist()
    assert len(source.train.fingerprints) == source.train.size and source.train.fingerprints.all()
    twin = photos.parent / "twin"
    shutil.copytree(photos, twin / "photos", symlinks=True)
    moved, _ = look(twin / "photos")
    assert moved.train.fingerprints.tolist() == source.train.fingerprints.tolist()
    content = bytearray((photos / "cat" / "001.jpg").read_bytes())
    content[-3] ^= 1  # of the same size
    (photos / "cat" / "001.jpg").write_bytes(content)
    changed, _ = look(photos)
    different = np.flatnonzero(changed.train.fingerprints != source.train.fingerprints)
    assert [changed.train.name(image) for image in different] == ["cat/001.jpg"]
    picked = changed.train.select([5, 2]).followed_by(changed.val)
    assert picked.fingerprints[:2].tolist() == changed.train.fingerprints[[5, 2]].tolist()
    assert picked.fingerprints[2:].tolist() == changed.val.fingerprints.tolist()


def test_sizes_and_kinds_are_those_of_the_files(tmp_path):
    """Of the images that are left where bad ones are not, scanned or from the cache, picked, and of both splits."""
    for label, name in enumerate(("cat", "dog")):
        write_images(tmp_path / "photos" / name, [(30 + label, 40 + row) for row in range(5)], seed=label)
        for row in range(5):
            PIL.Image.new("RGB", (50 + row, 20)).save(tmp_path / "photos" / name / f"{row}.png")
        (tmp_path / "photos" / name / "001.png").write_bytes(b"bad")

    def true(split):
        for image in range(split.size):
            with PIL.Image.open(split.path(image)) as opened:
                assert split.sizes[image].tolist() == [opened.height, opened.width]
                assert split.jpegs[image] == (opened.format == "JPEG")
        return split

    for _ in range(2):
        source, bad = look(tmp_path / "photos")
        assert len(bad) == 2 and source.train.size + source.val.size == 20
        assert 0 < true(source.train).jpegs.sum() < source.train.size
        true(true(source.val).followed_by(source.train).select([3, 11, 0, 19]))
    unscanned = open_source(Data(source=str(tmp_path / "photos"))).val
    assert source.train.followed_by(unscanned).sizes is None


def without_sizes(content):
    """A cache as it was before sizes were kept."""
    arrays = dict(np.load(io.BytesIO(content)))
    found, written = arrays.pop("found"), io.BytesIO()
    np.savez(written, fingerprints=found["fingerprint"], orientations=found["orientation"], **arrays)
    return written.getvalue()


@pytest.mark.parametrize(
    "damage", [lambda content: b"no archive", lambda content: content[:100], lambda content: b"", without_sizes]
)
def test_a_damaged_cache_is_made_anew(photos, damage):
    look(photos)
    for cache in (photos.parent / "cache").iterdir():
        cache.write_bytes(damage(cache.read_bytes()))
    assert len(look(photos)[1]) == 5


def test_too_many_bad_images_stop_the_run(photos):
    with pytest.raises(UserError, match=r"At most 5\.0% .* Received: 5 of 45: .*"):
        look(photos, fraction=0.05)


def test_statistics_equal_numpys(photos):
    from vgg_keras.data.decoding import decode
    from vgg_keras.data.statistics import measure

    source, _ = look(photos)
    pictures = [decode(source.train.read(tf.constant(i, tf.int64))[0]).numpy() for i in range(source.train.size)]
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(np.float64)  # all of one size
    measured = measure(source.train, 1000)
    difference = np.abs(np.array(measured.covariance) - np.cov(pixels.T, bias=True)).max()
    print(f"mean off by {np.abs(measured.mean - pixels.mean(0)).max():.2g}, covariance by {difference:.2g}")
    assert np.abs(measured.mean - pixels.mean(0)).max() <= 1e-3
    assert difference <= 1e-2
    assert measure(source.train, 5).images == 5

    eigenvalues, eigenvectors = np.linalg.eigh(np.cov((pixels / 255).T, bias=True))
    expected = sum(
        np.outer(vector, vector) * value**2 for value, vector in zip(eigenvalues, eigenvectors.T, strict=True)
    )
    basis = measured.color_basis
    assert np.abs(basis @ basis.T / 255**2 - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-9
