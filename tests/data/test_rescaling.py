"""Rescaling against Pillow, and windows of rescaled images against slices of them."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.data.images import PILLOW_FILTERS, smooth_noise
from vgg_keras.data import decoding, rescaling


@pytest.mark.parametrize("interpolation", PILLOW_FILTERS)
@pytest.mark.parametrize(("size", "side", "expected"), [((90, 61), 32, (47, 32)), ((40, 77), 64, (64, 123))])
def test_rescale_equals_pillows(random, interpolation, size, side, expected):
    image = smooth_noise(random, *size)
    measured = rescaling.rescale(tf.constant(image), side, interpolation).numpy()
    assert measured.shape[:2] == expected  # smaller side S, aspect ratio kept
    truth = np.asarray(PIL.Image.fromarray(image).resize(expected[::-1], PILLOW_FILTERS[interpolation]), np.float32)
    difference = np.abs(measured - truth)
    print(
        f"{interpolation} {size} to {expected}: largest {difference.max():.2f}, mean {difference.mean():.2f} grey levels"
    )
    assert difference.max() <= 1.5  # Pillow rounds after each axis
    assert difference.mean() <= 0.4


def test_rescale_and_crop_is_a_slice_of_the_rescaled_image(random):
    image = tf.constant(smooth_noise(random, 75, 50))
    whole = rescaling.rescale(image, 40, "bilinear").numpy()
    window = rescaling.rescale_and_crop(image, whole.shape[:2], 13, 5, (32, 32), "bilinear").numpy()
    difference = np.abs(window - whole[13:45, 5:37]).max()
    print(f"window against slice: largest difference {difference:.2g}")
    assert difference <= 1e-3


def test_center_crop_is_the_middle_of_the_rescaled_image(random):
    image = tf.constant(smooth_noise(random, 50, 75))
    whole = rescaling.rescale(image, 40, "bilinear").numpy()  # (40, 60)
    crop = rescaling.center_crop(image, 40, 32, "bilinear").numpy()
    assert np.abs(crop - whole[4:36, 14:46]).max() <= 1e-3


@pytest.mark.slow
def test_center_crop_of_a_strip_with_more_pixels_than_int32():
    image = np.zeros((1, 10_000_000, 3), np.uint8)
    image[:, 5_000_000 - 2 : 5_000_000 + 2] = 200
    assert [int(size) for size in rescaling.rescaled_size(*image.shape[:2], 256)] == [256, 2_560_000_000]
    crop = rescaling.center_crop(tf.constant(image), 256, 32, "bilinear").numpy()
    assert np.abs(crop - 200).max() < 1e-3


def test_rescaled_photographs_equal_pillows(photographs):
    for path in photographs:
        decoded = decoding.decode(tf.io.read_file(str(path)))
        truth = PIL.Image.fromarray(decoded.numpy())
        measured = rescaling.rescale(decoded, 256, "bilinear").numpy()
        truth = np.asarray(truth.resize(measured.shape[1::-1], PILLOW_FILTERS["bilinear"]), np.float32)
        assert min(measured.shape[:2]) == 256
        assert np.abs(measured - truth).max() <= 1.5
