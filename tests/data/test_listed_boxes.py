"""The boxes of a list's rows: those of each image and class, and what is no list of boxes."""

from pathlib import Path

import pytest

from tests.data.rectangles import config_of, opened, write_list
from vgg_keras.data.listed_boxes import ListedBoxes, parsed
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.overrides import override


@pytest.mark.slow
def test_an_image_of_several_classes_is_an_image_of_each(pictures):
    source, _ = pictures({"a": [(0, 0, 10, 10, "x"), (5, 5, 90, 70, "y"), (5, 5, 20, 20, "y")]})
    places = [place for place in range(source.train.size) if source.train.name(place) == "a.png"]
    assert [source.classes[source.train.labels[place]] for place in places] == ["x", "y"]
    assert [len(source.train.boxes.of(place)) for place in places] == [1, 2]
    assert [source.train.boxes.single[place] for place in places] == [False, False]
    assert any("images with boxes of several classes are an image of each" in note for note in source.notes)


def test_what_is_no_list_of_boxes_is_refused(tmp_path, pictures):
    with pytest.raises(UserError, match="line 4: the box a, 10, 60, 70, where xmin, ymin, xmax, ymax are numbers"):
        pictures({"c": [("a", 10, 60, 70)]})
    header = "path,label,split,xmin,ymin,xmax"  # without ymax
    rows = [("a.png", "x", "train", 1, 2, 3), ("b.png", "y", "train", 1, 2, 3), ("c.png", "y", "val", 1, 2, 3)]
    with pytest.raises(UserError, match="needs images with boxes: a .csv list with the columns xmin, ymin, xmax, ymax"):
        opened(config_of(write_list(tmp_path, rows, header)))
    rows = [("a.png", "x", "train"), ("b.png", "y", "train"), ("c.png", "y", "val")]
    with pytest.raises(UserError, match=r"A net of boxes needs images with boxes.*without boxes"):
        opened(config_of(write_list(tmp_path, rows, "path,label,split")))
    rows = [("a.png", "x|y", "train", *[1, 2, 30, 40]), ("b.png", "y", "train", *[1, 2, 30, 40])]
    rows += [("c.png", "x", "val", *[1, 2, 30, 40])]
    with pytest.raises(
        UserError, match=r"A net of boxes needs images with boxes.*list.csv, with several labels in a row"
    ):
        opened(config_of(write_list(tmp_path, rows)))
    with pytest.raises(UserError, match=r"A net of boxes needs images with boxes.*--data=digits"):
        opened(config_of("digits"))


@pytest.mark.slow
def test_a_classification_takes_a_list_of_boxes_as_images(pictures, tmp_path):
    pictures({"c": [(60, 10, 10, 70)]}, "data.max_bad_fraction=0.06")
    source, bad = opened(override(config_of(str(tmp_path / "list.csv")), {"architecture.boxes": "none"}))
    assert not bad and source.train.size == 16 and source.train.boxes is None


# ---- rows alone


def test_a_box_is_four_numbers_or_none():
    assert parsed(["1", " 2.5", "3e1", "4"]) == (1.0, 2.5, 30.0, 4.0)
    assert parsed(["", "", "", ""]) is None
    for wrong in (["1", "2", "3", ""], ["1", "2", "3", "x"]):
        with pytest.raises(ValueError, match="could not convert"):
            parsed(wrong)


def split(images):
    return Split(len(images), lambda image: image, str)


def test_an_image_has_the_boxes_of_its_class_under_every_spelling_of_its_path():
    rows = [
        ("photos/a.jpg", "x", (0.0, 0.0, 1.0, 1.0)),
        ("photos/./a.jpg", "x", (2.0, 2.0, 3.0, 3.0)),
        ("photos/a.jpg", "y", (4.0, 4.0, 5.0, 5.0)),
        ("b.jpg", "x", None),
    ]
    images = [("b.jpg", "x"), ("photos/../photos/a.jpg", "x"), ("photos/a.jpg", "y")]
    boxes = ListedBoxes(rows)
    found = boxes.added_to(split(images), images).boxes
    assert [found.of(image).tolist() for image in range(3)] == [
        [],
        [[0, 0, 1, 1], [2, 2, 3, 3]],
        [[4, 4, 5, 5]],
    ]
    assert found.others.tolist() == [0, 1, 2]  # of the picture's other class
    assert boxes.notes(Path("list.csv")) == [
        "list.csv: images with boxes of several classes are an image of each, 1 more in all"
    ]


def test_a_row_that_comes_again_is_one_box():
    """With `data.several_boxes=left_out` its image would be left out."""
    rows = [("a.jpg", "x", (0.0, 0.0, 1.0, 1.0)), ("./a.jpg", "x", (0.0, 0.0, 1.0, 1.0))]
    found = ListedBoxes(rows).added_to(split(["a.jpg"]), [("a.jpg", "x")]).boxes
    assert found.of(0).tolist() == [[0, 0, 1, 1]] and found.single.tolist() == [True]


def test_a_list_without_boxes_changes_nothing():
    images = [("a.jpg", "x"), ("b.jpg", "y")]
    boxes, plain = ListedBoxes([(*image, ()) for image in images]), split(images)
    assert boxes.added_to(plain, images) is plain and boxes.notes(Path("list.csv")) == []
