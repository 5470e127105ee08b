"""The scan: bad images are skipped, named and remembered, too many are refused, and no image is decoded wrongly."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.awkward import KINDS
from tests.training.toy import wait_for
from tests.warm import Warm
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import inspection, scan
from vgg_keras.data.scan_cache import ScanCache
from vgg_keras.data.sources import open_source
from vgg_keras.errors import StoppedError, UserError


@pytest.mark.slow
def test_four_bad_images_of_four_hundred_are_named_and_no_good_one_is_lost(tmp_path):
    photos = tmp_path / "photos"
    paths = write_images(photos / "cat", [(40, 50)] * 200) + write_images(photos / "dog", [(40, 50)] * 200, seed=1)
    bad = {paths[7]: paths[7].read_bytes()[:500], paths[150]: b"<html>", paths[199]: b""}
    bad[paths[333]] = KINDS["palette.bmp"][0]
    for path, content in bad.items():
        path.write_bytes(content)
    config = Config(data=Data(source=str(photos)), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    source, found = scan.without_bad_images(open_source(config.data), config)
    assert sorted(image.name for image in found) == sorted(map(str, bad))
    assert all(image.reason for image in found)
    kept = [split.path(image) for split in (source.train, source.val) for image in range(split.size)]
    assert sorted(kept) == sorted(str(path) for path in paths if path not in bad)
    for split in (source.train, source.val):
        for image in range(0, split.size, 50):
            assert split.read(tf.constant(image, tf.int64))[0].numpy() == Path(split.path(image)).read_bytes()


@pytest.mark.slow
def test_max_pixels_refuses_larger_images(tmp_path):
    """An image is refused above it and read at it, whatever the cache says of another limit; all bad is said."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(40, 50)] * 4 + [(50, 60)])

    def scan_photos(limit):
        data = Data(source=str(tmp_path / "photos"), max_pixels=limit, max_bad_fraction=0.5)
        config = Config(data=data, runtime=Runtime(cache_dir=str(tmp_path / "cache")))
        return scan.without_bad_images(open_source(data), config)[1]

    assert scan_photos(3000) == []
    with pytest.raises(UserError, match=r"readable image\. Received: .* whose val images are all bad"):
        scan_photos(2999)  # the fifth of each class validates
    shutil.copy(tmp_path / "photos/cat/000.jpg", tmp_path / "photos/cat/004.jpg")
    (bad,) = scan_photos(2999)
    assert str(bad) == f"{tmp_path}/photos/dog/004.jpg: 60 x 50 pixels, more than data.max_pixels=2999"
    assert scan_photos(3000) == []


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


def scan_photos(photos, fraction=0.2):
    config = Config(
        data=Data(source=str(photos), max_bad_fraction=fraction),
        runtime=Runtime(cache_dir=str(photos.parent / "cache")),
    )
    return scan.without_bad_images(open_source(config.data), config)


@pytest.mark.slow
def test_bad_images_are_named_and_no_good_one_is_lost(photos):
    source, bad = scan_photos(photos)
    assert {Path(image.name).name for image in bad} == {*BAD, "link.jpg", "caf\\xe9.jpg"}
    assert all(image.reason for image in bad)
    names = [split.path(image) for split in (source.train, source.val) for image in range(split.size)]
    assert sorted(names) == sorted(str(path) for path in photos.rglob("0*.jpg"))  # the forty good ones
    for split in (source.train, source.val):
        for image in range(split.size):
            encoded, label = split.read(tf.constant(image, tf.int64))
            assert encoded.numpy() == Path(split.path(image)).read_bytes()
            assert int(label) == ("dog" in split.name(image))


@pytest.mark.slow
def test_only_new_and_changed_files_are_inspected_again(photos, monkeypatch):
    scan_photos(photos)
    seen = []
    decoded = inspection._inspect_together

    def noted(split, graph, images, max_pixels):
        seen.extend(split.name(image) for image in images)
        return decoded(split, graph, images, max_pixels)

    monkeypatch.setattr(inspection, "_inspect_together", noted)
    _, bad = scan_photos(photos)
    assert not seen and len(bad) == 5
    shutil.copy(photos / "cat" / "000.jpg", photos / "cat" / "page.jpg")  # mended
    (photos / "dog" / "001.jpg").write_bytes(b"spoilt")
    _, bad = scan_photos(photos)
    assert sorted(set(seen)) == ["cat/page.jpg", "dog/001.jpg"]
    assert {Path(image.name).name for image in bad} == {
        "truncated.jpg",
        "empty.png",
        "001.jpg",
        "link.jpg",
        "caf\\xe9.jpg",
    }


@pytest.mark.slow
def test_files_that_change_between_the_listing_and_the_scan_are_named_and_it_ends(photos):
    config = Config(
        data=Data(source=str(photos), max_bad_fraction=1.0), runtime=Runtime(cache_dir=str(photos.parent / "c"))
    )
    source = open_source(config.data)
    (photos / "dog" / "001.jpg").write_bytes((photos / "cat" / "000.jpg").read_bytes() + b" ")
    (photos / "dog" / "002.jpg").unlink()
    found, bad = scan.without_bad_images(source, config)
    reasons = {Path(image.name).name: image.reason for image in bad}
    assert {*BAD, "link.jpg", "caf\\xe9.jpg", "001.jpg", "002.jpg"} == set(reasons)
    assert "another file than when the run began" in reasons["001.jpg"]
    assert found.train.size + found.val.size == 38


