"""A CSV list as a data set: its splits and labels, what people's files look like, and what is refused by its line."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.toy_splits import labels
from vgg_keras.config import Data
from vgg_keras.data.naming import require_source
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.errors import UserError


@pytest.fixture
def images(tmp_path):
    """Ten images, 000.jpg to 009.jpg, in photos/."""
    write_images(tmp_path / "photos", [(40, 50)] * 10)
    return tmp_path


def opened(folder, text, encoding="utf-8", **fields):
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return open_source(Data(source=str(folder / "list.csv"), **fields))


def names(split):
    return [split.name(image) for image in range(split.size)]


def rows(*splits, label="cat dog"):
    """A list of the ten images, of two classes in turn, with their splits."""
    lines = [f"photos/{image:03}.jpg,{label.split()[image % 2]},{split}" for image, split in enumerate(splits)]
    return "\n".join(["path,label,split", *lines])


def test_a_list_with_splits(images):
    source = opened(images, rows(*["train"] * 6, "val", "val", "test", "test"))
    assert source.classes == ("cat", "dog") and source.final_split == "test"
    assert names(source.train) == [f"photos/{image:03}.jpg" for image in (0, 2, 4, 1, 3, 5)]
    assert labels(source.train) == [0, 0, 0, 1, 1, 1]
    assert (names(source.val), names(source.test)) == (
        ["photos/006.jpg", "photos/007.jpg"],
        ["photos/008.jpg", "photos/009.jpg"],
    )
    encoded, label = source.val.read(tf.constant(1, tf.int64))
    assert encoded.numpy() == (images / "photos" / "007.jpg").read_bytes() and int(label) == 1
    _, classes, name, split = open_test(Data(source=str(images / "list.csv")), "all")
    assert (classes, name, split.size) == (("cat", "dog"), "all", 10)


def test_a_test_needs_rows_of_one_class_alone(images):
    (images / "list.csv").write_text("path,label\nphotos/000.jpg,cat\nphotos/001.jpg,cat\n")
    _, classes, name, split = open_test(Data(source=str(images / "list.csv")), "all")
    assert (classes, name, names(split)) == (("cat",), "all", ["photos/000.jpg", "photos/001.jpg"])
    with pytest.raises(UserError, match=r"images of two or more classes\. Received: .*list\.csv with 'cat' alone"):
        open_source(Data(source=str(images / "list.csv")))


def test_a_list_without_splits_holds_out_a_share_of_each_class(images):
    source = opened(images, rows(*[""] * 10).replace(",split", "").replace(",\n", "\n").rstrip(","), holdout=0.4)
    assert names(source.val) == ["photos/004.jpg", "photos/008.jpg", "photos/005.jpg", "photos/009.jpg"]
    assert source.train.size == 6 and source.test is None and "about 40% of each class" in source.description
    assert source.holds_out and not opened(images, rows(*["train"] * 8, "val", "val")).holds_out


def test_held_out_validation_leaves_the_lists_own_images_for_the_test(images):
    source = opened(images, rows(*["train"] * 8, "val", "val"), validation="held_out", holdout=0.25)
    assert (source.train.size, names(source.val)) == (6, ["photos/006.jpg", "photos/007.jpg"]) and source.holds_out
    assert names(source.test) == ["photos/008.jpg", "photos/009.jpg"]


def test_an_evaluation_needs_only_the_rows_that_it_names(images):
    """Of a training's list every row, with splits or without, however few; of others the rows of a test alone."""

    def tested(name, **fields):
        _, classes, found, split = open_test(Data(source=str(images / "list.csv"), **fields), name)
        assert classes == ("cat", "dog")
        return found, [int(one[7:10]) for one in names(split)], split.labels.tolist()

    (images / "list.csv").write_text(rows(*["test"] * 3))
    assert tested(None) == tested("test") == ("test", [0, 2, 1], [0, 0, 1])
    assert tested("all")[1] == [0, 2, 1]
    with pytest.raises(UserError, match="with test alone"):
        tested("val")
    (images / "list.csv").write_text(rows(*[""] * 3).replace(",split", "").replace(",\n", "\n").rstrip(","))
    assert tested("all") == ("all", [0, 2, 1], [0, 0, 1])
    with pytest.raises(UserError, match=r"needs 5 images to hold one out .* A test of all images takes --split=all\."):
        tested(None)
    (images / "list.csv").write_text(rows(*["train"] * 4, "val", "val", "test", "test"))
    assert [tested(name)[:2] for name in (None, "val")] == [("test", [6, 7]), ("val", [4, 5])]
    held_out = {"validation": "held_out", "holdout": 0.5}
    assert [tested(name, **held_out)[1] for name in ("test", "val", "train")] == [[6, 7], [2, 3], [0, 1]]
    assert tested("all", **held_out)[1] == [6, 7, 4, 5, 0, 2, 1, 3]  # those of val are neither trained nor the test's


