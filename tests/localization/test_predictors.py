"""The dense box map is the box net at each window, and its offsets are image coordinates; SCR and PCR."""

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

import vgg_keras
from tests.data.rectangles import config_of, draw, opened, write_list
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.errors import UserError
from vgg_keras.evaluation.protocols import posterior_of
from vgg_keras.localization.boxes import Geometry, in_crop
from vgg_keras.localization.predicted_boxes import Layout
from vgg_keras.localization.predictors import Center, Dense, positions, require_classifier
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel

CROP = 64


def a_net(boxes, seed=1, head="fc", box_unit="crop", **fields):
    """A thin net with random weights, whose mean is the colour 100, as a loaded model."""
    fields = {
        "num_classes": 3,
        "crop": CROP,
        "width": 1 / 16,
        "fc_units": 1024,
        "mean": (100.0,) * 3,
        "initializer": "he",
    } | fields
    architecture = Architecture("A", boxes=boxes, head=head, box_unit=box_unit, **fields)
    rules = Evaluation(protocol="dense", flip=True, batch=4)
    config = Config(architecture, Data(source="list.csv", scale=(96,)), evaluation=rules)
    return LoadedModel(vgg_keras.build(architecture, seed=seed), config, ("a", "b", "c"), "net", f"digest {seed}")


def without_neighbours(net):
    """The net with convolutions that see one pixel each: what pads a crop then changes nothing of it."""
    for layer in net.model.layers:
        if layer.name.endswith(("conv1", "conv2")):
            kernel, bias = layer.get_weights()
            centre = np.zeros_like(kernel)
            centre[1, 1] = kernel[1, 1] * 3
            layer.set_weights([centre, np.full_like(bias, 0.5)])
    return net


@pytest.mark.slow
@pytest.mark.parametrize(
    ("boxes", "head", "unit"), [("scr", "fc", "crop"), ("pcr", "fc", "pixels"), ("pcr", "gap", "crop")]
)
def test_the_dense_map_is_the_box_net_on_each_crop_of_the_image(boxes, head, unit):
    net = without_neighbours(a_net(boxes, head=head, box_unit=unit))
    config = override(net.config, {"evaluation.flip": False})
    image = np.random.default_rng(0).uniform(0, 255, (160, 256, 3)).astype(np.float32)
    place = Geometry(height=320, width=512, rescaled=(160, 256))  # the image before was twice as large
    ((found, scores, posteriors),) = Dense(net, None, config).found_in(tf.constant(image[np.newaxis]), [place])
    whole = vgg_keras.to_fully_convolutional(net.model)(image[np.newaxis]).numpy()[0]
    corners = [(32 * row, 32 * column) for row in range(4) for column in range(7)]
    crops = np.stack([image[top : top + CROP, left : left + CROP] for top, left in corners])
    expected = net.model(crops, training=False).numpy()
    scale = np.abs(expected).max()
    off = np.abs(whole.reshape(28, -1) - expected).max() / scale
    print(f"{boxes}, {head}, {unit}: largest difference at 28 windows {off:.2g} of {scale:.3g}")
    assert off < 1e-4 and np.ptp(expected, axis=0).max() > 0.01 * scale
    for at, (top, left) in enumerate(corners):
        in_image = (in_crop(expected[at], net.config.architecture) * CROP + [left, top, left, top]) * 2
        np.testing.assert_allclose(found[at], in_image, atol=2e-4 * CROP * scale)
    assert posteriors is None and scores.shape == (28, 1)
    assert found.shape == (28, 3 if boxes == "pcr" else 1, 4) and positions(place, CROP, flip=True) == 56


