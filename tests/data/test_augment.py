"""Section 3.1's crops: against Pillow, eagerly and inside tf.data, and the random ones by their statistics."""

import io
import itertools

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tests.data.awkward import png, rows
from tests.data.crops import NO_SHIFT, PLAIN, augmented, cropped, without_flip
from tests.data.images import ORIENTATIONS, PILLOW_FILTERS, encode_png, pillow_upright, smooth_noise
from vgg_keras.config import Data
from vgg_keras.data import augment


def crops(encoded, data, epochs, crop=32, basis=NO_SHIFT):
    """Training crops of one image inside tf.data, one for each epoch."""
    drawn = augmented(encoded, augment.epoch_draws(tf.constant([7, 0], tf.int64), epochs), data, crop, basis)
    dataset = tf.data.Dataset.from_tensor_slices(drawn).map(
        lambda drawn: augment.augment(tf.constant(0), encoded, drawn, data, crop), 2
    )
    return np.stack(list(dataset.as_numpy_iterator()))


@pytest.mark.parametrize("encode", [encode_png, tf.io.encode_jpeg])
def test_the_same_draws_give_the_same_crop_eagerly_and_inside_tf_data(random, encode):
    encoded = encode(smooth_noise(random, 60, 44))
    data = Data(scale=(32, 48))
    basis = random.normal(0, 1, (3, 3)).astype(np.float32)
    inside = crops(encoded, data, 5, basis=basis)
    for number, draws in enumerate(augment.epoch_draws(tf.constant([7, 0], tf.int64), 5)):
        eager = cropped(encoded, draws, data, 32, basis)
        assert np.abs(eager - inside[number]).max() <= 1e-3
    assert np.abs(inside[0] - inside[1]).max() > 1


@pytest.mark.parametrize("interpolation", PILLOW_FILTERS)
@pytest.mark.parametrize("size", [(90, 61), (40, 77), (33, 33), (512, 304)])
def test_a_fully_decoded_crop_is_pillows_box_resized(random, interpolation, size):
    """Upsampled, downsampled, halved: Pillow resizes the same window of the full image, with pixels around it."""
    image = smooth_noise(random, *size)
    data = Data(scale=(32, 48), interpolation=interpolation, jpeg_decoding="full", **PLAIN)
    for draws in ((0.0, 0.0, 0.0), (0.99, 0.99, 0.99), (0.5, 0.3, 0.7)):
        shown = cropped(encode_png(image), without_flip(*draws), data)
        window = augment.draw_window(image.shape[:2], tf.constant(draws), data.scale, 32, False)
        top, left, side = np.array([*window.corner, window.side]) * 2 ** int(window.halvings)
        box = (left, top, left + side, top + side)
        truth = PIL.Image.fromarray(image).resize((32, 32), PILLOW_FILTERS[interpolation], box=tuple(map(float, box)))
        difference = np.abs(shown - np.asarray(truth, np.float32))
        print(f"{interpolation} {size}: largest {difference.max():.2f}, mean {difference.mean():.2f} grey levels")
        assert difference.max() <= 2 and difference.mean() <= 0.5  # Pillow rounds after each axis


@pytest.mark.parametrize("size", [(129, 161), (257, 290), (1025, 1365)])
def test_a_fully_decoded_crop_stays_inside_where_halving_rounds_up(size):
    """The last window of a halved image reaches beyond the full one, where pixels would be black."""
    encoded = encode_png(np.full((*size, 3), 200))
    last = without_flip(0.0, 0.9999, 0.9999)
    for interpolation in PILLOW_FILTERS:
        data = Data(scale=(32,), jpeg_decoding="full", interpolation=interpolation, **PLAIN)
        assert np.abs(cropped(encoded, last, data) - 200).max() < 1e-3


@pytest.mark.parametrize("encode", [encode_png, tf.io.encode_jpeg])
def test_a_padded_crop_is_numpys_pad_and_slice(random, encode):
    """CIFAR's augmentation: 4 black pixels on each side, then one of 9 x 9 crops, each equally often."""
    encoded = encode(smooth_noise(random, 32, 32))
    pixels = np.asarray(PIL.Image.open(io.BytesIO(encoded.numpy())))
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0))).astype(np.float32)
    data = Data(scale=(32,), pad=4, **PLAIN)
    for row, column in itertools.product((0, 1, 4, 8), repeat=2):
        shown = cropped(encoded, without_flip(0.0, (row + 0.5) / 9, (column + 0.5) / 9), data)
        difference = np.abs(shown - padded[row : row + 32, column : column + 32]).max()
        assert difference == 0, (row, column)
    rows = augment.epoch_draws(tf.constant([7, 0], tf.int64), 20_000)
    corners = augment.draw_window((32, 32), rows, data.scale, 32, False, 4).corner.numpy()
    counts = np.unique(corners, axis=0, return_counts=True)[1]
    assert len(counts) == 81 and counts.min() > 150 and counts.max() < 350  # of 247 each