@pytest.mark.parametrize("zeros", [0, 2])
def test_labels_that_are_numbers_are_in_the_order_of_these(tmp_path, zeros):
    """As those of arrays: label 10 is the eleventh output of a net whose classes have no names. Of 007 text has that order."""
    write_images(tmp_path / "photos", [(8, 8)] * 24)
    lines = [f"photos/{image:03}.jpg,{image % 12:0{zeros}}" for image in range(24)]
    source = opened(tmp_path, "\n".join(["path,label", *lines]), holdout=0.5)
    assert source.classes == tuple(f"{label:0{zeros}}" for label in range(12))
    assert names(source.train) == [f"photos/{image:03}.jpg" for image in range(12)]
    assert labels(source.train) == labels(source.val) == source.val.labels.tolist() == list(range(12))


def test_several_labels_that_are_numbers_are_in_the_order_of_these_too(images):
    lines = [
        f"photos/{image:03}.jpg,{'10|2' if image % 2 else '9'},{'val' if image > 7 else 'train'}" for image in range(10)
    ]
    source = opened(images, "\n".join(["path,label,split", *lines]))
    assert source.classes == ("2", "9", "10") and source.val.labels.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_a_list_as_spreadsheets_and_people_write_it(images):
    """A byte order mark, CRLF, semicolons, other columns, quotes, spaces, empty lines, Unicode, upper case."""
    write_images(images / "fotos, alte", [(40, 50)])
    text = '\ufeffLabel ; PATH;Width;split\r\n  "лев" ;"fotos, alte/000.jpg" ;40; Train\r\n\r\n'
    text += "".join(
        f"{name}; photos/00{image}.jpg;40;{split}\r\n"
        for image, name, split in ((1, "лев", "val"), (2, '"great ""cat"""', "train"), (3, '"great ""cat"""', "val"))
    )
    source = opened(images, text)
    assert source.classes == ('great "cat"', "лев")
    assert names(source.train) == ["photos/002.jpg", "fotos, alte/000.jpg"]
    absolute = "path,label\n" + "".join(f"{images}/photos/00{image}.jpg,{image % 2}\n" for image in range(10))
    assert opened(images, absolute).train.size == 8
    assert opened(images, absolute.replace(",", "\t")).train.size == 8


def test_a_path_again_with_the_same_label_is_one_image(images):
    """As in a list of boxes, which has a line for each."""
    text = "path,label,xmin\n" + "".join(
        f"photos/00{image}.jpg,{image % 2},{box}\n" for image in range(10) for box in "12"
    )
    source = opened(images, text)
    assert source.train.size + source.val.size == 10


def test_an_image_by_its_relative_and_its_absolute_path_is_one(images):
    """It would be trained and tested on."""
    text = f"path,label,split\nphotos/000.jpg,cat,train\n{images}/photos/000.jpg,cat,val\n"
    with pytest.raises(
        UserError, match=r"line 3: .*/photos/000\.jpg' with the split 'val', which line 2 gives 'train'"
    ):
        opened(images, text)


def test_letters_in_two_forms_of_unicode_are_one_class(images):
    """As a Mac and a Linux machine write an accent. The path is as it is on the disk, which a message says."""
    labels = ("d\u00e4ne", "da\u0308ne", "cat")
    lines = [f"photos/00{image}.jpg,{labels[image % 3]}" for image in range(10)]
    assert opened(images, "\n".join(["path,label", *lines]), holdout=0.3).classes == ("cat", "d\u00e4ne")
    (images / "photos" / "000.jpg").rename(images / "photos" / "da\u0308ne.jpg")
    with pytest.raises(UserError, match=r"On the disk its name has the same letters in another Unicode form"):
        opened(images, "path,label\nphotos/d\u00e4ne.jpg,cat\n")


