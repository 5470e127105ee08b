"""The folder of an evaluation of boxes, of nets with random weights: what it goes on with, what it joins, what it refuses."""

from pathlib import Path

import pytest

import vgg_keras
from tests.data.test_boxes import draw, write_list
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.sources import open_test
from vgg_keras.errors import UserError
from vgg_keras.evaluation.images import scanned_images
from vgg_keras.localization import evaluator
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
    architecture = Architecture(
        "A", num_classes=2, crop=32, width=1 / 16, mean=(100.0,) * channels, boxes=boxes, channels=channels
    )
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
