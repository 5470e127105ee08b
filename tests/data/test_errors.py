"""Images that go bad after the scan end a run in one line that names the file."""

import io
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import write_images
from tests.data.toy_splits import BASIS, noise, pictures
from vgg_keras.config import Data, Evaluation
from vgg_keras.data import pipeline, scan
from vgg_keras.data.errors import readable_images
from vgg_keras.data.sources import open_test
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable


@pytest.mark.parametrize("image", [2, 3])  # a PNG, a JPEG
@pytest.mark.parametrize("decoding", ["window", "full"])
def test_an_image_of_another_size_than_the_scan_found_stops_a_run(image, decoding):
    """Its window would lie elsewhere, or beyond it, where pixels are black."""
    split, data = noise(6), Data(batch=6, scale=(32, 40), jpeg_decoding=decoding)
    split.sizes[image] += (1, 2)
    height, width = split.sizes[image]
    with pytest.raises(
        UserError, match=f"p{image}, which has {width - 2} x {height - 1} pixels and had {width} x {height}"
    ):
        with readable_images(split.followed_by(noise(3))):
            list(pipeline.training(split, data, 32, BASIS, 3, 0, 1))


FAULTS = {
    "a folder": lambda path, size: path.mkdir(),
    "a FIFO": lambda path, size: os.mkfifo(path),
    "a device": lambda path, size: path.symlink_to("/dev/zero"),
    "Too many levels of symbolic links": lambda path, size: path.symlink_to(path.name),
    "No such file": lambda path, size: None,
    "an empty file": lambda path, size: path.touch(),
    "2,147,483,648 bytes": lambda path, size: path.touch() or os.truncate(path, 2**31),
    "Invalid JPEG data|Unknown image file": lambda path, size: path.write_bytes(b"x" * size),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_takes_the_place_of_an_image_is_named(tmp_path, fault):
    name = os.fsdecode(b"caf\xe9.jpg")
    photos = tmp_path / "photos"
    for folder in ("cat", "dog"):
        write_images(photos / folder, [(40, 50)] * 5)
    victim = photos / "cat" / name
    shutil.copy(photos / "cat" / "000.jpg", tmp_path / "copy")
    shutil.copy(tmp_path / "copy", victim)
    data = Data(source=str(photos), batch=4, scale=(32,), color_shift=0.0)
    whole = scan.inspected(open_test(data, "all")[3], data)[0]
    image = [path.endswith(printable(name)) for path in map(whole.path, range(whole.size))].index(True)
    victim.unlink()
    FAULTS[fault](victim, (tmp_path / "copy").stat().st_size)
    rules = Evaluation(batch=4)
    readers = [
        lambda: pipeline.training(whole, data, 32, BASIS, 0, 0, 3),
        lambda: pipeline.validation(whole, data, 32, 32, 4),
        lambda: pipeline.whole_images(whole, data, rules, 32, 32),
        lambda: pipeline.crops(whole, data, rules, 32, 32, 2),
    ]
    for read in readers if "FIFO" in fault else readers[:1]:
        with pytest.raises(UserError, match=rf"must stay as they were .*(?:{fault})") as error:
            with readable_images(whole):
                list(read())
        assert "\n" not in str(error.value)
        assert printable(name) in str(error.value)
    with pytest.raises(UserError, match=rf"{re.escape(printable(name))}, which can no longer be read: .*(?:{fault})"):
        pipeline.picture(whole, image)
    if "JPEG" not in fault:
        with pytest.raises(UserError, match=fault):
            pipeline.encoded(whole, image)


@pytest.mark.parametrize(
    ("error", "of_input"),
    [
        (
            tf.errors.UnknownError(None, None, "a.jpg; Input/output error [[{{node ReadFile}}]] [Op:IteratorGetNext]"),
            True,
        ),
        (tf.errors.ResourceExhaustedError(None, None, "a.jpg; Too many open files [Op:IteratorGetNext]"), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating [Op:IteratorGetNext]"), False),
        (tf.errors.InvalidArgumentError(None, None, "shapes differ [Op:__inference_step]"), False),
        (tf.errors.UnavailableError(None, None, "Collective ops is aborted by: a worker is gone"), False),
    ],
)
def test_disk_errors_become_a_user_error_and_errors_of_a_step_do_not(error, of_input):
    with pytest.raises(UserError if of_input else type(error)):
        with readable_images():
            raise error


def test_a_strip_with_more_pixels_at_q_than_int32_is_named():
    file = io.BytesIO()
    Image.fromarray(np.zeros((1, 10_000_000, 3), np.uint8)).save(
        file, "BMP"
    )  # a PNG of TensorFlow's has a million at most
    strip = tf.constant(file.getvalue())
    split = Split(1, lambda image: (strip, tf.constant(0)), str)
    with pytest.raises(UserError, match="256 x 2560000000 pixels then"):
        with readable_images(split):
            list(pipeline.whole_images(split, Data(), Evaluation(), 224, 256))


def test_an_image_above_max_pixels_at_q_is_named(random):
    split, rules = pictures(random, [(40, 40), (10, 200)]), Evaluation(max_pixels=40 * 700)
    with pytest.raises(UserError, match=r"Received: p1, 40 x 800 pixels then\. Raise the limit"):
        with readable_images(split):
            list(pipeline.whole_images(split, Data(), rules, 32, 40))
