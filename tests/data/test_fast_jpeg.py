"""Window decoding against a window of the picture that Pillow decodes, and against full decoding."""

import itertools

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.data.awkward import smooth, written
from tests.data.crops import NO_SHIFT, PLAIN, augmented, cropped, without_flip
from tests.data.images import (
    JPEG_KINDS,
    ORIENTATIONS,
    PILLOW_FILTERS,
    encode_jpeg,
    pillow_decode,
    pillow_upright,
    smooth_noise,
)
from vgg_keras.config import Data
from vgg_keras.data import augment, fast_jpeg


def bilinear(image, side):
    """A square NumPy image at another size without a filter: between the four nearest pixel centres."""
    result = np.empty((side, side, 3))
    for y in range(side):
        for x in range(side):
            rows, columns = (max((place + 0.5) * len(image) / side - 0.5, 0) for place in (y, x))  # the rim goes on
            top, left = int(rows), int(columns)
            below, right = min(top + 1, len(image) - 1), min(left + 1, len(image) - 1)
            upper = image[top, left] * (1 - columns + left) + image[top, right] * (columns - left)
            lower = image[below, left] * (1 - columns + left) + image[below, right] * (columns - left)
            result[y, x] = upper * (1 - rows + top) + lower * (rows - top)
    return result


