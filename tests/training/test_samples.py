"""The picture of training crops, with images and crops that a test makes: what stands where, and the boxes around objects."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data
from vgg_keras.data.splits import Source, Split
from vgg_keras.evaluation import plots
from vgg_keras.training import samples

SIDE = 64


def crop_of(image, epoch):
    """A crop with a white rectangle, xmin, ymin, xmax, ymax."""
    box = np.array([5 + image, 8, 40 + 10 * epoch, 50])
    pixels = np.zeros((SIDE, SIDE, 3))
    pixels[box[1] : box[3], box[0] : box[2]] = 300.0  # the colour shift may reach beyond 255
    return pixels, box


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws such images and crops; the axes of the picture, row by row."""
    figures = []
    split = Split(9, lambda image: image, str)
    source = Source("photos", "", ("cat", "dog"), split, split)

    def training_crop(split, image, seed, epoch, data, crop, basis):
        pixels, box = crop_of(image, epoch)
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        return tf.constant(pixels), tf.constant(np.concatenate([[image % 2], centre / crop, size / crop]))

    def picture(split, image):
        return tf.constant(image, tf.uint8, [30, 50, 3]), image % 2

    monkeypatch.setattr(samples, "open_source", lambda data, stated: source)
    monkeypatch.setattr(samples, "without_bad_images", lambda source, config: (source, []))
    monkeypatch.setattr(samples, "measure", lambda split, images: SimpleNamespace(color_basis=None))
    monkeypatch.setattr(samples.pipeline, "picture", picture)
    monkeypatch.setattr(samples.pipeline, "training_crop", training_crop)
    monkeypatch.setattr(samples.plots, "save", lambda figure, path: figures.append(figure))

    def run(boxes, images, epochs):
        config = Config(Architecture("A", crop=SIDE, boxes=boxes), Data(scale=(80,)))
        drawn = samples.draw(config, tmp_path / "samples.png", images, epochs)
        return np.array(figures[-1].axes).reshape(drawn, epochs + 1)

    yield run
    for figure in figures:
        plots.pyplot().close(figure)


def test_a_row_is_an_image_and_its_crops_epoch_by_epoch(drawn):
    axes = drawn("none", images=3, epochs=2)
    for row, image in zip(axes, (0, 3, 6), strict=True):  # evenly of nine
        assert row[0].get_title() == f"{('cat', 'dog')[image % 2]}, 50 x 30"  # width x height
        assert (row[0].images[0].get_array() == image).all()
        for epoch, one in enumerate(row[1:]):
            pixels, _ = crop_of(image, epoch)
            assert one.get_title() == f"epoch {epoch + 1}" and not one.patches
            assert np.array_equal(one.images[0].get_array(), np.minimum(pixels, 255))
    assert drawn("none", images=50, epochs=1).shape == (9, 2)  # no more than there are


def test_the_box_of_a_crop_is_drawn_around_its_object(drawn):
    for row, image in zip(drawn("pcr", images=2, epochs=2), (0, 4), strict=True):
        assert not row[0].patches  # the whole image
        for epoch, one in enumerate(row[1:]):
            (patch,), (_, box) = one.patches, crop_of(image, epoch)
            corner = patch.get_xy()
            found = [*corner, corner[0] + patch.get_width(), corner[1] + patch.get_height()]
            assert np.allclose(found, box, atol=1e-9)
