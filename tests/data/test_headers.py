"""The EXIF orientation in intact, damaged and hostile files; the pixels in a GIF's frames."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.data.awkward import JPEG, PALETTE, chunk, png, rows, smooth, tiff, with_exif, written
from tests.data.images import ORIENTATIONS, exif_of
from vgg_keras.data import headers

orientation_of = tf.function(headers.orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_is_found_wherever_cameras_write_it(orientation, big):
    jfif = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    comment = b"\xff\xfe\x00\x06mine"
    xmp = b"\xff\xe1\x00\x0chttp://ads"  # EXIF's marker around other words
    for before in (b"", jfif, jfif + comment + xmp, b"\xff" + jfif, jfif + b"\0\1" + comment):  # the last: stray bytes
        assert int(orientation_of(with_exif(JPEG, tiff(orientation, big), before))) == orientation
    assert int(orientation_of(with_exif(JPEG, tiff(orientation, big, kind=4)))) == orientation  # a long number
    assert int(orientation_of(written(smooth(), "JPEG", exif=exif_of(orientation)))) == orientation


@pytest.mark.parametrize(
    "damaged",
    [
        JPEG,
        with_exif(JPEG, tiff(0)),
        with_exif(JPEG, tiff(9)),
        with_exif(JPEG, tiff(6, kind=4, big=True).replace(b"MM", b"II")),
        with_exif(JPEG, tiff(6, kind=2)),
        with_exif(JPEG, tiff(6, count=2)),
        with_exif(JPEG, tiff(6, tag=0x0113)),
        with_exif(JPEG, tiff(6).replace(b"II", b"XX")),
        with_exif(JPEG, tiff(6)[:20]),
        with_exif(JPEG, b""),
        with_exif(JPEG, b"II*\0\xff\xff\xff\xff" + tiff(6)[8:]),
        JPEG + with_exif(JPEG, tiff(6))[2:],  # behind the pixels
        written(smooth(), "PNG") + b"Exif\0\0" + tiff(6),
        b"Exif\0\0",
    ],
)
def test_damaged_exif_is_upright(damaged):
    assert int(orientation_of(damaged)) == 1


def test_orientation_of_any_bytes_raises_nothing(random):
    """Cut anywhere, and with bytes changed anywhere in front of the pixels."""
    file = with_exif(JPEG, tiff(6))
    found = [int(orientation_of(file[:length])) for length in range(120)]
    assert set(found) == {1, 6} and found == sorted(found)  # 6 from where the tag is whole
    for _ in range(300):
        bent = bytearray(file[:400])
        for place in random.integers(2, 60, 3):
            bent[place] = random.integers(256)
        assert 1 <= int(orientation_of(bytes(bent))) <= 8


def test_orientation_of_a_png_with_exif_is_upright():
    file = png(60, 40, 2, 8, rows(smooth()), chunk(b"eXIf", tiff(6)))
    assert int(orientation_of(file)) == 1


def of_gif(file):
    """What `headers` finds of a GIF, by a graph as in the scan: pixels, words, what forbids it."""
    signature = [tf.TensorSpec([], tf.string)]
    search = tf.function(lambda one: headers._gif(headers._bytes(one)), input_signature=signature, autograph=False)
    return [found.numpy() for found in search(file)]


@pytest.mark.parametrize("chain", [1, 2, 256])
def test_the_pixels_in_all_frames_of_a_gif_are_counted_whatever_its_blocks_are(random, chain, monkeypatch):
    """Against Pillow's frames. Noise fills many blocks of 255 bytes, grey few; a chain of them is passed over together."""
    monkeypatch.setattr(headers, "_CHAIN", chain)
    noise = [PIL.Image.fromarray(random.integers(0, 256, (90, 120), np.uint8)) for _ in range(3)]
    file = written(noise[0], "GIF", save_all=True, append_images=[PIL.Image.new("L", (120, 90), 90), *noise[1:]])
    with PIL.Image.open(io.BytesIO(file)) as opened:
        pixels = opened.n_frames * opened.width * opened.height
    assert of_gif(file) == [pixels, b"%d pixels in all frames" % pixels, b""]


def test_a_gif_whose_first_frame_lies_beside_its_corner_is_refused():
    """As ImageMagick's -crop leaves it: TensorFlow's picture is as large as the largest frame, so that it is cut off."""
    whole = written(PALETTE, "GIF")
    frame = whole.index(b"\x2c\0\0\0\0")
    beside = whole[: frame + 1] + struct.pack("<HH", 10, 5) + whole[frame + 5 :]
    shown = tf.io.decode_image(beside, channels=3, expand_animations=False).numpy()
    assert not shown[:5].any() and not shown[:, :10].any() and shown.any()
    assert of_gif(beside)[2] == b"a GIF whose first frame lies beside its corner: save it as PNG"
    large = written(PALETTE.resize((80, 60)), "GIF")
    larger_behind = beside[:-1] + large[large.index(b"\x2c\0\0\0\0") :]  # which has room for the first one
    assert of_gif(whole)[2] == of_gif(larger_behind)[2] == b""


def test_a_gif_of_very_many_blocks_is_refused_and_not_searched_for_hours(monkeypatch):
    monkeypatch.setattr(headers, "_BLOCKS", 50)
    for blocks, outcome in ((20, b""), (40, b"a GIF of more than 50 blocks: save its first frame as PNG")):
        file = b"GIF89a" + bytes(7) + blocks * b"\x21\xfe\x00" + b";"  # empty comments, each two steps of the search
        assert of_gif(file)[2] == outcome
