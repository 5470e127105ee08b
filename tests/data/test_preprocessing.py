"""Image operations against Pillow and NumPy, eagerly and inside tf.data, and the random ones by their statistics."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import preprocessing

PILLOW = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def smooth(random, height, width):
    coarse = random.uniform(0, 255, (1, 6, 6, 3))
    return np.clip(tf.image.resize(coarse, (height, width), "bicubic")[0].numpy(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize(("size", "side", "expected"), [((90, 61), 32, (47, 32)), ((40, 77), 64, (64, 123))])
def test_rescaling_equals_pillows(random, interpolation, size, side, expected):
    image = smooth(random, *size)
    measured = preprocessing.rescale(tf.constant(image), side, interpolation).numpy()
    assert measured.shape[:2] == expected  # smaller side S, aspect ratio kept
    truth = np.asarray(PIL.Image.fromarray(image).resize(expected[::-1], PILLOW[interpolation]), np.float32)
    difference = np.abs(measured - truth)
    print(
        f"{interpolation} {size} to {expected}: largest {difference.max():.2f}, mean {difference.mean():.2f} grey levels"
    )
    assert difference.max() <= 1.5  # Pillow rounds after each axis
    assert difference.mean() <= 0.4


def test_a_window_is_a_slice_of_the_rescaled_image(random):
    image = tf.constant(smooth(random, 75, 50))
    whole = preprocessing.rescale(image, 40, "bilinear").numpy()
    window = preprocessing.rescale_and_crop(image, whole.shape[:2], 13, 5, (32, 32), "bilinear").numpy()
    difference = np.abs(window - whole[13:45, 5:37]).max()
    print(f"window against slice: largest difference {difference:.2g}")
    assert difference <= 1e-3


def test_the_centre_crop_is_the_middle(random):
    image = tf.constant(smooth(random, 50, 75))
    whole = preprocessing.rescale(image, 40, "bilinear").numpy()  # (40, 60)
    crop = preprocessing.center_crop(image, 40, 32, "bilinear").numpy()
    assert np.abs(crop - whole[4:36, 14:46]).max() <= 1e-3


def test_photographs_are_rescaled_as_pillow_does(photographs):
    paths = sorted((photographs / "flowers17" / "val").rglob("*.jpg"))[::40]
    assert len(paths) >= 5
    for path in paths:
        decoded = preprocessing.decode(tf.io.read_file(str(path)))
        truth = PIL.Image.fromarray(decoded.numpy())
        measured = preprocessing.rescale(decoded, 256, "bilinear").numpy()
        truth = np.asarray(truth.resize(measured.shape[1::-1], PILLOW["bilinear"]), np.float32)
        assert min(measured.shape[:2]) == 256
        assert np.abs(measured - truth).max() <= 1.5


def crops(image, data, seeds, crop=32, basis=None):
    """Training crops inside tf.data, one for each seed."""
    basis = np.zeros((3, 3), np.float32) if basis is None else basis
    dataset = tf.data.Dataset.range(seeds).map(
        lambda number: preprocessing.training_crop(image, tf.random.fold_in([7, 0], number), data, crop, basis), 2
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def test_the_same_seed_gives_the_same_crop_eagerly_and_inside_tf_data(random):
    image = tf.constant(smooth(random, 60, 44))
    data = Data(scale=(32, 48))
    basis = random.normal(0, 1, (3, 3)).astype(np.float32)
    inside = crops(image, data, 5, basis=basis)
    for number in range(5):
        seed = tf.random.fold_in([7, 0], tf.constant(number, tf.int64))
        eager = preprocessing.training_crop(image, seed, data, 32, basis).numpy()
        assert np.abs(eager - inside[number]).max() <= 1e-3
    assert np.abs(inside[0] - inside[1]).max() > 1


def test_scale_position_and_flip_are_drawn_evenly():
    """A picture whose value is its column tells where a crop lies, how large S was, and whether it is mirrored."""
    side = 64
    ramp = np.repeat(np.arange(side, dtype=np.float32)[None, :, None] * 2, side, axis=0)
    image = tf.constant(np.concatenate([ramp, ramp.transpose(1, 0, 2), ramp], axis=-1))
    drawn = crops(image, Data(scale=(64, 128), color_shift=0.0), 4000)
    middle = drawn[:, 16]  # (4000, 32, 3)
    slope = middle[:, 30, 0] - middle[:, 1, 0]  # 29 columns, each 2 * 64 / S
    mirrored = (slope < 0).mean()
    scale = 29 * 2 * 64 / np.abs(slope)
    print(f"mirrored {mirrored:.3f}, S from {scale.min():.1f} to {scale.max():.1f}, mean {scale.mean():.2f}")
    assert abs(mirrored - 0.5) < 0.03
    assert 63 < scale.min() < 66 and 126 < scale.max() < 130  # rims excepted, S covers its range
    assert abs(scale.mean() - 96) < 1.0
    for axis in (0, 1):  # the centre's place in the picture, 0 to 1, is even over what S leaves
        place = drawn[:, 15:17, 15:17, axis].mean(axis=(1, 2)) / (2 * (side - 1))
        room = (scale - 32) / scale
        relative = (place - 16 / scale) / room
        assert abs(relative.mean() - 0.5) < 0.03
        assert relative.std() == pytest.approx(np.sqrt(1 / 12), rel=0.06)


def test_no_flip_and_no_shift_where_they_are_off(random):
    image = tf.constant(smooth(random, 32, 32))
    drawn = crops(image, Data(scale=(32,), flip=False, color_shift=0.0), 20, basis=np.full((3, 3), 100, np.float32))
    assert np.abs(drawn - image.numpy()).max() <= 1e-3


def test_the_colour_shift_has_the_covariance_of_its_formula(random):
    image = tf.constant(np.full((32, 32, 3), 128, np.uint8))
    basis = random.normal(0, 30, (3, 3)).astype(np.float32)
    drawn = crops(image, Data(scale=(32,), flip=False, color_shift=0.1), 4000, basis=basis) - 128
    assert np.abs(drawn - drawn[:, :1, :1]).max() <= 1e-4  # one draw an image
    shifts = drawn[:, 0, 0]
    expected = 0.1**2 * basis @ basis.T
    difference = np.abs(np.cov(shifts.T) - expected).max() / np.abs(expected).max()
    print(f"colour shift: covariance off by {difference:.1%} of its largest entry, 4,000 draws")
    assert difference < 0.08
    assert np.abs(shifts.mean(axis=0)).max() < 0.3


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("BMP", "RGB"), ("GIF", "L"), ("JPEG", "CMYK")]
)
def test_files_are_decoded_by_content(random, tmp_path, kind, mode):
    picture = PIL.Image.fromarray(smooth(random, 20, 30)).convert(mode)
    path = tmp_path / "picture.jpg"  # whatever the name says
    picture.save(path, kind, **({"quality": 95} if kind == "JPEG" else {}))
    decoded = preprocessing.decode(tf.io.read_file(str(path))).numpy()
    with PIL.Image.open(path) as opened:
        truth = np.asarray(opened.convert("RGB"), np.float32)
    difference = np.abs(decoded - truth)
    print(f"{kind} {mode}: largest difference from Pillow {difference.max():.0f}, mean {difference.mean():.2f}")
    assert difference.mean() <= (3.0 if mode == "CMYK" else 0.0)
