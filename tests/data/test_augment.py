"""Image operations against Pillow and NumPy, eagerly and inside tf.data, and the random ones by their statistics."""

import ast
import io
import itertools
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import vgg_keras
from tests.data.crops import NO_SHIFT, augmented, cropped
from vgg_keras.config import Data
from vgg_keras.data import augment, decoding, fast_jpeg, rescaling

PILLOW = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def smooth(random, height, width):
    coarse = random.uniform(0, 255, (1, 6, 6, 3))
    return np.clip(tf.image.resize(coarse, (height, width), "bicubic")[0].numpy(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize(("size", "side", "expected"), [((90, 61), 32, (47, 32)), ((40, 77), 64, (64, 123))])
def test_rescaling_equals_pillows(random, interpolation, size, side, expected):
    image = smooth(random, *size)
    measured = rescaling.rescale(tf.constant(image), side, interpolation).numpy()
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
    whole = rescaling.rescale(image, 40, "bilinear").numpy()
    window = rescaling.rescale_and_crop(image, whole.shape[:2], 13, 5, (32, 32), "bilinear").numpy()
    difference = np.abs(window - whole[13:45, 5:37]).max()
    print(f"window against slice: largest difference {difference:.2g}")
    assert difference <= 1e-3


def test_the_centre_crop_is_the_middle(random):
    image = tf.constant(smooth(random, 50, 75))
    whole = rescaling.rescale(image, 40, "bilinear").numpy()  # (40, 60)
    crop = rescaling.center_crop(image, 40, 32, "bilinear").numpy()
    assert np.abs(crop - whole[4:36, 14:46]).max() <= 1e-3


def test_the_middle_of_a_strip_that_has_more_pixels_at_q_than_32_bits_count():
    image = np.zeros((1, 10_000_000, 3), np.uint8)
    image[:, 5_000_000 - 2 : 5_000_000 + 2] = 200
    assert [int(size) for size in rescaling.rescaled_size(*image.shape[:2], 256)] == [256, 2_560_000_000]
    crop = rescaling.center_crop(tf.constant(image), 256, 32, "bilinear").numpy()
    assert np.abs(crop - 200).max() < 1e-3


def test_photographs_are_rescaled_as_pillow_does(photographs):
    for path in photographs:
        decoded = decoding.decode(tf.io.read_file(str(path)))
        truth = PIL.Image.fromarray(decoded.numpy())
        measured = rescaling.rescale(decoded, 256, "bilinear").numpy()
        truth = np.asarray(truth.resize(measured.shape[1::-1], PILLOW["bilinear"]), np.float32)
        assert min(measured.shape[:2]) == 256
        assert np.abs(measured - truth).max() <= 1.5


def png(image):
    return tf.io.encode_png(tf.cast(image, tf.uint8))


def crops(encoded, data, epochs, crop=32, basis=NO_SHIFT):
    """Training crops of one image inside tf.data, one for each epoch."""
    drawn = augmented(encoded, augment.epoch_draws(tf.constant([7, 0], tf.int64), epochs), data, crop, basis)
    dataset = tf.data.Dataset.from_tensor_slices(drawn).map(
        lambda drawn: augment.augment(tf.constant(0), encoded, drawn, data, crop), 2
    )
    return np.stack(list(dataset.as_numpy_iterator()))


@pytest.mark.parametrize("encode", [png, tf.io.encode_jpeg])
def test_the_same_draws_give_the_same_crop_eagerly_and_inside_tf_data(random, encode):
    encoded = encode(smooth(random, 60, 44))
    data = Data(scale=(32, 48))
    basis = random.normal(0, 1, (3, 3)).astype(np.float32)
    inside = crops(encoded, data, 5, basis=basis)
    for number, draws in enumerate(augment.epoch_draws(tf.constant([7, 0], tf.int64), 5)):
        eager = cropped(encoded, draws, data, 32, basis)
        assert np.abs(eager - inside[number]).max() <= 1e-3
    assert np.abs(inside[0] - inside[1]).max() > 1


def without_flip(*draws):
    """A row of draws: S, row and column; no flip."""
    return tf.constant([*draws, 0.9, 0, 0, 0], tf.float32)


PLAIN = {"flip": False, "color_shift": 0.0}


@pytest.mark.parametrize("interpolation", PILLOW)
@pytest.mark.parametrize("size", [(90, 61), (40, 77), (33, 33), (512, 304)])
def test_an_exact_crop_is_pillows_box_resized(random, interpolation, size):
    """Upsampled, downsampled, halved: Pillow resizes the same square of the whole image, its filter reaching beyond it."""
    image = smooth(random, *size)
    data = Data(scale=(32, 48), interpolation=interpolation, jpeg_decoding="full", **PLAIN)
    for draws in ((0.0, 0.0, 0.0), (0.99, 0.99, 0.99), (0.5, 0.3, 0.7)):
        shown = cropped(png(image), without_flip(*draws), data)
        window = augment.draw_window(image.shape[:2], tf.constant(draws), data.scale, 32, False)
        top, left, side = np.array([*window.corner, window.side]) * 2 ** int(window.halvings)
        box = (left, top, left + side, top + side)
        truth = PIL.Image.fromarray(image).resize((32, 32), PILLOW[interpolation], box=tuple(map(float, box)))
        difference = np.abs(shown - np.asarray(truth, np.float32))
        print(f"{interpolation} {size}: largest {difference.max():.2f}, mean {difference.mean():.2f} grey levels")
        assert difference.max() <= 2 and difference.mean() <= 0.5  # Pillow rounds after each axis


@pytest.mark.parametrize("size", [(129, 161), (257, 290), (1025, 1365)])
def test_an_exact_crop_stays_inside_where_halving_rounds_up(size):
    """The last square of a halved picture reaches beyond the whole one, where there would be black."""
    encoded = png(np.full((*size, 3), 200))
    last = without_flip(0.0, 0.9999, 0.9999)
    for interpolation in PILLOW:
        data = Data(scale=(32,), jpeg_decoding="full", interpolation=interpolation, **PLAIN)
        assert np.abs(cropped(encoded, last, data) - 200).max() < 1e-3


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


KINDS = ["4:4:4", "4:2:2", "4:2:0", "grey", "CMYK"]


def jpeg(pixels, kind, progressive=False):
    """A JPEG file of (height, width, 3) uint8; "4:2:0" and its like say how coarse its chroma is."""
    file, mode = io.BytesIO(), {"grey": "L", "CMYK": "CMYK"}.get(kind)
    picture = PIL.Image.fromarray(pixels)
    chroma = {} if mode else {"subsampling": kind}
    (picture.convert(mode) if mode else picture).save(file, "JPEG", quality=92, progressive=progressive, **chroma)
    return file.getvalue()


def pillows(encoded, divisor=1):
    """What Pillow decodes, at 1/2, 1/4 or 1/8 by its draft mode, (height, width, 3) uint8."""
    with PIL.Image.open(io.BytesIO(encoded)) as opened:
        opened.draft(None, (opened.width // divisor, opened.height // divisor))
        return np.asarray(opened.convert("RGB"))


def require_same_pixels(decoded, truth):
    difference = decoded.astype(np.int32) - truth
    print(f"largest difference {np.abs(difference).max()}, mean of R, G, B {difference.mean(axis=(0, 1)).round(2)}")
    assert not difference.any()


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_has_the_pixels_that_pillow_decodes(random, kind, progressive):
    """All of them, whatever its chroma: eagerly, and inside a graph as in tf.data and a SavedModel."""
    encoded = jpeg(smooth(random, 133, 161), kind, progressive)
    inside = tf.function(decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])
    for decode in (decoding.decode, inside):
        require_same_pixels(decode(tf.constant(encoded)).numpy(), pillows(encoded))


def test_photographs_have_the_pixels_that_pillow_decodes(photographs):
    for path in photographs:
        with PIL.Image.open(path) as opened:
            truth = np.asarray(opened.convert("RGB"))
        require_same_pixels(decoding.decode(tf.io.read_file(str(path))).numpy(), truth)


def test_every_call_that_decodes_a_jpeg_names_the_accurate_transform():
    """TensorFlow's default is the fast one; `decode_image` cannot be given another, and gets no JPEG."""
    found = []
    for path in Path(vgg_keras.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
            if name in ("decode_jpeg", "decode_and_crop_jpeg", "decode_image", "DecodeJpeg", "load_img"):
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                found.append((path.name, name, keywords.get("dct_method")))
    assert sorted(found) == [
        ("decoding.py", "decode_image", None),
        ("decoding.py", "decode_jpeg", "DCT"),
        ("fast_jpeg.py", "decode_and_crop_jpeg", "DCT"),
    ]
    assert decoding.DCT == "INTEGER_ACCURATE"


@pytest.mark.parametrize(("side", "halvings"), [(20, 0), (25, 0), (60, 0), (90, 1), (200, 2), (500, 3), (620, 3)])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_window_of_a_jpeg_is_a_square_of_the_picture_that_pillow_decodes(random, side, halvings, kind, progressive):
    """At 1/2, 1/4 and 1/8 Pillow's draft mode decodes at the same size; the bilinear truth is a loop."""
    encoded = jpeg(smooth(random, side, side + 37), kind, progressive)
    data = Data(scale=(40,), **PLAIN)
    truth = pillows(encoded, 2**halvings).astype(np.float64)
    size = -(-side // 2**halvings)
    assert truth.shape[0] == size
    for row, column in ((0.0, 0.0), (0.999, 0.999), (0.4, 0.7)):
        shown = cropped(encoded, without_flip(0.0, row, column), data)
        square = round(32 * size / 40)
        top, left = (int(draw * (whole - square + 1)) for draw, whole in ((row, size), (column, truth.shape[1])))
        difference = np.abs(shown - bilinear(truth[top : top + square, left : left + square], 32))
        print(f"{kind} {side} at 1/{2**halvings}: largest {difference.max():.2f}, mean {difference.mean():.2f}")
        if kind.startswith("4:2"):
            # coarse chroma is smoothed over its neighbours, which a window's outermost pixels do not have
            rim = 2 if side >= 40 else 5
            assert difference.mean() <= 0.5 and difference.max() <= 20
            assert difference[rim:-rim, rim:-rim].max() <= 1e-2
        else:
            assert difference.max() <= 1e-2
        if row and top and left:
            shifted = truth[top - 1 : top - 1 + square, left : left + square]
            assert np.abs(shown - bilinear(shifted, 32)).mean() > 2 * difference.mean()  # one pixel is told apart


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


def test_window_decoding_shows_what_full_decoding_shows(photographs):
    means, psnr, enlarged = windows_against_full_decoding(10 * photographs)  # at ten windows each
    assert enlarged > 2
    assert means.mean() < 1.0 and psnr.min() > 28


def test_window_decoding_of_200_flowers_differs_by_what_the_docs_say(shared_data):
    paths = sorted((shared_data / "flowers17" / "train").rglob("*.jpg"))[::5][:200]
    means, psnr, enlarged = windows_against_full_decoding(paths)
    assert len(paths) == 200 and enlarged > 2
    assert means.mean() < 1.0 and psnr.min() > 28


def test_only_jpegs_that_need_no_filter_are_decoded_by_their_squares():
    """Down by two at most beyond the decoder's halvings, or up by two; crop 32 at S=40."""
    expected = {19: 4, 20: 0, 79: 0, 80: 1, 159: 1, 160: 2, 320: 3, 630: 3, 650: 4}  # the smaller side, to the way
    sizes, draws = np.array([(side + 50, side) for side in expected]), np.full((len(expected), 7), 0.3, np.float32)
    for jpeg, exact, interpolation in itertools.product((True, False), (False, True), PILLOW):
        data = Data(scale=(40,), jpeg_decoding="full" if exact else "window", interpolation=interpolation)
        ways = augment.draw_augmentations(
            sizes, np.full(len(sizes), jpeg), draws, data, 32, NO_SHIFT
        ).decode_mode.numpy()
        fast = jpeg and not exact and interpolation == "bilinear"
        assert ways.tolist() == (list(expected.values()) if fast else [fast_jpeg.FULL_DECODE] * len(sizes))


def test_windows_lie_inside_and_are_drawn_evenly(random):
    """For many sizes and draws: the square stays in the image, its side is c / S of the smaller side, ends come as often."""
    crop, scale = 32, (32, 64)
    sizes = random.integers(10, 1200, (600, 2))
    draws = random.choice([0, 0.2, 0.5, 0.8, 1 - 2**-23], (600, 3)).astype(np.float32)
    together = {alone: augment.draw_window(sizes, tf.constant(draws), scale, crop, alone) for alone in (True, False)}
    for number, alone in itertools.product(range(600), together):
        window = augment.Window(*(field[number].numpy() for field in together[alone]))
        single = augment.draw_window(sizes[number], tf.constant(draws[number]), scale, crop, alone)
        assert all(np.array_equal(one, other) for one, other in zip(window, single, strict=True))
        size = np.ceil(sizes[number] / 2**window.halvings)
        s = scale[0] + int(draws[number, 0] * 33)
        assert (window.corner >= 0).all() and (window.corner + window.side <= size + 1e-3).all()
        assert abs(window.side - crop * size.min() / s) <= (0.5 if window.integer else 1e-3)
        assert window.halvings == 0 or size.min() >= s  # never halved below S
        assert window.halvings == 3 or sizes[number].min() / 2 ** (window.halvings + 1) < s  # nor too little
        assert window.integer == (size.min() >= s / (1 + alone))
        if window.integer:
            assert (window.corner == np.floor(window.corner)).all() and window.side.is_integer()
            exact = draws[number, 1:] * (size - crop * size.min() / s)
            assert np.abs(window.corner - exact).max() <= 1.5
    last = tf.constant([[1.0 - 2**-23, draw, 0.0] for draw in (np.arange(1000) + 0.5) / 1000])
    corners = augment.draw_window((66, 66), last, scale, crop, True).corner[:, 0]
    counts = np.unique(corners, return_counts=True)[1]
    assert len(counts) == 66 - 33 + 1 and np.ptp(counts) <= 2  # the first and the last place as often as the others


def test_scale_position_and_flip_are_drawn_evenly():
    """A picture whose value is its column tells where a crop lies, how large S was, and whether it is mirrored."""
    side = 64
    ramp = np.repeat(np.arange(side, dtype=np.float32)[None, :, None] * 2, side, axis=0)
    image = np.concatenate([ramp, ramp.transpose(1, 0, 2), ramp], axis=-1)
    drawn = crops(png(image), Data(scale=(64, 128), color_shift=0.0), 4000)
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
    image = smooth(random, 32, 32)
    drawn = crops(png(image), Data(scale=(32,), **PLAIN), 20, basis=np.full((3, 3), 100, np.float32))
    assert np.abs(drawn - image).max() <= 1e-3


def test_the_colour_shift_has_the_covariance_of_its_formula(random):
    image = png(np.full((32, 32, 3), 128, np.uint8))
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
    decoded = decoding.decode(tf.io.read_file(str(path))).numpy()
    with PIL.Image.open(path) as opened:
        truth = np.asarray(opened.convert("RGB"), np.float32)
    difference = np.abs(decoded - truth)
    print(f"{kind} {mode}: largest difference from Pillow {difference.max():.0f}, mean {difference.mean():.2f}")
    assert not difference.any()
