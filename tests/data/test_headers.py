"""What headers tell: the EXIF orientation, whole, damaged and lying; and the picture that it turns, against Pillow."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.awkward import chunk, png, rows, smooth, tiff, turned, written
from tests.data.crops import augmented, cropped
from vgg_keras.config import Architecture, Config, Data, Evaluation, Runtime
from vgg_keras.data import augment, decoding, headers, pipeline, rescaling, scan
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Split

ALL = range(1, 9)
JPEG = written(smooth(), "JPEG")
told = tf.function(headers.orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def pillows(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as Pillow turns them by an EXIF tag."""
    opened = PIL.Image.open(io.BytesIO(written(pixels, "PNG", exif=_exif(orientation))))
    return np.asarray(PIL.ImageOps.exif_transpose(opened))


def _exif(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("orientation", ALL)
def test_the_orientation_is_found_wherever_cameras_write_it(orientation, big):
    jfif = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    comment = b"\xff\xfe\x00\x06mine"
    xmp = b"\xff\xe1\x00\x0chttp://ads"  # EXIF's marker around other words
    for before in (b"", jfif, jfif + comment + xmp, b"\xff" + jfif, jfif + b"\0\1" + comment):  # the last: stray bytes
        assert int(told(turned(JPEG, tiff(orientation, big), before))) == orientation
    assert int(told(turned(JPEG, tiff(orientation, big, kind=4)))) == orientation  # a long number
    assert int(told(written(smooth(), "JPEG", exif=_exif(orientation)))) == orientation


@pytest.mark.parametrize(
    "damaged",
    [
        JPEG,
        turned(JPEG, tiff(0)),
        turned(JPEG, tiff(9)),
        turned(JPEG, tiff(6, kind=4, big=True).replace(b"MM", b"II")),
        turned(JPEG, tiff(6, kind=2)),
        turned(JPEG, tiff(6, count=2)),
        turned(JPEG, tiff(6, tag=0x0113)),
        turned(JPEG, tiff(6).replace(b"II", b"XX")),
        turned(JPEG, tiff(6)[:20]),
        turned(JPEG, b""),
        turned(JPEG, b"II*\0\xff\xff\xff\xff" + tiff(6)[8:]),
        JPEG + turned(JPEG, tiff(6))[2:],  # behind the pixels
        written(smooth(), "PNG") + b"Exif\0\0" + tiff(6),
        b"Exif\0\0",
    ],
)
def test_what_is_damaged_is_upright(damaged):
    assert int(told(damaged)) == 1


def test_no_bytes_make_an_error(random):
    """Cut anywhere, and with bytes changed anywhere in front of the pixels."""
    file = turned(JPEG, tiff(6))
    found = [int(told(file[:length])) for length in range(120)]
    assert set(found) == {1, 6} and found == sorted(found)  # 6 from where the tag is whole
    for _ in range(300):
        bent = bytearray(file[:400])
        for place in random.integers(2, 60, 3):
            bent[place] = random.integers(256)
        assert 1 <= int(told(bytes(bent))) <= 8


@pytest.mark.parametrize("orientation", ALL)
def test_a_whole_image_is_turned_as_pillow_turns_it(orientation):
    pixels = smooth()
    for image in (pixels, pixels.astype(np.float32)):
        found = decoding.upright(tf.constant(image), tf.constant(orientation)).numpy()
        assert np.array_equal(found, pillows(pixels, orientation).astype(image.dtype))


@pytest.mark.parametrize("orientation", ALL)
def test_crops_of_a_turned_picture_lie_evenly_in_the_upright_one(orientation, random):
    """Each crop is a square of the upright picture or of its mirror image, and each place comes as often."""
    stored = random.integers(0, 256, (36, 40, 3), np.uint8)
    encoded, upright = tf.constant(png(40, 36, 2, 8, rows(stored))), pillows(stored, orientation)
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


def test_a_window_of_a_turned_jpeg_shows_what_the_upright_picture_shows(random):
    """The decoded window is turned like the picture: at each orientation it is the stored picture's own crop, turned."""
    draws = tf.constant([0.3, 0.2, 0.9, 0.9, 0, 0, 0], tf.float32)
    file, data = written(smooth(1, 90, 130), "JPEG"), Data(scale=(40,), flip=False, color_shift=0.0)
    stored = cropped(file, draws, data)
    for orientation in ALL:
        crop = cropped(file, draws, data, orientation=orientation)
        truth = pillows(np.round(stored).astype(np.uint8), orientation)
        assert np.abs(crop - truth).max() <= 0.5


@pytest.fixture
def album(tmp_path):
    """Two classes of photographs, of which some are stored turned, and the same ones upright, by name."""
    upright = {}
    for label, name in enumerate(("cat", "dog")):
        for number, path in enumerate(write_images(tmp_path / "photos" / name, [(40, 60)] * 10, seed=label)):
            orientation = 1 + (number + label) % 8
            path.write_bytes(turned(path.read_bytes(), tiff(orientation)))
            stored = decoding.decode(path.read_bytes()).numpy()
            upright[f"{name}/{path.name}"] = pillows(stored, orientation)
    return tmp_path, upright


def opened(folder, **fields):
    data = Data(source=str(folder / "photos"), scale=(36,), **fields)
    config = Config(Architecture(crop=32), data, runtime=Runtime(cache_dir=str(folder / "cache")))
    return scan.without_bad_images(open_source(data), config)[0]


def test_whatever_shows_an_image_shows_it_upright(album):
    folder, upright = album
    for source in (opened(folder), opened(folder)):  # the second time from the cache
        for split in (source.train, source.val, source.split("all"), source.train.select([9, 2, 5])):
            truths = [upright[split.name(image)] for image in range(split.size)]
            for image, truth in enumerate(truths):
                assert np.array_equal(pipeline.picture(split, image)[0], truth)
            middles = [rescaling.center_crop(truth, 36, 32, "bilinear") for truth in truths]
            batches = pipeline.validation(split, Data(), 32, 36, 4).as_numpy_iterator()
            shown = np.concatenate([images[weights > 0] for images, _, weights in batches])
            assert np.abs(shown - middles).max() <= 1e-3
            for images, _, ids in pipeline.whole_images(split, Data(), Evaluation(batch=4), 32, 36).as_numpy_iterator():
                for window, image in zip(images, ids, strict=True):
                    assert np.abs(window - rescaling.rescale(truths[image], 36, "bilinear")).max() <= 1e-3


def test_training_shows_the_crops_upright(album):
    """Crops without a flip are those of the stored file, turned; with the field off they are not turned."""
    folder, _ = album
    fields = {"flip": False, "color_shift": 0.0, "batch": 16}
    data = Data(scale=(36,), **fields)
    turned_, stored = opened(folder, **fields).train, opened(folder, exif_orientation=False, **fields).train
    assert stored.orientations is None and set(turned_.orientations) == set(ALL)
    basis = np.zeros((3, 3), np.float32)
    for split in (turned_, stored):
        ((images, _, _),) = pipeline.training(split, data, 32, basis, 3, 0, 1).as_numpy_iterator()
        expected = [pipeline.seen(split, image, 3, 0, data, 32, basis)[0].numpy() for image in range(split.size)]
        for image in images:
            assert min(np.abs(image - crop).max() for crop in expected) == 0
    for image in range(stored.size):
        plain, crop = (pipeline.seen(split, image, 3, 0, data, 32, basis)[0].numpy() for split in (stored, turned_))
        truth = pillows(np.round(plain).astype(np.uint8), int(turned_.orientations[image]))
        assert np.abs(crop - truth).max() <= 0.5


def test_sets_without_a_turned_image_have_no_orientations(tmp_path):
    """So that nothing is added to the graph of a step."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(40, 60)] * 5)
    assert opened(tmp_path).train.orientations is None
    plain = Split(4, lambda image: (image, image), str)
    told_ = Split(3, lambda image: (image, image), str, orientations=np.array([1, 6, 3], np.int32))
    assert plain.followed_by(plain).orientations is None
    assert plain.followed_by(told_).orientations.tolist() == [1, 1, 1, 1, 1, 6, 3]
    assert told_.followed_by(plain).select([1, 3, 2]).orientations.tolist() == [6, 1, 3]


def test_a_png_with_an_exif_chunk_is_taken_as_it_is():
    file = png(60, 40, 2, 8, rows(smooth()), chunk(b"eXIf", tiff(6)))
    assert int(told(file)) == 1
