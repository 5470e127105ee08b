"""Of a list of boxes the images with right boxes are kept; the others are named."""

import numpy as np
import pytest

from tests.data.rectangles import config_of
from vgg_keras.config import Data
from vgg_keras.data import pipeline
from vgg_keras.data.boxes import Boxes, problem
from vgg_keras.data.scan_cache import ROW
from vgg_keras.data.splits import Split
from vgg_keras.data.usable_boxes import checked, prepared
from vgg_keras.errors import UserError

WRONG = [
    ((10, 10, 160, 70), "reaches outside the image of 100 x 80 pixels"),
    ((-9, 10, 60, 70), "reaches outside"),
    ((60, 10, 10, 70), "is inverted"),
    ((10, 10, 10, 70), "is empty"),
    ((0.1, 0.1, 0.6, 0.7), "is in shares of the image, where pixels are needed"),
    (("nan", 10, 60, 70), "is not finite"),
    (("inf", 10, 60, 70), "is not finite"),
    ((100, 10, 100.8, 20), "lies outside the image of 100 x 80 pixels"),
    ((10, -0.7, 60, 0), "lies outside"),
    (("", "", "", ""), "it has no box"),
]


@pytest.mark.slow
def test_a_wrong_box_is_named_and_its_image_skipped(pictures):
    """Ten of the sixteen training images have one each."""
    named = dict(zip("cdefghijkl", WRONG, strict=True))
    source, bad = pictures({name: [box] for name, (box, _) in named.items()}, "data.max_bad_fraction=0.7")
    assert source.train.size == 6 and len(bad) == 10
    for image in bad:
        assert image.name.endswith(".png") and named[image.name[-5]][1] in image.reason
    source, bad = pictures({"c": [WRONG[0][0]]}, "data.max_bad_fraction=0.06")
    assert source.train.size == 15 and len(bad) == 1 and bad[0].name.endswith("c.png")
    with pytest.raises(
        UserError, match=r"At most 1\.0% of the images may be unreadable or without a right box.*1 of 20.*c\.png"
    ):
        pictures({"c": [WRONG[0][0]]})


@pytest.mark.slow
def test_a_box_that_a_tool_rounds_is_cut_at_the_edge(pictures):
    source, bad = pictures({"a": [(0.0, -0.6, 101, 80.5)]})
    assert not bad and source.train.boxes.of(0).tolist() == [[0, 0, 100, 80]]
    assert problem(np.array([[0, 0, 101.1, 80]]), 80, 100)


@pytest.mark.slow
def test_images_with_several_boxes(pictures):
    several = {"a": [(0, 0, 10, 10), (5, 5, 90, 70), (1, 1, 4, 4)], "q": [(0, 0, 10, 10), (5, 5, 90, 70)]}
    source, _ = pictures(several)
    assert source.train.size == 16 and source.train.boxes.of(0).tolist() == [
        [0, 0, 10, 10],
        [5, 5, 90, 70],
        [1, 1, 4, 4],
    ]
    assert source.train.boxes.largest()[0].tolist() == [5, 5, 90, 70]
    source, _ = pictures(several, "data.several_boxes=left_out")
    assert (source.train.size, source.val.size) == (15, 3)
    assert any("1 of 16 train images have several boxes" in note for note in source.notes)
    source, _ = pictures(several, "data.several_boxes=random")
    data = config_of("list.csv", "data.several_boxes=random", "data.visible_box=0").data
    centres = set()
    for epoch in range(12):
        _, target = pipeline.training_crop(source.train, 0, 0, epoch, data, 64, np.zeros((3, 3), np.float32))
        centres.add(tuple(np.round(target.numpy()[3:], 2)))
    assert len(centres) == 3  # sizes of the three boxes
    both = source.split("all")
    assert both.boxes.of(0).tolist() == source.val.boxes.of(0).tolist()
    assert both.boxes.of(source.val.size).tolist() == source.train.boxes.of(0).tolist()


def test_boxes_are_checked_in_the_image_as_it_is_shown():
    """A box of 60 x 30 in an image that is stored 100 high and 50 wide, turned by a quarter or not."""
    table = np.zeros(3, ROW)
    table["height"], table["width"], table["orientation"] = 100, 50, (6, 1, 1)
    boxes = Boxes.of_lists([np.array([[0.0, 0.0, 60.0, 30.0]])] * 3, [0] * 3)
    reasons = {2: "no JPEG"}  # which is not checked any more
    found = checked(table, reasons, boxes, Data())
    assert list(found) == [1, 2] and "reaches outside the image of 50 x 100 pixels" in found[1]
    assert found[2] == "no JPEG" and reasons == {2: "no JPEG"}
    assert list(checked(table, {}, boxes, Data(exif_orientation=False))) == [0, 1, 2]


def test_images_that_all_have_several_boxes_cannot_be_left_out():
    lists = [np.array([[0.0, 0.0, 5.0, 5.0], [1.0, 1.0, 3.0, 3.0]])]
    split = Split(1, lambda image: image, str, sizes=np.array([[9, 9]]), boxes=Boxes.of_lists(lists, [0]))
    with pytest.raises(
        UserError, match=r"whose train images all have several\. Try --set=data\.several_boxes=largest\."
    ):
        prepared(split, "train", Data(several_boxes="left_out"))
