"""Exports of a net of boxes: each format gives the net's boxes, and the SavedModel's map is the dense net's in image pixels."""

import dataclasses
import json
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import vgg_keras
from tests.data.rectangles import draw, found_box, opened, write_list
from vgg_keras.config import Architecture, Config, Data, Evaluation, Export, Localization
from vgg_keras.data.rescaling import rescale
from vgg_keras.exports import boxes
from vgg_keras.exports import export as exporting
from vgg_keras.exports.boxes import BoxOutputs, ServedBoxes, targets
from vgg_keras.exports.export import export
from vgg_keras.localization.boxes import Geometry
from vgg_keras.localization.predictors import Center, Dense
from vgg_keras.weights.formats.run_folder import LoadedModel

pytestmark = pytest.mark.slow  # conversions


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A net with a box for each of three classes, whose boxes differ from picture to picture, and its list."""
    folder, random, rows = tmp_path_factory.mktemp("boxes"), np.random.default_rng(0), []
    for place in range(15):
        width, height = map(int, random.integers(50, 90, 2))
        box = 5, 8, width - int(random.integers(2, 20)), height - int(random.integers(2, 20))
        draw(folder / f"{place}.jpg", (width, height), box, 6 if place == 2 else 1)
        rows.append((f"{place}.jpg", "abc"[place % 3], "train" if place >= 6 else "val", *box))
    architecture = Architecture(
        "A", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), initializer="he", boxes="pcr"
    )
    config = Config(
        architecture,
        Data(source=write_list(folder, rows), scale=(40,)),
        evaluation=Evaluation(protocol="center", flip=False),
        export=Export(images=6, representative_images=9),
    )
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, cache_dir=str(folder / "cache")))
    model = vgg_keras.build(architecture, dtype="float32", seed=3)
    kernel, bias = model.get_layer("predictions").get_weights()
    model.get_layer("predictions").set_weights([kernel / 2000, bias + np.tile([0.5, 0.5, 0.6, 0.7], 3)])
    return LoadedModel(model, config, ("a", "b", "c"), folder, "12")


def test_the_true_box_of_a_crop_is_where_its_rectangle_is(net):
    """By which box errors of TFLite and ONNX are counted; one photograph is stored turned, and some crops cut the box."""
    source, _ = opened(net.config)
    off, inside = [], 0
    for image, (label, *edges) in enumerate(targets(source.val, net.config)):
        crop, known = exporting._crop(source.val, image, net.config)
        expected = np.clip(np.array(edges) * 32, 0, 32)  # a crop shows no more
        off.append(np.abs(found_box(crop) - expected).max())
        inside += np.sum((expected > 0) & (expected < 32))
        assert label == known
    print(f"{len(off)} crops of 32 pixels: largest difference {max(off):.2g} pixels")
    assert len(off) == 6 and max(off) < 0.6 and inside > 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*:UserWarning")
@pytest.mark.parametrize("form", ["saved_model", "tflite", "onnx"])
def test_a_format_gives_the_nets_boxes(net, tmp_path, form):
    found = export(net, net.config, form, tmp_path / form)
    for parity in found:
        print(
            f"{parity.form}: difference {parity.difference:.2g}, same boxes {parity.agreement:.0%}, error {parity.error:.0f} %"
        )
        assert parity.agreement == 1.0 and parity.error == parity.net_error
        assert parity.difference <= {"float16": 2e-3, "dynamic": 0.05, "int8": 0.1}.get(parity.form, 1e-5)
        assert parity.difference > 0 or parity.form in ("float32", "saved_model", "onnx")
    described = json.loads((tmp_path / form / "export.json").read_text())
    assert "a box for each class" in described["outputs"] and "gives" not in described
    assert "probabilit" not in json.dumps(described["outputs"])
    if form != "saved_model":
        return

    # the map at every window, in pixels of an image of another size than Q
    image = np.random.default_rng(1).integers(0, 256, (70, 190, 3), np.uint8)
    loaded = tf.saved_model.load(str(tmp_path / form))
    boxes = loaded.signatures["box_map"](images=tf.constant(image[np.newaxis]))["boxes"].numpy()[0]
    scaled = rescale(tf.constant(image), 40, "bilinear")
    ((expected, _, _),) = Dense(net, None, net.config).found_in(scaled[tf.newaxis], [Geometry.of(70, 190, 40)])
    print(
        f"box map {boxes.shape}: largest difference {np.abs(boxes.reshape(expected.shape) - expected).max():.2g} pixels"
    )
    assert boxes.shape == (1, 3, 3, 4)
    np.testing.assert_allclose(boxes.reshape(expected.shape), expected, atol=1e-3)


def test_a_saved_model_of_grey_images(tmp_path):
    """A file and an array of its pixels give the net's boxes on the centre crop, moved by hand."""
    fields = {"num_classes": 2, "crop": 32, "channels": 1, "width": 1 / 16, "mean": (100.0,), "initializer": "he"}
    architecture = Architecture("A", boxes="scr", **fields)
    model = vgg_keras.build(architecture, dtype="float32", seed=3)
    served = ServedBoxes(model, Config(architecture, Data(source="list.csv", scale=(40,))))
    pixels = np.random.default_rng(2).integers(0, 256, (40, 40), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "grey.png")
    cx, cy, w, h = model(pixels[np.newaxis, 4:36, 4:36, np.newaxis].astype(np.float32)).numpy()[0] * 32
    w, h = max(w, 0), max(h, 0)
    expected = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) + 4
    of_file = served.encoded(tf.constant([(tmp_path / "grey.png").read_bytes()]))["boxes"].numpy()[0, 0]
    images = tf.constant(pixels[np.newaxis, ..., np.newaxis])
    of_pixels, of_map = served.serving_default(images)["boxes"].numpy()[0, 0], served.box_map(images)["boxes"]
    print(f"largest difference from the net: {np.abs(of_file - expected).max():.2g} pixels")
    np.testing.assert_allclose(of_file, expected, rtol=1e-4, atol=1e-2)
    assert np.abs(expected - 4).max() > 1
    np.testing.assert_array_equal(of_file, of_pixels)
    assert of_map.shape == (1, 1, 1, 1, 4)