@pytest.mark.parametrize("scale", [32, 48, 64])
def test_padding_is_of_the_rescaled_image(random, scale):
    """96 pixels at S: the outermost crop shows 4 rows and columns of black, then the image rescaled by Pillow."""
    image = smooth_noise(random, 96, 96)
    shown = cropped(encode_png(image), without_flip(0.0, 0.0, 0.0), Data(scale=(scale,), pad=4, **PLAIN))
    rescaled = np.asarray(PIL.Image.fromarray(image).resize((scale, scale), PIL.Image.Resampling.BILINEAR), np.float32)
    assert np.abs(shown[:4]).max() == 0 and np.abs(shown[:, :4]).max() == 0
    difference = np.abs(shown[4:, 4:] - rescaled[:28, :28]).max()
    print(f"S={scale}: largest difference {difference:.2f} grey levels")
    assert difference <= 2


def test_windows_lie_inside_and_are_drawn_evenly(random):
    """For many sizes and draws: the window stays in the image, its side is c / S of the smaller side, ends come as often."""
    crop, scale = 32, (32, 64)
    sizes = random.integers(10, 1200, (600, 2))
    draws = random.choice([0, 0.2, 0.5, 0.8, 1 - 2**-23], (600, 3)).astype(np.float32)
    together = {}
    for window_decoding in (True, False):
        drawn = augment.draw_window(sizes, tf.constant(draws), scale, crop, window_decoding)
        together[window_decoding] = [field.numpy() for field in drawn]
    for number, window_decoding in itertools.product(range(600), together):
        window = augment.Window(*(field[number] for field in together[window_decoding]))
        if number % 10 == 0:  # one image by itself has the same window
            single = augment.draw_window(sizes[number], tf.constant(draws[number]), scale, crop, window_decoding)
            assert all(np.array_equal(one, other) for one, other in zip(window, single, strict=True))
        size = np.ceil(sizes[number] / 2**window.halvings)
        s = scale[0] + int(draws[number, 0] * 33)
        assert (window.corner >= 0).all() and (window.corner + window.side <= size + 1e-3).all()
        assert abs(window.side - crop * size.min() / s) <= (0.5 if window.integer else 1e-3)
        assert window.halvings == 0 or size.min() >= s  # never halved below S
        assert window.halvings == 3 or sizes[number].min() / 2 ** (window.halvings + 1) < s  # nor too little
        assert window.integer == (size.min() >= s / (1 + window_decoding))
        if window.integer:
            assert (window.corner == np.floor(window.corner)).all() and window.side.is_integer()
            unrounded = draws[number, 1:] * (size - crop * size.min() / s)
            assert np.abs(window.corner - unrounded).max() <= 1.5
    last = tf.constant([[1.0 - 2**-23, draw, 0.0] for draw in (np.arange(1000) + 0.5) / 1000])
    corners = augment.draw_window((66, 66), last, scale, crop, True).corner[:, 0]
    counts = np.unique(corners, return_counts=True)[1]
    assert len(counts) == 66 - 33 + 1 and np.ptp(counts) <= 2  # the first and the last place as often as the others


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_windows_that_must_show_a_box_are_all_that_do(random, share):
    """Against every place of a window: each that shows the share is drawn, as often as others, and none that does not."""
    crop, draws, worst = 32, 3000, 0.0
    for _ in range(12):
        size, scale = random.integers(40, 200, 2), int(random.integers(crop, 80))
        low = np.array([random.integers(0, side - 8) for side in size])
        high = np.array([random.integers(first + 4, side + 1) for first, side in zip(low, size, strict=True)])
        boxes = np.tile(np.float32([low[1], low[0], high[1], high[0]]), (draws, 1))
        numbers = np.concatenate([np.zeros((draws, 1)), random.random((draws, 2))], axis=1).astype(np.float32)
        shown = augment._shown(tf.constant(boxes), share)
        window = augment.draw_window(np.tile(size, (draws, 1)), numbers, (scale,), crop, False, 0, shown)
        halved = 2.0 ** window.halvings.numpy()[0]
        side, corners = float(window.side[0]) * halved, window.corner.numpy() * halved
        for places, length, first, last in zip(corners.T, size, low, high, strict=True):
            end = np.ceil(length / halved) * halved  # of an image that is halved to whole pixels

            def seen(place, first=first, last=last, side=side):
                return np.minimum(place + side, last) - np.maximum(place, first)

            inside = (places >= first - 1e-3) & (places + side <= last + 1e-3)
            rounded = halved if window.integer[0] else 0  # to the next whole pixel
            assert ((seen(places) >= share * (last - first) - rounded - 1e-3) | inside).all()
            assert (places >= -1e-3).all() and (places + side <= end + 1e-3).all()
            if window.integer[0]:
                possible = np.arange(int(end / halved - side / halved) + 1) * halved
                wanted = possible[seen(possible) >= share * (last - first) + 1e-3]
                assert set(wanted) <= set(places)
                counts, mean = np.unique(places, return_counts=True)[1], draws / len(set(places))
                worst = max(worst, np.abs(counts - mean).max() / np.sqrt(mean))
    print(f"share {share}: a place is drawn as often as others within {worst:.1f} standard deviations")
    assert 0 < worst < 5