@pytest.mark.parametrize(("side", "halvings"), [(20, 0), (25, 0), (60, 0), (90, 1), (200, 2), (500, 3), (620, 3)])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_decoded_window_is_a_window_of_what_pillow_decodes(random, side, halvings, kind, progressive):
    """At 1/2, 1/4 and 1/8 Pillow's draft mode decodes at the same size; the bilinear truth is a loop."""
    encoded = encode_jpeg(smooth_noise(random, side, side + 37), kind, progressive)
    data = Data(scale=(40,), **PLAIN)
    truth = pillow_decode(encoded, 2**halvings).astype(np.float64)
    size = -(-side // 2**halvings)
    assert truth.shape[0] == size
    for row, column in ((0.0, 0.0), (0.999, 0.999), (0.4, 0.7)):
        shown = cropped(encoded, without_flip(0.0, row, column), data)
        window_side = round(32 * size / 40)
        top, left = (int(draw * (whole - window_side + 1)) for draw, whole in ((row, size), (column, truth.shape[1])))
        difference = np.abs(shown - bilinear(truth[top : top + window_side, left : left + window_side], 32))
        print(f"{kind} {side} at 1/{2**halvings}: largest {difference.max():.2f}, mean {difference.mean():.2f}")
        if kind.startswith("4:2"):
            # coarse chroma is smoothed over its neighbours, which a window's outermost pixels do not have
            rim = 2 if side >= 40 else 5
            assert difference.mean() <= 0.5 and difference.max() <= 20
            assert difference[rim:-rim, rim:-rim].max() <= 1e-2
        else:
            assert difference.max() <= 1e-2
        if row and top and left:
            shifted = truth[top - 1 : top - 1 + window_side, left : left + window_side]
            assert np.abs(shown - bilinear(shifted, 32)).mean() > 2 * difference.mean()  # a shift by one pixel is seen


def windows_against_full_decoding(paths):
    """How far window decoding is from full decoding over these photographs at S in [256, 512], and how many are enlarged."""
    draws = augment.epoch_draws(tf.constant([1, 2], tf.int64), len(paths))
    window, full = (Data(scale=(256, 512), jpeg_decoding=decoding, **PLAIN) for decoding in ("window", "full"))
    differences, enlarged, apart = [], 0, 0.0
    for path, drawn in zip(paths, draws, strict=True):
        encoded = tf.io.read_file(str(path))
        by_window, by_full = (augmented(encoded, drawn, data, 224) for data in (window, full))
        if not np.array_equal(by_window.window * 2.0 ** int(by_window.decode_mode), by_full.window):
            # enlarged, where full decoding needs no whole pixels: the same window is compared
            assert by_window.window[2] <= 224 and np.abs(by_window.window - by_full.window).max() <= 1.5
            enlarged, apart = enlarged + 1, max(apart, np.abs(by_window.window - by_full.window).max())
            by_full = by_full._replace(window=by_window.window)
        crops = [
            augment.augment(tf.constant(0), encoded, drawn, data, 224).numpy()
            for drawn, data in ((by_window, window), (by_full, full))
        ]
        differences.append(np.abs(crops[0] - crops[1]))
    means = np.array([difference.mean() for difference in differences])
    noise = np.array([max((difference**2).mean(), 1e-6) for difference in differences])
    psnr = 10 * np.log10(255**2 / noise)
    largest = max(difference.max() for difference in differences)
    print(
        f"{len(paths)} photographs, {enlarged} of them enlarged, {apart:.1f} pixels apart: "
        f"mean difference {means.mean():.2f} grey levels (of one at most {means.max():.2f}), "
        f"largest of a pixel {largest:.0f}, PSNR median {np.median(psnr):.1f} dB, lowest {psnr.min():.1f} dB"
    )
    return means, psnr, enlarged


def test_window_decoding_is_close_to_full_decoding(photographs):
    means, psnr, enlarged = windows_against_full_decoding(3 * photographs)  # at three windows each
    assert enlarged > 2
    assert means.mean() < 1.0 and psnr.min() > 28


@pytest.mark.slow
@pytest.mark.full
def test_window_decoding_of_200_flowers_differs_by_what_the_docs_say(shared_data):
    paths = sorted((shared_data / "flowers17" / "train").rglob("*.jpg"))[::5][:200]
    means, psnr, enlarged = windows_against_full_decoding(paths)
    assert len(paths) == 200 and enlarged > 2
    assert means.mean() < 1.0 and psnr.min() > 28


def test_only_jpegs_that_need_no_filter_are_decoded_by_window():
    """Down by two at most beyond the decoder's halvings, or up by two; crop 32 at S=40."""
    expected = {19: 4, 20: 0, 79: 0, 80: 1, 159: 1, 160: 2, 320: 3, 630: 3, 650: 4}  # smaller side to decode mode
    sizes, draws = np.array([(side + 50, side) for side in expected]), np.full((len(expected), 7), 0.3, np.float32)
    for is_jpeg, full, interpolation in itertools.product((True, False), (False, True), PILLOW_FILTERS):
        data = Data(scale=(40,), jpeg_decoding="full" if full else "window", interpolation=interpolation)
        modes = augment.draw_augmentations(
            sizes, np.full(len(sizes), is_jpeg), draws, data, 32, NO_SHIFT
        ).decode_mode.numpy()
        fast = is_jpeg and not full and interpolation == "bilinear"
        assert modes.tolist() == (list(expected.values()) if fast else [fast_jpeg.FULL_DECODE] * len(sizes))


def test_a_window_of_a_rotated_jpeg_is_that_of_the_upright_image(random):
    """At each orientation the crop is that of the stored image, rotated and flipped."""
    draws = tf.constant([0.3, 0.2, 0.9, 0.9, 0, 0, 0], tf.float32)
    file, data = written(smooth(1, 90, 130), "JPEG"), Data(scale=(40,), flip=False, color_shift=0.0)
    stored = cropped(file, draws, data)
    for orientation in ORIENTATIONS:
        crop = cropped(file, draws, data, orientation=orientation)
        truth = pillow_upright(np.round(stored).astype(np.uint8), orientation)
        assert np.abs(crop - truth).max() <= 0.5


def test_a_window_of_a_jpeg_of_four_colours_is_read_in_grey():
    """Which its decoder cannot bring to grey: the window in RGB by Pillow's formula, in 65,536ths."""
    file, data = written(PIL.Image.fromarray(smooth(1, 90, 130)).convert("CMYK"), "JPEG"), Data(scale=(40,), **PLAIN)
    draws = tf.constant([0.3, 0.2, 0.9, 0.9, 0], tf.float32)
    assert int(augmented(file, draws, data, basis=NO_SHIFT[:1, :1]).decode_mode) < fast_jpeg.FULL_DECODE
    found = cropped(file, draws, data, basis=NO_SHIFT[:1, :1])
    colours = cropped(file, without_flip(0.3, 0.2, 0.9), data)
    difference = np.abs(found[..., 0] - colours @ (np.array([19595, 38470, 7471]) / 65536)).max()
    print(f"largest difference {difference:.2f} grey levels")
    assert found.shape == (32, 32, 1) and difference <= 0.6  # grey pixels are rounded before the window is rescaled
