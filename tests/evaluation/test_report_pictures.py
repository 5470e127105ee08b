"""Pictures of the report, whatever the images' sizes."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from vgg_keras.data.splits import Split
from vgg_keras.evaluation import report_pictures


@pytest.mark.parametrize(("size", "shown"), [((90, 70), (206, 160)), ((400, 90), (320, 160)), ((64, 300), (160, 320))])
def test_a_thumbnail_is_pillows(random, size, shown):
    """Its smaller side is 160 pixels, and of its longer one the middle is shown; both sizes are width and height."""
    picture = PIL.Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize(
        size, PIL.Image.Resampling.BICUBIC
    )
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    split = Split(1, lambda image: (tf.constant(encoded.getvalue()), tf.constant(0)), str)
    found = np.asarray(PIL.Image.open(io.BytesIO(report_pictures._thumbnail(split, 0))), float)
    whole = [round(length * 160 / min(size)) for length in size]
    left, top = ((length - part) // 2 for length, part in zip(whole, shown, strict=True))
    middle = (left, top, left + shown[0], top + shown[1])
    expected = np.asarray(picture.resize(whole, PIL.Image.Resampling.BILINEAR).crop(middle), float)
    off = np.abs(found - expected)
    print(f"{size}: largest difference {off.max():.0f}, mean {off.mean():.2f} grey levels, of a JPEG")
    assert found.shape == (*shown[::-1], 3) and off.mean() < 2


def test_the_thumbnail_of_a_panorama_takes_little_memory(random, monkeypatch):
    """A window of the rescaled picture, which for 1 x 60,000 pixels would be 160 x 9,600,000: 18 GB."""
    pixels = random.integers(0, 256, (1, 60_000, 3), np.uint8)
    encoded = tf.io.encode_jpeg(pixels, quality=95)
    split = Split(1, lambda image: (encoded, tf.constant(0)), str)
    thumbnail = tf.io.decode_jpeg(report_pictures._thumbnail(split, 0))
    assert thumbnail.shape == (160, 320, 3)
    middle = tf.io.decode_jpeg(encoded)[0, 29_998:30_002].numpy().mean(axis=0)
    assert np.abs(thumbnail[80, 100:220].numpy().mean(axis=0) - middle).max() < 60  # about the same colours
