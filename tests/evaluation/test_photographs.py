"""In whatever form photographs are given, they are the same ones in the same order."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_images
from vgg_keras.data.decoding import decode
from vgg_keras.errors import UserError
from vgg_keras.evaluation.photographs import listed, splits_of


@pytest.fixture
def photographs(tmp_path):
    return write_images(tmp_path / "album", [(40, 40), (50, 44), (44, 60)])


def test_one_path_a_list_or_a_folder_are_the_same_photographs(photographs):
    folder = photographs[0].parent
    first, every = [str(photographs[0])], list(map(str, photographs))
    for given, expected in (
        (first[0], first),
        (photographs[0], first),
        ([photographs[0]], first),
        (iter(first), first),
        (tuple(photographs), every),
        ((path for path in photographs), every),
        (np.array(every), every),
        (folder, every),
        (str(folder), every),
        ([photographs[0], folder], first + every),
    ):
        assert [image.name for image in listed(given, upright=True)] == expected


def test_photographs_of_a_folder_go_by_every_ending_of_their_formats(photographs):
    """Browsers on Windows save JPEG files as .jfif."""
    folder = photographs[0].parent
    for photograph, ending in zip(photographs, ("JFIF", "jpe", "mpo"), strict=True):
        photograph.rename(photograph.with_suffix(f".{ending}"))
    (folder / "notes.txt").write_text("no photograph")
    found = [Path(image.name).name for image in listed(folder, upright=True)]
    assert found == ["000.JFIF", "001.jpe", "002.mpo"]


def test_arrays_and_pillow_images_keep_their_pixels_and_their_places(random, photographs):
    pixels = random.integers(0, 256, (8, 9, 3), np.uint8)
    turned = Image.fromarray(np.rot90(pixels))  # EXIF's 6: a quarter to the right is upright
    turned.getexif()[0x0112] = 6
    found = listed([photographs[1], pixels, photographs[0], Image.fromarray(pixels), turned], upright=True)
    assert [one.name for one in found] == [str(photographs[1]), "image 1", str(photographs[0]), "image 3", "image 4"]
    for one in (found[1], found[3], found[4]):
        assert np.array_equal(decode(one.pixels).numpy(), pixels)
    assert decode(listed(turned, upright=False)[0].pixels).shape == (9, 8, 3)
    places = {tuple(places): split for places, split in splits_of(found)}
    assert set(places) == {(0, 2), (1, 3, 4)}
    assert [places[1, 3, 4].name(image) for image in range(3)] == ["image 1", "image 3", "image 4"]


def test_batches_among_others_are_their_images(random):
    pixels = random.integers(0, 256, (2, 8, 9, 3), np.uint8)
    found = listed((batch for batch in (pixels, pixels[0], pixels[1:])), upright=True)
    assert [one.name for one in found] == ["image 0", "image 1", "image 2", "image 3"]
    for one, expected in zip(found, pixels[[0, 1, 0, 1]], strict=True):
        assert np.array_equal(one.pixels, expected)


def test_a_pillow_image_that_cannot_be_read_is_named(photographs):
    """Pillow reads the pixels of an opened file when they are needed first."""
    cut = Image.open(io.BytesIO(photographs[0].read_bytes()[:-200]))
    closed = Image.open(photographs[1])
    closed.close()
    for image, reason in ((cut, "image file is truncated"), (closed, "Operation on closed image")):
        with pytest.raises(UserError, match=f"must be whole and open. Received: image 1: {reason}"):
            listed([photographs[2], image], upright=True)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "Photographs are a path, .* Received: None"),
        (7, "Received: int 7"),
        (b"photo.jpg", "Received: bytes b'photo.jpg'"),
        ({"photo.jpg": 1}, "Received: dict"),
        ([["a.jpg"]], r"Received: list \['a.jpg'\] among them"),
        ([], "Photographs or folders of them are needed. Received: none"),
        (np.zeros((32, 40), np.uint8), r"Received: shape \(32, 40\) of uint8"),
        (np.zeros((32, 40, 3)), r"Received: shape \(32, 40, 3\) of float64"),
        (np.zeros((2, 0, 0, 3), np.uint8), r"Received: shape \(0, 0, 3\)"),
        (Image.new("L", (0, 5)), "A Pillow image must have pixels. Received: one of 0 x 5 pixels"),
        (Image.new("I;16", (40, 40)), "must have 8 bits a channel, .*. Received: one of mode 'I;16'"),
        (Image.new("HSV", (40, 40)), "in grey, a palette, RGB, CMYK or YCbCr. Received: one of mode 'HSV'"),
        ("", "Photographs are a path, .* Received: an empty path"),
        (["", "photo.jpg"], "Received: an empty path"),
        ("absent.jpg", "must exist. Received: absent.jpg, which does not"),
        (["absent.jpg"], "must exist. Received: absent.jpg, which does not"),
        (Path("absent"), "must exist. Received: absent, which does not"),
        ("https://a.org/b.jpg", "files of this machine. Received: https://a.org/b.jpg, an address. Download it first"),
        (io.BytesIO(b"several\nlines"), "Photographs are a path, .* Received: BytesIO"),
    ],
)
def test_other_images_are_refused_in_one_line(images, message):
    with pytest.raises(UserError, match=message) as caught:
        listed(images, upright=True)
    assert "\n" not in str(caught.value)