def test_a_list_with_several_labels_in_a_row(images):
    """Any number of labels, in any order, none at all, and labels that neither train nor count."""
    lines = ["cat|dog,,train", "dog | cat,,train", ",,train", "bird,dog,train", '"dog",,val', "cat|bird,dog|cat,val"]
    text = "path,label,ignore,split\n" + "".join(f"photos/00{image}.jpg,{line}\n" for image, line in enumerate(lines))
    source = opened(images, text)
    assert source.classes == ("bird", "cat", "dog") and source.multi_label
    assert "3 classes, any number of them per image, its own train and val" in source.description
    by_name = {}
    for split in (source.train, source.val):
        for image in range(split.size):
            _, label = split.read(tf.constant(image, tf.int64))
            assert label.dtype == tf.int8 and label.numpy().tolist() == split.labels[image].tolist()
            by_name[int(split.name(image)[7:10])] = label.numpy().tolist()
    assert by_name == {0: [0, 1, 1], 1: [0, 1, 1], 2: [0, 0, 0], 3: [1, 0, -1], 4: [0, 0, 1], 5: [1, 1, -1]}
    assert source.train.class_counts.tolist() == [1, 2, 2]
    swapped = source.train.select([3, 0]).followed_by(source.val)
    assert np.array_equal(swapped.labels, np.concatenate([source.train.labels[[3, 0]], source.val.labels]))


def test_a_list_with_several_labels_without_splits_holds_out_a_share_of_its_images(images):
    text = "path,label\n" + "".join(
        f"photos/00{image}.jpg,{'cat|dog' if image % 2 else 'cat'}\n" for image in range(10)
    )
    source = opened(images, text, holdout=0.2)
    assert (source.train.size, source.val.size) == (8, 2) and "about 20% of the images held out" in source.description
    assert sorted(source.val.labels.tolist()) == [[1, 0], [1, 1]]  # one of each kind


