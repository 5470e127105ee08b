"""Decoded files and upright images have the pixels that Pillow gives."""

import ast
import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

import vgg_keras
from tests.data.awkward import KINDS, smooth
from tests.data.images import JPEG_KINDS, ORIENTATIONS, encode_jpeg, pillow_decode, pillow_upright, smooth_noise
from tests.warm import finished, run_code
from vgg_keras.data import decoding


def require_same_pixels(decoded, truth):
    difference = decoded.astype(np.int32) - truth
    print(f"largest difference {np.abs(difference).max()}, mean of R, G, B {difference.mean(axis=(0, 1)).round(2)}")
    assert not difference.any()


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_decoded_jpegs_equal_pillows(random, kind, progressive):
    """All of them, whatever its chroma: eagerly, and inside a graph as in tf.data and a SavedModel."""
    encoded = encode_jpeg(smooth_noise(random, 133, 161), kind, progressive)
    inside = tf.function(decoding.decode, input_signature=[tf.TensorSpec([], tf.string)])
    for decode in (decoding.decode, inside):
        require_same_pixels(decode(tf.constant(encoded)).numpy(), pillow_decode(encoded))


def test_decoded_photographs_equal_pillows(photographs):
    for path in photographs:
        with PIL.Image.open(path) as opened:
            truth = np.asarray(opened.convert("RGB"))
        require_same_pixels(decoding.decode(tf.io.read_file(str(path))).numpy(), truth)


def test_every_call_that_decodes_a_jpeg_uses_the_accurate_dct():
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
        ("inspection.py", "decode_jpeg", "DCT"),
    ]
    assert decoding.DCT == "INTEGER_ACCURATE"


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("BMP", "RGB"), ("GIF", "L"), ("JPEG", "CMYK")]
)
def test_files_are_decoded_by_content_not_by_name(random, tmp_path, kind, mode):
    picture = PIL.Image.fromarray(smooth_noise(random, 20, 30)).convert(mode)
    path = tmp_path / "picture.jpg"  # whatever the name says
    picture.save(path, kind, **({"quality": 95} if kind == "JPEG" else {}))
    decoded = decoding.decode(tf.io.read_file(str(path))).numpy()
    with PIL.Image.open(path) as opened:
        truth = np.asarray(opened.convert("RGB"), np.float32)
    difference = np.abs(decoded - truth)
    print(f"{kind} {mode}: largest difference from Pillow {difference.max():.0f}, mean {difference.mean():.2f}")
    assert not difference.any()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_upright_equals_pillows_exif_transpose(orientation):
    pixels = smooth()
    for image in (pixels, pixels.astype(np.float32)):
        found = decoding.upright(tf.constant(image), tf.constant(orientation)).numpy()
        assert np.array_equal(found, pillow_upright(pixels, orientation).astype(image.dtype))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_other_channels_are_pillows(mode, tmp_path):
    """A PNG in grey, in RGB, and with its transparency where four channels are read."""
    random = np.random.default_rng(1)
    shape = (9, 7) if mode in "LP" else (9, 7, len(mode))
    picture = PIL.Image.fromarray(random.integers(0, 256, shape, np.uint8), "L" if mode == "P" else mode)
    picture = picture.convert("P") if mode == "P" else picture
    picture.save(tmp_path / "one.png")
    encoded = (tmp_path / "one.png").read_bytes()
    for channels, theirs in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        expected = picture if mode == theirs else picture.convert("RGB").convert(theirs)
        ours = decoding.decode(encoded, channels).numpy().reshape(9, 7, channels).squeeze()
        assert np.array_equal(ours, np.asarray(expected)), (mode, channels)


@pytest.mark.parametrize("name", ["cmyk.jpg", "ycck.jpg", "rgb_inside.jpg"])
def test_a_jpeg_that_is_not_stored_as_luminance_and_colours_is_pillows_in_grey(name):
    """The decoder has no way from four colours to grey."""
    encoded, _ = KINDS[name]
    with PIL.Image.open(io.BytesIO(encoded)) as opened:
        truth = np.asarray(opened.convert("RGB").convert("L"))
    difference = decoding.decode(encoded, 1).numpy()[..., 0] - truth.astype(int)
    print(f"{name}: largest difference from Pillow's grey {np.abs(difference).max()}")
    assert np.abs(difference).max() <= 1


def test_pixels_are_turned_and_measured_without_an_error_of_tensorflows_log(tmp_path):
    """Of oneDNN, which TensorFlow uses by default on CPUs with AVX512-VNNI and the like: elsewhere there is none anyway."""
    script = (
        "import numpy as np, tensorflow as tf\n"
        "from vgg_keras.data import decoding, statistics\n"
        "pixels = tf.constant(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3))\n"
        "statistics.color_sums(decoding.upright(pixels, tf.constant(6)))\n"
    )
    done = finished(run_code, [sys.executable, "-c", script], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
