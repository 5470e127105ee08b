"""The folder of an evaluation of boxes, of nets with random weights: what it goes on with, what it joins, what it refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import vgg_keras
from tests.data.rectangles import draw, write_list
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.sources import open_test
from vgg_keras.errors import UserError
from vgg_keras.evaluation.image_rows import save
from vgg_keras.evaluation.images import scanned_images
from vgg_keras.localization import evaluator, job
from vgg_keras.localization.boxes import in_crop
from vgg_keras.localization.predicted_boxes import load
from vgg_keras.overrides import override
from vgg_keras.weights.formats.run_folder import LoadedModel

BOX = (10, 10, 60, 70)


@pytest.fixture
def rows(tmp_path):
    """Six pictures of two classes, three of them to test, the first of these with two boxes."""
    for place in range(6):
        draw(tmp_path / f"{place}.png", (100, 80), BOX)
    known = [(f"{place}.png", "ab"[place % 2], "val" if place < 3 else "train", *BOX) for place in range(6)]
    return [*known, ("0.png", "a", "val", 0, 0, 20, 20)]


def a_net(folder, boxes="pcr", seed=1, channels=3, **changes):
    """With random weights, and the configuration of its test on the folder's list."""
    fields = {"num_classes": 2, "crop": 32, "width": 1 / 16, "mean": (100.0,) * channels, "initializer": "he"}
    architecture = Architecture("A", boxes=boxes, channels=channels, **fields)
    config = Config(
        architecture, Data(source=str(folder / "list.csv"), scale=(36,)), evaluation=Evaluation(protocol="center")
    )
    config = override(config, {"runtime.cache_dir": str(folder), "evaluation.flip": False} | changes)
    model = vgg_keras.build(architecture, seed=seed)
    return LoadedModel(model, config, ("a", "b"), Path(f"net {seed}"), f"digest {seed}")


def evaluated(folder, rows, net, out="out", classifier=None):
    write_list(folder, rows)
    description, _, name, split = open_test(net.config.data, "val")
    images = scanned_images(split, name, description, net.config)
    (folder / out).mkdir(exist_ok=True)
    return evaluator.evaluate(net, net.config, images, "float32", folder / out, classifier)


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


def test_a_union_joins_boxes_of_one_test_of_the_same_images(tmp_path, rows):
    """Pictures of several boxes are left out of the scan too, where they were left out of the test."""
    for seed in (1, 2):
        evaluated(tmp_path, rows, a_net(tmp_path, seed=seed, **{"data.several_boxes": "left_out"}), f"net{seed}")
    paths = [tmp_path / f"net{seed}" / "center_Q36.npz" for seed in (1, 2)]
    first = load(paths[0])
    of_data = {"data.source": str(tmp_path / "list.csv"), "runtime.cache_dir": str(tmp_path)}
    found = job.fuse(paths, of_data, "val", tmp_path / "union")
    assert found["images"] == 2 and found["rows"][2]["images"] == 2 and len(found["parts"]) == 2
    assert all(len(row.true.boxes) == 2 for row in evaluator.rows_of([load(path) for path in paths]))
    with pytest.raises(UserError, match=r"must name the images that the boxes are of.*image 0 is '2.png' in the first"):
        job.fuse(paths, of_data | {"data.several_boxes": "largest"}, "val", tmp_path / "union")
    with pytest.raises(UserError, match=r"must name the images that the boxes are of"):
        job.fuse(paths, of_data, "train", tmp_path / "union")
    with pytest.raises(UserError, match=r"--set=data.several_boxes for the pictures of --data alone"):
        job.fuse(paths, {"data.several_boxes": "largest"}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"takes two different files of boxes or more.*net1/center_Q36.npz"):
        job.fuse([paths[0], paths[0]], {}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"two different files of boxes"):
        job.fuse(paths[:1], {}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"The folder of a fusion holds nothing else.*boxes.npz of a single net"):
        job.fuse(paths, {}, None, tmp_path / "net1")

    for changes, words in (
        ({"protocol": "dense"}, "the protocol is center in the first and dense in the other"),
        ({"classifier_sha256": "12"}, "one has the scores of a classifier and the other has none"),
        ({"exif_orientation": False}, "data.exif_orientation differs"),
        ({"boxes_sha256": "12"}, "the true boxes differ"),
    ):
        save(dataclasses.replace(first, nets=(dataclasses.replace(first.nets[0], **changes),)), tmp_path / "other.npz")
        with pytest.raises(UserError, match=f"Boxes are joined over the same images, classes and test.*where {words}"):
            job.fuse([paths[0], tmp_path / "other.npz"], {}, None, tmp_path / "union")
    save(dataclasses.replace(first, labels=1 - first.labels), tmp_path / "other.npz")
    with pytest.raises(UserError, match="where '2.png' is of class 'a' and of class 'b'"):
        job.fuse([paths[0], tmp_path / "other.npz"], {}, None, tmp_path / "union")


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


def test_localize_gives_as_many_classes_as_are_asked_for(tmp_path):
    """Eight classes: the answers of the configuration, more than these, all that are named; what is no number is refused."""
    draw(tmp_path / "a.png", (40, 36), (3, 3, 30, 30))
    names, fields = tuple("abcdefgh"), {"num_classes": 8, "crop": 32, "width": 1 / 16, "mean": (100.0,) * 3}

    def of(boxes, seed):
        architecture = Architecture("A", boxes=boxes, **fields)
        config = Config(architecture, Data(scale=(36,)), evaluation=Evaluation(protocol="dense", flip=False))
        return LoadedModel(vgg_keras.build(architecture, seed=seed), config, names, Path("net"), f"digest {seed}")

    net, classifier = of("pcr", 1), of("none", 2)

    def located(**words):
        return [one.class_name for one in vgg_keras.localize_images(net, tmp_path / "a.png", **words)[0].objects]

    ranked = list(vgg_keras.predict_images(classifier, tmp_path / "a.png", top=8)[0].classes)
    for top, count in ((None, 5), (7, 7)):  # 5 of `localization.answers`, which is no limit
        assert located(classifier=classifier, top=top) == ranked[:count]
    fewer = override(net.config, {"localization.answers": 2})
    assert located(classifier=classifier, config=fewer) == ranked[:2]
    assert located(classes=list("hgfedcb")) == list("hgfedcb")
    for top in (0, -1, True, 2.0):
        with pytest.raises(UserError, match="top must be a whole number, 1 or more"):
            located(classifier=classifier, top=top)
    with pytest.raises(UserError, match="config must be a vgg_keras.config.Config"):
        located(classifier=classifier, config={})