@pytest.mark.slow
@pytest.mark.parametrize("boxes", ["scr", "pcr"])
def test_the_map_of_a_picture_is_the_head_at_each_window_and_the_mirror_image_mirrors(boxes):
    net, random = a_net(boxes), np.random.default_rng(2)
    image = random.uniform(0, 255, (1, 130, 200, 3)).astype(np.float32)
    place = Geometry(height=130, width=200, rescaled=(130, 200))
    dense = Dense(net, None, net.config)
    ((found, _, _),) = dense.found_in(tf.constant(image), [place])
    whole = vgg_keras.to_fully_convolutional(net.model)
    for view, part in ((image, slice(0, 15)), (image[:, :, ::-1], slice(15, 30))):
        score_map = whole(view).numpy()[0]
        assert score_map.shape[:2] == (3, 5)
        expected = np.stack(
            [
                in_crop(score_map[row, column], net.config.architecture) * CROP + [32 * column, 32 * row] * 2
                for row in range(3)
                for column in range(5)
            ]
        )
        if view is not image:
            expected = np.stack(
                [200 - expected[..., 2], expected[..., 1], 200 - expected[..., 0], expected[..., 3]], axis=-1
            )
        np.testing.assert_allclose(found[part], expected, rtol=1e-5, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(("boxes", "side", "rows", "columns"), [("scr", CROP, 3, 5), ("pcr", 80, 2, 4)])
def test_each_window_by_itself_is_the_net_on_its_crop(boxes, side, rows, columns):
    """Here with convolutions that see their neighbours: zeros are beyond a window, as beyond a crop in training.

    Of a crop that is no multiple of 32 the map has more windows; the last ones reach beyond the image.
    """
    net, classifier = a_net(boxes, crop=side), a_net("none", seed=2, crop=side)
    config = override(net.config, {"localization.windows": "crops"})
    image = np.random.default_rng(4).uniform(0, 255, (130, 200, 3)).astype(np.float32)
    place = Geometry(height=260, width=400, rescaled=(130, 200))
    ((found, scores, posteriors),) = Dense(net, classifier, config).found_in(tf.constant(image[np.newaxis]), [place])
    expected, logits = [], []
    for view in (image, image[:, ::-1]):
        for row in range(rows):
            for column in range(columns):
                crop = view[np.newaxis, 32 * row : 32 * row + side, 32 * column : 32 * column + side]
                box = in_crop(net.model(crop).numpy()[0], net.config.architecture) * side + [32 * column, 32 * row] * 2
                if view is not image:
                    box = np.stack([200 - box[:, 2], box[:, 1], 200 - box[:, 0], box[:, 3]], axis=1)
                expected.append(2 * box)
                logits.append(classifier.model(crop).numpy()[0])
    off = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{boxes}: largest difference of {len(found)} boxes {off:.2g} of the largest number")
    assert found.shape == (2 * rows * columns, 3 if boxes == "pcr" else 1, 4) and off < 1e-5
    assert positions(place, side, flip=True) >= len(found)
    np.testing.assert_allclose(scores, posterior_of(np.array(logits), False), atol=1e-5)
    whole = [posterior_of(np.mean(part, axis=0), False) for part in np.split(np.array(logits), 2)]
    np.testing.assert_allclose(posteriors, np.mean(whole, axis=0), atol=1e-5)
    of_map = Dense(net, classifier, net.config).found_in(tf.constant(image[np.newaxis]), [place])
    on_map = next(of_map)[0].reshape(2, -1, *found.shape[1:])[:, 0]
    first = found.reshape(2, -1, *found.shape[1:])[:, 0]
    assert np.abs(on_map - first).max() > 1e-3 * np.abs(found).max()  # the map's see the pixels beyond


@pytest.mark.slow
def test_scores_are_the_classifiers_at_the_same_windows():
    net, classifier = a_net("pcr"), a_net("none", seed=2)
    image = np.random.default_rng(3).uniform(0, 255, (1, 96, 160, 3)).astype(np.float32)
    config = override(net.config, {"evaluation.flip": False})
    dense = Dense(net, classifier, config)
    ((boxes, scores, posteriors),) = dense.found_in(tf.constant(image), [Geometry(96, 160, (96, 160))])
    logits = vgg_keras.to_fully_convolutional(classifier.model)(image).numpy()[0].reshape(8, 3)
    np.testing.assert_allclose(scores, posterior_of(logits, False), atol=1e-5)
    np.testing.assert_allclose(posteriors, posterior_of(logits.mean(axis=0), False), atol=1e-5)
    slots = dense.slots(boxes, scores, [1, *dense.best_classes(scores, 2)])
    best = np.argsort(-posterior_of(logits, False).max(axis=0))[:2]  # k=2: by the highest score anywhere
    assert [slot.label for slot in slots] == [1, *best]
    for slot in slots:
        np.testing.assert_allclose(slot.boxes, boxes[:, slot.label])
        np.testing.assert_allclose(slot.scores, scores[:, slot.label])


@pytest.mark.slow
def test_the_centre_crops_box_is_the_nets_on_pillows_crop(tmp_path):
    """Upright and lying pictures; the net gets what Pillow cuts out, and its box is moved back by hand."""
    rows = []
    for place, (size, orientation) in enumerate([((160, 120), 1), ((100, 150), 6), ((120, 120), 1)]):
        draw(tmp_path / f"{place}.png", size, (10, 20, 70, 90), 1)
        picture = PIL.Image.open(tmp_path / f"{place}.png")
        if orientation == 6:
            draw(tmp_path / f"{place}.jpg", size, (10, 20, 70, 90), 6)
        rows.append((f"{place}.{'jpg' if orientation == 6 else 'png'}", "abc"[place], "val", 10, 20, 70, 90))
        picture.save(tmp_path / f"t{place}.png")
        rows.append((f"t{place}.png", "abc"[place], "train", 10, 20, 70, 90))
    source, _ = opened(config_of(write_list(tmp_path, rows)))
    net = a_net("pcr")
    layout = Layout(truth=1, classes=3, slots=1, boxes=1)
    side, off = 96, []
    center = Center(net, override(net.config, {"evaluation.flip": False, "evaluation.protocol": "center"}), layout)
    for ids, labels, found in center(source.val, net.config.data, side):
        for image, label, numbers in zip(ids, labels, found, strict=True):
            stored = source.val.path(int(image))
            picture = PIL.ImageOps.exif_transpose(PIL.Image.open(stored)).convert("RGB")
            width, height = (round(length * side / min(picture.size)) for length in picture.size)
            left, top = (width - CROP) // 2, (height - CROP) // 2
            size = width, height  # a channel at a time in floats, which Pillow does not round
            bands = [band.convert("F").resize(size, PIL.Image.Resampling.BILINEAR) for band in picture.split()]
            crop = np.stack([np.asarray(band) for band in bands], axis=-1)[top : top + CROP, left : left + CROP]
            cx, cy, w, h = net.model(crop[np.newaxis], training=False).numpy()[0].reshape(3, 4)[label].astype(float)
            w, h = max(w, 0), max(h, 0)
            edges = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * CROP + [left, top, left, top]
            expected = edges * (np.array(picture.size * 2) / [width, height, width, height])
            row = layout.unpacked(numbers)
            off.append(np.abs(row.true.boxes[0] - expected).max() / np.abs(expected).max())
            assert row.true.label == label and not row.slots and row.truth.tolist() == [[10, 20, 70, 90]]
    print(f"centre crop: largest relative difference from Pillow's crop {max(off):.2g}")
    assert len(off) == 3 and max(off) < 1e-4


def test_a_classifier_that_does_not_go_with_the_boxes_is_refused():
    net = a_net("pcr")
    with pytest.raises(UserError, match="a net of boxes"):
        require_classifier(net, a_net("scr"), ("a", "b", "c"))
    with pytest.raises(UserError, match="whose crop is 96, not 64"):
        require_classifier(net, a_net("none", crop=96), ("a", "b", "c"))
    with pytest.raises(UserError, match="whose class 2 is 'd', the net's 'c'"):
        require_classifier(net, a_net("none"), ("a", "b", "d"))
    require_classifier(net, a_net("none"), ("a", "b", "c"))
    # without names, as of a net made in a notebook, a box for each class needs as many classes
    with pytest.raises(UserError, match="Received: net, which has 5 classes, the box net 3."):
        require_classifier(net, a_net("none", num_classes=5), ())
    require_classifier(a_net("scr"), a_net("none", num_classes=5), ())