FAILURES = [
    tf.errors.PermissionDeniedError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnknownError,
]


@pytest.mark.slow
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
    _, bad = scan_photos(photos)
    assert [image.reason for image in bad if image.name == victim] == ["the disk is away"]
    monkeypatch.undo()
    source, bad = scan_photos(photos)
    assert len(bad) == 5 and victim in [source.train.path(image) for image in range(source.train.size)]


@pytest.mark.slow
def test_too_little_memory_to_decode_is_no_verdict_and_too_little_content_is(photos, monkeypatch):
    content, errors = inspection._content, {}

    def failing(encoded, label, max_pixels):
        if tf.executing_eagerly() and (error := errors.get(encoded.numpy())):
            raise error
        return content(encoded, label, max_pixels)

    def later(encoded, label, max_pixels):  # all files go to `_content`
        return tf.constant(inspection._LATER), tf.constant(0, tf.int64), 1, 0, 0, True, label

    monkeypatch.setattr(inspection, "_content", failing)
    monkeypatch.setattr(inspection, "_quick", later)
    for name, error in (("001", tf.errors.ResourceExhaustedError), ("002", tf.errors.InvalidArgumentError)):
        errors[(photos / "dog" / f"{name}.jpg").read_bytes()] = error(None, None, "no such bytes")
    assert len(scan_photos(photos)[1]) == 9  # two of each class; what fails makes the scan take the images one by one
    errors.clear()
    assert {Path(image.name).name for image in scan_photos(photos)[1]} == {*BAD, "link.jpg", "caf\\xe9.jpg", "002.jpg"}


def slow_scan(photos):
    """A scan that takes a tenth of a second an image, as of large ones, and stops as commands do."""
    inspection.RESULTS = 2
    import time

    from vgg_keras import stop

    decoded = inspection._inspect_together

    def slow(*arguments):
        for number, one in enumerate(decoded(*arguments)):
            if number == 2:
                print("begun", flush=True)
            time.sleep(0.2)
            yield one

    inspection._inspect_together = slow
    stop.listen()
    try:
        scan_photos(Path(photos))
    except StoppedError:
        print("stopped", flush=True)


@pytest.mark.slow
def test_sigterm_stops_a_scan_between_two_images_and_what_was_found_is_kept(photos):
    log = photos.parent / "log"
    process = Warm(slow_scan, str(photos), folder=photos.parent, log=log, errors=photos.parent / "errors")
    wait_for(lambda: log.read_text() == "begun\n", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0 and log.read_text() == "begun\nstopped\n"
    (part,) = (photos.parent / "cache").iterdir()
    kept = ScanCache(part.with_name(part.name.split(".part-")[0] + ".npz"))
    assert 1 <= len(kept) < 36  # of the training images


@pytest.mark.slow
def test_fingerprints_are_the_files_and_not_the_names(photos):
    source, _ = scan_photos(photos)
    again, _ = scan_photos(photos)  # from the cache
    assert source.train.fingerprints.tolist() == again.train.fingerprints.tolist()
    assert len(source.train.fingerprints) == source.train.size and source.train.fingerprints.all()
    twin = photos.parent / "twin"
    shutil.copytree(photos, twin / "photos", symlinks=True)
    moved, _ = scan_photos(twin / "photos")
    assert moved.train.fingerprints.tolist() == source.train.fingerprints.tolist()
    content = bytearray((photos / "cat" / "001.jpg").read_bytes())
    content[-3] ^= 1  # of the same size
    (photos / "cat" / "001.jpg").write_bytes(content)
    changed, _ = scan_photos(photos)
    different = np.flatnonzero(changed.train.fingerprints != source.train.fingerprints)
    assert [changed.train.name(image) for image in different] == ["cat/001.jpg"]
    picked = changed.train.select([5, 2]).followed_by(changed.val)
    assert picked.fingerprints[:2].tolist() == changed.train.fingerprints[[5, 2]].tolist()
    assert picked.fingerprints[2:].tolist() == changed.val.fingerprints.tolist()


@pytest.mark.slow
def test_sizes_and_kinds_are_those_of_the_files(tmp_path):
    """Of the good images, scanned or from the cache, picked, and of both splits."""
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
        source, bad = scan_photos(tmp_path / "photos")
        assert len(bad) == 2 and source.train.size + source.val.size == 20
        assert 0 < true(source.train).jpegs.sum() < source.train.size
        true(true(source.val).followed_by(source.train).select([3, 11, 0, 19]))
    unscanned = open_source(Data(source=str(tmp_path / "photos"))).val
    assert source.train.followed_by(unscanned).sizes is None


@pytest.mark.slow
def test_a_damaged_cache_is_made_anew(photos):
    scan_photos(photos)
    for cache in (photos.parent / "cache").iterdir():
        cache.write_bytes(b"no archive")
    assert len(scan_photos(photos)[1]) == 5


@pytest.mark.slow
def test_too_many_bad_images_stop_the_run(photos):
    with pytest.raises(UserError, match=r"At most 5\.0% .* Received: 5 of 45: .*"):
        scan_photos(photos, fraction=0.05)