@pytest.mark.slow
def test_scale_position_and_flip_are_drawn_evenly():
    """A picture whose value is its column shows where a crop lies, how large S was, and whether it is mirrored."""
    side = 64
    ramp = np.repeat(np.arange(side, dtype=np.float32)[None, :, None] * 2, side, axis=0)
    image = np.concatenate([ramp, ramp.transpose(1, 0, 2), ramp], axis=-1)
    drawn = crops(encode_png(image), Data(scale=(64, 128), color_shift=0.0), 4000)
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
    image = smooth_noise(random, 32, 32)
    drawn = crops(encode_png(image), Data(scale=(32,), **PLAIN), 20, basis=np.full((3, 3), 100, np.float32))
    assert np.abs(drawn - image).max() <= 1e-3


def test_the_colour_shift_has_the_covariance_of_its_formula(random):
    image = encode_png(np.full((32, 32, 3), 128, np.uint8))
    basis = random.normal(0, 30, (3, 3)).astype(np.float32)
    drawn = crops(image, Data(scale=(32,), flip=False, color_shift=0.1), 4000, basis=basis) - 128
    assert np.abs(drawn - drawn[:, :1, :1]).max() <= 1e-4  # one draw an image
    shifts = drawn[:, 0, 0]
    expected = 0.1**2 * basis @ basis.T
    difference = np.abs(np.cov(shifts.T) - expected).max() / np.abs(expected).max()
    print(f"colour shift: covariance off by {difference:.1%} of its largest entry, 4,000 draws")
    assert difference < 0.08
    assert np.abs(shifts.mean(axis=0)).max() < 0.3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_crops_of_a_rotated_image_lie_evenly_in_the_upright_one(orientation, random):
    """Each crop is a window of the upright picture or of its mirror image, and each place comes as often."""
    stored = random.integers(0, 256, (36, 40, 3), np.uint8)
    encoded, upright = tf.constant(png(40, 36, 2, 8, rows(stored))), pillow_upright(stored, orientation)
    places = {}
    for flipped, picture in ((False, upright), (True, upright[:, ::-1])):
        for top in range(upright.shape[0] - 31):
            for left in range(upright.shape[1] - 31):
                places[picture[top : top + 32, left : left + 32].tobytes()] = flipped, top, left
    assert len(places) == 2 * 5 * 9
    data = Data(scale=(36,), color_shift=0.0)
    drawn = augmented(encoded, augment.epoch_draws(tf.constant([3, 4], tf.int64), 1350), data)
    crops = tf.data.Dataset.from_tensor_slices(drawn).map(
        lambda drawn: augment.augment(tf.constant(0), encoded, drawn, data, 32, tf.constant(orientation)), 2
    )
    found = [places[np.round(crop).astype(np.uint8).tobytes()] for crop in crops.as_numpy_iterator()]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    statistic = ((counts - 15) ** 2 / 15).sum()
    print(f"orientation {orientation}: chi-square of places {statistic:.1f}, 89 degrees of freedom")
    assert len(counts) == 90 and statistic < 137  # one in a thousand