def test_the_nets_time_is_without_its_first_call(net, monkeypatch):
    clock, find = [0.0], Center.boxes_of

    def boxes_of(self, crops):
        clock[0] += 1.0 if clock[0] else 100.0  # the first call traces
        return find(self, crops)

    monkeypatch.setattr(Center, "boxes_of", boxes_of)
    monkeypatch.setattr(boxes, "time", types.SimpleNamespace(perf_counter=lambda: clock[0]))
    source, _ = opened(net.config)
    *_, seconds = boxes.of_centre_crops(net, net.config, source.val)
    assert seconds == 1 / 6


def test_a_box_is_right_above_the_fields_overlap():
    """Two boxes of an IoU of 0.5 with the true one, and one of 0.8."""
    boxes = np.array([[0.0, 0, 1, 0.5], [0, 0, 0.5, 1], [0, 0, 1, 0.8]])
    labels = np.tile([0.0, 0, 0, 1, 1], (3, 1))
    for above, error in ((0.4, 0.0), (0.5, 200 / 3), (0.8, 100.0)):
        config = Config(Architecture("A", boxes="scr"), localization=Localization(iou=above))
        assert BoxOutputs(config, of_crop=False).answers(boxes, boxes, labels) == (
            1.0,
            pytest.approx(error),
            pytest.approx(error),
        )


@pytest.fixture(scope="module")
def served():
    """A small net of one box; an image at Q=40 may have 40 x 400 pixels."""
    architecture = Architecture("A", num_classes=2, crop=32, width=1 / 16, mean=(100.0,) * 3, boxes="scr")
    config = Config(architecture, Data(source="list.csv", scale=(40,)), evaluation=Evaluation(max_pixels=40 * 400))
    return ServedBoxes(vgg_keras.build(architecture, dtype="float32", seed=3), config)


def test_a_batch_of_no_images_gives_no_boxes(served):
    assert served.encoded(tf.zeros([0], tf.string))["boxes"].shape == (0, 1, 4)
    for shape in ((0, 64, 80, 3), (0, 0, 0, 3)):
        images = tf.zeros(shape, tf.uint8)
        found = served.serving_default(images)
        assert (found["boxes"].shape, found["sizes"].shape) == ((0, 1, 4), (0, 2))
        assert served.box_map(images)["boxes"].shape == (0, 1, 1, 1, 4)


def test_an_image_too_large_at_q_is_refused_before_it_is_rescaled(served):
    """The larger one would take 17 GB rescaled."""
    rule = r"An image rescaled to Q=40 must have evaluation\.max_pixels=16000 or fewer\. Received: "
    for width, then in ((11, 440), (900_000, 36_000_000)):
        images = tf.zeros([1, 1, width, 3], tf.uint8)
        for run in (served.serving_default, served.box_map):
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{rule}{then} x 40 pixels then"):
                run(images)
    small, strip = (tf.io.encode_png(tf.zeros([1, width, 3], tf.uint8)) for width in (10, 11))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"encoded\[1\]: {rule}440 x 40"):
        served.encoded(tf.stack([small, strip]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must have pixels\. Received: a side of 0"):
        served.box_map(tf.zeros([2, 0, 10, 3], tf.uint8))
    assert served.box_map(tf.zeros([2, 1, 10, 3], tf.uint8))["boxes"].shape == (2, 1, 12, 1, 4)
