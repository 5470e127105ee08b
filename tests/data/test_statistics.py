"""Mean and covariance of the training set's colours, against NumPy in float64, for images of any size and brightness."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.images import smooth_noise
from tests.data.rectangles import config_of, draw, opened, write_list
from tests.warm import finished, run_code
from vgg_keras.data import statistics
from vgg_keras.data.arrays import split_of_arrays
from vgg_keras.data.decoding import decode
from vgg_keras.data.image_files import of_files
from vgg_keras.data.splits import Split


def split_of(pictures):
    encoded = tf.stack([tf.io.encode_png(picture, compression=1) for picture in pictures])
    return Split(
        size=len(pictures),
        read=lambda image: (tf.gather(encoded, image), tf.constant(0)),
        name=lambda image: str(image),
    )


def truth(pictures):
    """Mean and covariance of pixels drawn from an image that is drawn evenly, in float64 around the true mean."""
    pixels = [picture.reshape(-1, picture.shape[2]).astype(np.float64) for picture in pictures]
    mean = np.mean([one.mean(axis=0) for one in pixels], axis=0)
    return mean, np.mean([(one - mean).T @ (one - mean) / len(one) for one in pixels], axis=0)


def require_equal(measured, pictures):
    mean, covariance = truth(pictures)
    off = np.abs(np.array(measured.covariance) - covariance).max()
    print(f"mean off by {np.abs(measured.mean - mean).max():.2g}, covariance by {off:.2g} of {covariance.max():.4g}")
    assert np.abs(measured.mean - mean).max() <= 1e-9
    assert off <= 1e-9 * covariance.max()


def test_the_end_of_a_measurement_waits_for_no_tuning_thread(monkeypatch):
    """Which would delay it by up to 3 seconds, as long as to measure a small set."""
    tuned, read = [], tf.data.Dataset.as_numpy_iterator
    monkeypatch.setattr(
        tf.data.Dataset,
        "as_numpy_iterator",
        lambda rows: tuned.append(rows.options().autotune.enabled) or read(rows),
    )
    statistics.measure(split_of([np.zeros((2, 2, 3), np.uint8)]), 10)
    assert tuned == [False]


@pytest.mark.parametrize("value", [0, 3, 250, 255])
def test_one_colour_has_that_mean_and_no_variance(value):
    measured = statistics.measure(split_of([np.full((512, 512, 3), value, np.uint8)] * 3), 10)
    assert measured.mean == (value,) * 3
    assert not np.any(measured.covariance)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 4), (0, 256), (248, 256)], ids=["dark pictures", "ordinary pictures", "bright pictures"]
)
def test_mean_and_covariance_are_numpys(random, low, high):
    """1.2 million pixels, a few, and one; colours that depend on each other."""
    pictures = []
    for height, width in ((1000, 1201), (37, 2), (1, 1)):
        picture = random.integers(low, high, (height, width, 3), dtype=np.uint8)
        picture[..., 1] = picture[..., 0] // 2 + picture[..., 1] // 2
        pictures.append(picture)
    require_equal(statistics.measure(split_of(pictures), 10), pictures)


def test_color_basis_is_that_of_numpys_eigenvectors(random):
    """Over pictures of one size, for which NumPy needs no weights; from some of them where fewer are wanted."""
    pictures = [smooth_noise(random, 40, 50) for _ in range(16)]
    pixels = np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(np.float64)
    measured = statistics.measure(split_of(pictures), 1000)
    difference = np.abs(np.array(measured.covariance) - np.cov(pixels.T, bias=True)).max()
    print(f"mean off by {np.abs(measured.mean - pixels.mean(0)).max():.2g}, covariance by {difference:.2g}")
    assert np.abs(measured.mean - pixels.mean(0)).max() <= 1e-3
    assert difference <= 1e-2
    assert statistics.measure(split_of(pictures), 5).images == 5
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov((pixels / 255).T, bias=True))
    pairs = zip(eigenvalues, eigenvectors.T, strict=True)
    expected = sum(np.outer(vector, vector) * value**2 for value, vector in pairs)
    basis = measured.color_basis
    assert np.abs(basis @ basis.T / 255**2 - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-9


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_other_channels_have_their_own_covariance_and_shift(random, channels):
    """Of arrays of several sizes, against NumPy's eigenvectors of the pixels' covariance."""
    pictures = [smooth_noise(random, *size) for size in ((40, 50), (20, 90), (31, 33))]
    pictures = [np.concatenate([one, 255 - one // 2], axis=2)[..., :channels] for one in pictures]
    split = dataclasses.replace(split_of_arrays(pictures, np.arange(3)), channels=channels)
    measured, (mean, covariance) = statistics.measure(split, 10), truth(pictures)
    difference = np.abs(np.array(measured.covariance) - covariance).max()
    values, vectors = np.linalg.eigh(covariance / 255**2)
    expected = 255**2 * (vectors * values**2) @ vectors.T  # the shift's own covariance, at a deviation of 1
    basis = measured.color_basis.astype(np.float64)
    off = np.abs(basis @ basis.T - expected).max() / np.abs(expected).max()
    print(f"{channels} channels: covariance off by {difference:.2g}, that of the shift by {off:.2g} of its largest")
    assert np.abs(measured.mean - mean).max() <= 1e-9 and difference <= 1e-9 * covariance.max() and off <= 1e-6


def test_statistics_of_files_are_those_of_their_pixels(tmp_path, photographs):
    """Files are checked some at a time before they are read: more of them than one check takes."""
    paths = [str(path) for path in write_images(tmp_path, [(20, 30)] * 33)] + [str(path) for path in photographs[:2]]
    require_equal(statistics.measure(of_files(paths), 100), [decode(Path(path).read_bytes()).numpy() for path in paths])


def test_the_mean_box_is_that_of_the_rectangles_in_the_upright_pictures(tmp_path):
    """The pixels of each largest rectangle are looked up in what Pillow turns upright; the widths and heights differ."""
    kinds = [((90, 60), (10, 5, 80, 33), 1), ((60, 90), (3, 40, 30, 81), 6), ((100, 70), (0, 2, 63, 70), 8)]
    rows, truth = [], []
    for place, (size, box, orientation) in enumerate(kinds):
        name = f"{place}.jpg"
        draw(tmp_path / name, size, box, orientation)
        with PIL.Image.open(tmp_path / name) as picture:
            pixels = np.asarray(PIL.ImageOps.exif_transpose(picture)).astype(np.float64)
        found = np.argwhere(pixels[..., 0] - pixels[..., 1] > 60)[:, ::-1]  # x, y
        low, high = found.min(axis=0), found.max(axis=0) + 1
        sides = np.array(pixels.shape[1::-1])
        truth.append(np.concatenate([(low + high) / 2 / sides, (high - low) / sides]))
        rows += [(name, "a", "train", *box), (name, "a", "train", 1, 1, 4, 4)]
    for name, label in (("v.jpg", "a"), ("w.jpg", "b"), ("x.jpg", "b")):
        draw(tmp_path / name, (40, 40), (5, 5, 20, 20))
        rows.append((name, label, "train" if name == "w.jpg" else "val", 5, 5, 20, 20))
    truth.append(np.array([12.5, 12.5, 15, 15]) / 40)
    source, _ = opened(config_of(write_list(tmp_path, rows)))
    difference = np.abs(np.array(statistics.mean_box(source.train)) - np.mean(truth, axis=0)).max()
    print(f"mean box {np.mean(truth, axis=0).round(3)}: largest difference {difference:.2g}")
    assert difference <= 1e-6


def test_pictures_of_many_parts_and_of_unequal_blocks_are_summed_whole(random, monkeypatch):
    monkeypatch.setattr(statistics, "PART", 1000)
    monkeypatch.setattr(statistics, "BLOCK", 64)
    pictures = [random.integers(0, 256, (side, 41, 3), dtype=np.uint8) for side in (1, 24, 25, 100, 401)]
    require_equal(statistics.measure(split_of(pictures), 10), pictures)


def test_a_slight_variance_in_bright_pictures_is_kept():
    """One pixel of a million differs: the difference of two large sums would have lost it."""
    picture = np.full((1000, 1000, 3), 250, np.uint8)
    picture[3, 7] = 251
    measured = statistics.measure(split_of([picture]), 10)
    assert np.array(measured.covariance) == pytest.approx(np.full((3, 3), 1e-6 * (1 - 1e-6)), rel=1e-9)


def test_twelve_million_pixels_add_up_to_integers(random):
    pixels = random.integers(200, 256, (3000, 4000, 3), dtype=np.uint8)
    count, first, second = (found.numpy() for found in statistics.color_sums(tf.constant(pixels)))
    wide = pixels.reshape(-1, 3).astype(np.float64)  # whose sums of integers stay below 2^53
    assert count == len(wide)
    assert np.array_equal(first, wide.sum(axis=0))
    assert np.array_equal(second, wide.T @ wide)


LARGE = """
import resource, sys
import tensorflow as tf
from vgg_keras.data import statistics
size = int(sys.argv[1]), 12_000
sums = tf.function(statistics.color_sums)
sums(tf.zeros([8, 8, 3], tf.uint8))
image = tf.reshape(tf.repeat(tf.constant([[255, 254, 1]], tf.uint8), size[0] * size[1], axis=0), [*size, 3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*(found.numpy().reshape(-1 if found.shape.rank else ()).tolist() for found in sums(image)))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_108_megapixels_are_exact_and_take_little_memory_beside_the_picture(tmp_path):
    done = finished(run_code, [sys.executable, "-c", LARGE, "9000"], tmp_path)
    assert done.returncode == 0, done.stderr
    pixels = 9000 * 12_000
    colors = np.array([255, 254, 1], np.int64)
    sums, grown = done.stdout.splitlines()
    expected = (pixels * colors).tolist(), (pixels * np.outer(colors, colors)).ravel().tolist()
    assert sums == f"{pixels} {expected[0]} {expected[1]}"
    print(f"{int(grown) / 1024:.0f} MiB beside the picture's 309")
    assert int(grown) < 200 * 1024
