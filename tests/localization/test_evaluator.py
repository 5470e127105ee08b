"""The folder of an evaluation of boxes, of nets with random weights: what it goes on with, what it refuses."""

import dataclasses

import numpy as np
import PIL.Image
import pytest

import vgg_keras
from tests.localization.toy import a_net, evaluated
from vgg_keras.errors import UserError
from vgg_keras.localization.boxes import in_crop
from vgg_keras.localization.predicted_boxes import load


@pytest.mark.slow
def test_edited_boxes_are_noticed(tmp_path, rows):
    """Coordinates, and a box more or less: the rows hold the true boxes."""
    net = a_net(tmp_path)
    first = evaluated(tmp_path, rows, net)
    assert evaluated(tmp_path, rows, net)["mean_iou"] == first["mean_iou"]
    for edited in (
        rows[:-1],
        [*rows, ("1.png", "b", "val", 0, 0, 20, 20)],
        [(*rows[0][:3], 10, 10, 60, 69), *rows[1:]],
    ):
        with pytest.raises(UserError, match=r"center_Q36\.npz, made with another: boxes_sha256"):
            evaluated(tmp_path, edited, net)


@pytest.mark.slow
def test_boxes_of_one_q_do_not_stay_beside_the_result_of_several(tmp_path, rows):
    evaluated(tmp_path, rows, a_net(tmp_path))
    assert (tmp_path / "out" / "boxes.npz").exists()
    result = evaluated(tmp_path, rows, a_net(tmp_path, **{"evaluation.scales": (36, 40)}))
    files = {path.name for path in (tmp_path / "out").glob("*.npz")}
    assert result["scales"] == [36, 40] and files == {"center_Q36.npz", "center_Q40.npz"}


@pytest.mark.slow
def test_another_k_is_refused_by_its_name_and_more_than_all_classes_are_all(tmp_path, rows):
    """The layout of the rows was named, four numbers."""
    dense, classifier = {"evaluation.protocol": "dense"}, a_net(tmp_path, "none", seed=2)
    for k in (5, 9):
        evaluated(tmp_path, rows, a_net(tmp_path, **dense, **{"localization.best_classes": k}), classifier=classifier)
    with pytest.raises(UserError, match=r"dense_Q36\.npz, made with another: best_classes: 2, now 1\."):
        evaluated(tmp_path, rows, a_net(tmp_path, **dense, **{"localization.best_classes": 1}), classifier=classifier)


@pytest.mark.slow
def test_weights_of_no_run_hold_neither_s_nor_the_trained_layers(tmp_path, rows):
    """The recipe beside them is no record of their training."""
    (row,) = evaluated(tmp_path, rows, a_net(tmp_path, **{"data.scale": ()}))["rows"]
    assert (row["training_scale"], row["trained"]) == ("not known", "not known")


@pytest.mark.slow
def test_a_net_of_grey_images(tmp_path, rows):
    """Its test, the report's pictures, its boxes of a photograph; a classifier in RGB does not go with it."""
    net = a_net(tmp_path, channels=1)
    assert evaluated(tmp_path, rows, net)["images"] == 3
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") == 3
    center = load(tmp_path / "out" / "center_Q36.npz")
    grey = np.asarray(PIL.Image.open(tmp_path / "2.png").convert("L").resize((45, 36), PIL.Image.Resampling.BILINEAR))
    numbers = net.model(grey[np.newaxis, 2:34, 6:38, np.newaxis].astype(np.float32)).numpy()[0, :4]  # of class a
    edges = in_crop(numbers, dataclasses.replace(net.config.architecture, boxes="scr"))[0] * 32
    expected = (edges + np.array([6, 2, 6, 2])) * (100 / 45)
    off = np.abs(center.row(center.ids.index("2.png")).true.boxes[0] - expected).max() / np.abs(expected).max()
    print(f"largest relative difference from the net on Pillow's grey crop: {off:.2g}")
    assert off < 0.02 and np.abs(numbers).max() > 0.1
    photograph = str(tmp_path / "2.png")
    found = vgg_keras.localize_images(net, photograph, classes=["b"])[0].objects
    assert [one.class_name for one in found] == ["b"]
    assert vgg_keras.localize_images(net, photograph, classifier=a_net(tmp_path, "none", channels=1))[0].objects
    with pytest.raises(UserError, match="whose images have channels=3, not 1"):
        vgg_keras.localize_images(net, photograph, classifier=a_net(tmp_path, "none"))