def test_a_column_of_labels_to_ignore_makes_a_list_multi_label(images):
    """Of one label or none an image, nothing else would tell."""
    text = (
        "path,label,ignore\n"
        + "".join(f"photos/00{i}.jpg,{label},\n" for i, label in enumerate("aaabbb"))
        + "photos/006.jpg,,\n"
    )
    source = opened(images, text)
    assert source.multi_label and source.train.labels.tolist() == [[0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]


def test_a_class_of_a_single_image_is_trained_on_though_a_share_is_held_out(images):
    """Of images by label and path each fifth is held out: the fifth and the tenth, whose classes are theirs alone."""
    labels = ["a|b"] * 4 + ["b|only", "c", "c", "c", "c", "d|late"]
    text = "path,label\n" + "".join(f"photos/00{image}.jpg,{label}\n" for image, label in enumerate(labels))
    with pytest.raises(UserError, match=r"each held-out image is the only one of a class\. Name a larger"):
        opened(images, text)
    source = opened(images, text.replace("d|late", "c|only"))  # the second one of its class may validate
    assert names(source.val) == ["photos/009.jpg"] and source.train.size == 9
    assert names(source.train) == sorted(names(source.train)) and source.train.class_counts.min() == 1


def test_a_class_whose_pictures_are_held_out_for_another_class_is_trained_on(images):
    """Of a list of boxes: of the cats each fifth is held out, with which both dogs were. Each picture stays whole."""
    box = ",1,1,9,9\n"
    text = "path,label,xmin,ymin,xmax,ymax\n" + "".join(f"photos/00{image}.jpg,cat{box}" for image in range(10))
    dogs = f"photos/004.jpg,dog{box}photos/../photos/009.jpg,dog{box}"
    source = opened(images, text + dogs)
    assert names(source.val) == ["photos/009.jpg", "photos/../photos/009.jpg"] and source.val.labels.tolist() == [0, 1]
    assert source.train.size == 10 and source.train.class_counts.tolist() == [9, 1]
    with pytest.raises(UserError, match=r"each held-out image is the only one of a class\. Name a larger"):
        opened(images, text + f"photos/004.jpg,dog{box}photos/009.jpg,owl{box}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without path and label: ''"),
        ("file,class\nphotos/000.jpg,cat", "without path and label: 'file,class'"),
        ("path,label\n", "with none"),
        ("path,label\nphotos/000.jpg,cat\nphotos/001.jpg,cat", "with 'cat' alone"),
        ("path,label\nphotos/000.jpg,cat\nphotos/001.jpg", "line 3: 1 values, where the first line names 2"),
        (
            "path,label\nphotos/000.jpg,\n",
            r"line 2: no label\. In a list with '\|' between .* or a column ignore, that is an image",
        ),
        ("path,label\n,cat\n", "line 2: no path"),
        (
            "path,label\nphotos/000.jpg,cat|dog\nphotos/000.jpg,cat\n",
            r"line 3: 'photos/000.jpg' with the label 'cat', which line 2 gives 'cat\|dog'",
        ),
        ("path,label\nphotos/000.jpg,cat||dog\n", r"line 2: the labels 'cat\|\|dog', one of them empty"),
        ("path,label,split\nphotos/000.jpg,cat,trian\n", "line 2: split 'trian'. Did you mean 'train'"),
        (
            "path,label\nphotos/000.jpg,cat\nphotos/000.jpg,dog\n",
            "line 3: 'photos/000.jpg' with the label 'dog', which line 2",
        ),
        (
            "path,label,split\nphotos/000.jpg,cat,train\n./photos/000.jpg,cat,val\n",
            "with the split 'val', which line 2",
        ),
        (
            "path,label,split\nphotos/000.jpg,cat,train\nphotos/001.jpg,dog,\n",
            "line 3: no split, where other lines have one",
        ),
        ("path,label,split\nphotos/000.jpg,cat,train\nphotos/001.jpg,dog,train\n", "with train alone"),
        (
            "path,label,split\nphotos/000.jpg,cat,train\nphotos/001.jpg,dog,val\n",
            "Every class has training images. Received: .*, with none of 'dog'",
        ),
        (
            "path,label\nphotos/000.jpg,cat\nphotos/no.jpg,dog\nno/001.jpg,dog\n",
            "must exist; .*, line 3: photos/no.jpg; line 4: no/001.jpg",
        ),
        (
            "path,label\nphotos\\000.jpg,cat\nphotos\\001.jpg,dog\n",
            r"line 2: photos\\000\.jpg; line 3: photos\\001\.jpg\. Write / where its paths have \\\.",
        ),
        (
            "path,label\nphotos/000.jpg,cat|dog\nphotos/001.jpg,dog\n",
            r"A set needs 5 images to hold one out \(data\.holdout=0\.2\)\. Received: .*list\.csv with 2\. Name a larger",
        ),
        ('path,label\nphotos/000.jpg,"cat\n', "line 2: unexpected end of data"),
        ("path,label,ignore\nphotos/000.jpg,,\n", r"two or more classes\. Received: .*list\.csv with none\."),
        ("path,label\npho\0tos/000.jpg,cat\n", r"must exist; .*, line 2: pho\\x00tos/000\.jpg\."),
        ("path,label\nphotos/000.JPG,cat\n", r"line 2: photos/000\.JPG\. Did you mean photos/000\.jpg\?"),
    ],
)
def test_a_wrong_list_is_refused_by_its_line(images, text, message):
    with pytest.raises(UserError, match=message) as caught:
        opened(images, text)
    assert "\n" not in str(caught.value)


def test_a_list_in_another_encoding_is_refused(images):
    with pytest.raises(UserError, match=r"text in UTF-8\. Received: .*list\.csv, whose byte"):
        opened(images, "path,label\nphotos/000.jpg,Löwe\n", "latin-1")


def test_the_name_of_a_list_is_checked_before_a_framework_starts(images):
    (images / "list.csv").write_text("path,label\n")
    (images / "list.txt").write_text("path,label\n")
    require_source(str(images / "list.csv"))
    with pytest.raises(UserError, match=r"a folder or a \.csv list\. Received: .*list\.txt', which is a file"):
        require_source(str(images / "list.txt"))


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_read_in_order(images, monkeypatch):
    """One image under many names: what is written out by csv is what comes back."""
    monkeypatch.setattr("vgg_keras.data.list_rows.os.path.lexists", lambda path: True)
    with open(images / "list.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for image in range(100_000):
            writer.writerow(
                [f"a, {image:06}.jpg", f"class {image % 1000:03}", "val" if image % 10_000 >= 9_000 else "train"]
            )
    source = open_source(Data(source=str(images / "list.csv")))
    assert (source.train.size, source.val.size, len(source.classes)) == (90_000, 10_000, 1000)
    assert source.train.name(0) == "a, 000000.jpg" and source.train.labels[-1] == 999
