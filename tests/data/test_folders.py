"""A folder as a data set: its splits and class names, and what is refused."""

import os
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import vgg_keras
from tests.conftest import write_images
from tests.data.scans import bad, names, opened, put_splits
from tests.data.toy_splits import SPLITS, labels
from vgg_keras.config import Data
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.errors import UserError

HELD_OUT = ("002", "005"), ("000", "001", "003", "004")  # of six at a third, and the rest


def test_a_folder_with_train_and_val(folder):
    (folder / "train" / "cat" / ".hidden").write_text("no image")
    write_images(folder / "train" / "dog" / ".thumbnails", [(8, 8)])
    source = open_source(Data(source=str(folder)))
    assert source.classes == ("cat", "dog")
    assert labels(source.train) == [0] * 6 + [1] * 6
    assert labels(source.val) == [0, 0, 1, 1]
    assert source.val.name(3) == "val/dog/001.jpg"
    assert source.val.path(3) == str(folder / "val" / "dog" / "001.jpg")
    encoded, _ = source.val.read(tf.constant(3, tf.int64))
    assert encoded.numpy() == (folder / "val" / "dog" / "001.jpg").read_bytes()


def test_a_share_that_is_not_held_out_is_refused(folder):
    """By the set's own val/ a stated `data.holdout` was ignored without a word."""
    stated = ["data.batch", "data.holdout"]
    source = open_source(Data(source=str(folder)))
    with pytest.raises(
        UserError, match=r"its own train/, val/, whose own .* Set data\.validation=held_out too, or leave"
    ):
        source.require_used(stated)
    source.require_used(["data.batch"])
    with pytest.raises(UserError, match=r"data\.holdout is the share of the training images that validates"):
        vgg_keras.describe_data(str(folder), holdout=0.25)
    for held_out in (Data(source=str(folder), validation="held_out", holdout=0.5), Data(source=str(folder / "train"))):
        open_source(held_out).require_used(stated)
    open_source(Data()).require_used(stated)  # digits


def test_one_level_of_classes_holds_out_a_share_of_each(folder):
    source = open_source(Data(source=str(folder / "train"), holdout=1 / 3))
    assert [source.val.name(image) for image in range(4)] == [
        f"{name}/{number}.jpg" for name in ("cat", "dog") for number in ("002", "005")
    ]
    assert labels(source.train) == [0] * 4 + [1] * 4


def test_a_share_of_train_is_held_out_and_val_is_the_test_set(folder):
    data = Data(source=str(folder), validation="held_out", holdout=1 / 3)
    source = open_source(data)
    held, rest = [[f"train/{name}/{n}.jpg" for name in ("cat", "dog") for n in numbers] for numbers in HELD_OUT]
    tests = [f"val/{name}/{n}.jpg" for name in ("cat", "dog") for n in ("000", "001")]
    named = {name: [split.name(i) for i in range(split.size)] for name, split in vars(source).items() if name in SPLITS}
    assert named == {"train": rest, "val": held, "test": tests}
    assert "33% of each class of train/ held out, its val/ for the test" in source.description
    for name, expected in (*named.items(), ("all", tests + sorted(held + rest))):
        _, classes, found, split = open_test(data, name)
        assert found == name and classes == ("cat", "dog") and [split.name(i) for i in range(split.size)] == expected, (
            name
        )
    shutil.rmtree(folder / "train")  # the test's images are enough for a test
    assert open_test(data, None)[2] == "test" and open_test(data, "test")[3].size == 4
    with pytest.raises(UserError, match=r"train/ needs val/ and the reverse"):
        open_test(data, "val")


@pytest.mark.parametrize("validation", ["own", "held_out"])
def test_a_set_without_held_out_images_has_no_split_test(validation, folder):
    for source in ("digits", str(folder / "train")) + ((str(folder),) if validation == "own" else ()):
        data = Data(source=source, validation=validation)
        assert open_source(data).test is None
        with pytest.raises(
            UserError, match=rf"A set has a split 'test' where .* Received: .*{Path(source).name}.*--split=val\."
        ):
            open_test(data, "test")
        assert open_test(data, None)[2] == "val"


def test_flowers17_has_1088_training_and_272_validation_images(shared_data):
    source = open_source(Data(source=str(shared_data / "flowers17")))
    assert (len(source.classes), source.train.size, source.val.size) == (17, 1088, 272)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "val" / "dog"), r"with 1: cat"),
        (
            lambda root: (root / "val" / "dog").rename(root / "val" / "dogs"),
            r"same classes.*'dog' is in train/ only \(and 1",
        ),
        (lambda root: [path.unlink() for path in (root / "train" / "cat").iterdir()], r"train/cat, which is empty"),
        (lambda root: shutil.rmtree(root / "train") or shutil.rmtree(root / "val"), r"photos with 0: none"),
    ],
)
def test_a_wrong_folder_is_named(folder, change, message):
    change(folder)
    with pytest.raises(UserError, match=message):
        open_source(Data(source=str(folder)))


LABELS = {  # a folder's name, and the class's
    b"caf\xe9": r"caf\xe9",
    rb"caf\xe9": r"caf\\xe9",
    b"line\nbreak": r"line\nbreak",
    b"tab\t": r"tab\t",
    b"\x1b[31mred": r"\x1b[31mred",
    "\u2028".encode(): r"\u2028",
    b" a|b <i>\"'": " a|b <i>\"'",
    "Stra\u00dfe \U0001f600".encode(): "Stra\u00dfe \U0001f600",
}


def test_every_class_name_is_one_printable_line_of_its_own(tmp_path):
    root = tmp_path / os.fsdecode(b"fot\xf6s\n")
    for folder in LABELS:
        write_images(root / os.fsdecode(folder), [(8, 8)] * 5)
    source = opened(root)
    assert source.classes == tuple(LABELS[os.fsencode(name)] for name in sorted(map(os.fsdecode, LABELS)))
    assert len(set(source.classes)) == len(LABELS)
    for text in (*source.classes, *names(source), source.train.path(0), source.description):
        assert text.encode() and len(text.splitlines()) == 1
    assert source.val.labels.tolist() == list(range(len(LABELS)))


def test_a_class_has_one_name_in_both_forms_of_unicode(tmp_path):
    """As where val/ was copied from a Mac. In the decomposed form it would also stand before 'daf', in the other behind."""
    composed, decomposed = "d\u00e4ne", "da\u0308ne"
    put_splits(tmp_path, "train", ("daf", composed))
    put_splits(tmp_path, "val", ("daf", decomposed), count=2)
    source = opened(tmp_path)
    assert source.classes == ("daf", composed)
    for split in (source.train, source.val):
        files = [split.name(image) for image in range(split.size)]
        assert [int("ne/" in name) for name in files] == labels(split) and sum(labels(split)) == split.size / 2
    assert opened(tmp_path / "val", holdout=0.5).classes == source.classes
    put_splits(tmp_path, "train", (decomposed,))
    with pytest.raises(UserError, match=rf"Each class has one folder\. Received: .*train with two of '{composed}'"):
        opened(tmp_path)


def test_a_test_set_has_the_labels_of_the_training_set(tmp_path):
    put_splits(tmp_path, "train val", ("ant", "cat", "dog"))
    put_splits(tmp_path, "test", ("dog",))
    source = opened(tmp_path)
    assert labels(source.test) == [2, 2, 2] and labels(open_test(Data(source=str(tmp_path)), "test")[3]) == [2, 2, 2]
    put_splits(tmp_path, "test", ("emu",))
    with pytest.raises(UserError, match=r"classes that are trained\. Received: .*/test with 'emu'"):
        opened(tmp_path)
    shutil.rmtree(tmp_path / "test" / "dog")
    shutil.rmtree(tmp_path / "test" / "emu")
    write_images(tmp_path / "test", [(8, 8)] * 3)  # as of a competition, without labels
    source = opened(tmp_path)
    assert source.test is None and source.notes == (
        f"{tmp_path}/test: a folder without class folders, which is left out",
    )


def test_a_test_needs_images_of_one_class_alone(tmp_path):
    """A training needs two; a folder of class folders is no class."""
    put_splits(tmp_path / "set", "val", ("cat",))
    write_images(tmp_path / "photos" / "cat", [(8, 8)] * 5)
    for source, name, size in (("set", "val", 3), ("set", "all", 3), ("photos", "all", 5), ("photos", None, 1)):
        _, classes, _, split = open_test(Data(source=str(tmp_path / source)), name)
        assert (classes, split.size) == (("cat",), size)
    for place in ("", "near", "far"):  # a class of images and of folders of images
        write_images(tmp_path / "nested" / "cat" / place, [(8, 8)])
    assert open_test(Data(source=str(tmp_path / "nested")), "all")[3].size == 3
    with pytest.raises(UserError, match=r"each of two or more classes\. Received: .*photos with 1: cat\."):
        opened(tmp_path / "photos")
    for name in ("cat", "dog"):
        write_images(tmp_path / "above" / "one" / "two" / name, [(8, 8)])
    with pytest.raises(
        UserError, match=r"one or more classes\. Received: .*above with 1: one\. Did you mean .*/one/two\?"
    ):
        open_test(Data(source=str(tmp_path / "above")), "all")


@pytest.mark.parametrize("validation", ["own", "held_out"])
def test_without_val_a_share_of_train_is_held_out_and_test_is_the_test_set(tmp_path, validation):
    put_splits(tmp_path, "train test", count=5)
    source = opened(tmp_path, validation=validation)
    assert (source.train.size, source.val.size, source.test.size) == (8, 2, 10)
    assert source.description.endswith("about 20% of each class of train/ held out, its test/ for the test")
    data = Data(source=str(tmp_path), validation=validation)
    assert [open_test(data, name)[3].size for name in ("val", "train", "test", None)] == [2, 8, 10, 10]


@pytest.mark.parametrize(
    ("paths", "given", "message"),
    [
        (
            "a/cat a/dog b/cat b/dog",
            "",
            r"photos/a, with folders of images and none of its own: cat, dog\. Did you mean .*/a\?",
        ),
        ("cat dog wild/wolf wild/lynx", "", r"/wild, with folders .*: lynx, wolf\. Did you mean .*/wild\? Or list"),
        ("train/all/cat train/all/dog val/all/cat", "", r"train with 1: all\. Did you mean .*/train/all\?"),
        ("one/two/cat one/two/dog", "", r"photos with 1: one\. Did you mean .*/one/two\?"),
        ("cat dog", "cat", r"photos/cat with 0: none\. Did you mean .*/photos\? Or move its files"),
        (
            "train/cat train/dog val",
            "",
            r"photos/val with 0: none\. Move its files into a folder for each class, or list",
        ),
        (
            "train/cat train/dog val",
            "val",
            r"photos/val with 0: none\. Move its files into a folder for each class, or",
        ),
    ],
)
def test_class_folders_at_another_level_are_refused_with_the_level_that_was_meant(tmp_path, paths, given, message):
    for path in paths.split():
        write_images(tmp_path / "photos" / path, [(8, 8)] * 5)
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "photos" / given)


def test_one_folder_in_each_class_is_read(tmp_path):
    """As in Tiny ImageNet."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name / "images", [(8, 8)] * 5)
    assert opened(tmp_path / "photos").train.size == 8


def test_a_class_with_nearly_all_images_is_named(tmp_path):
    for name, count in (("cat", 46), ("dog", 4)):
        write_images(tmp_path / "photos" / name, [(8, 8)] * count)
    source, _ = bad(tmp_path / "photos", holdout=0.5)
    assert source.notes == (
        "92.0% of the train images are of class 'cat': a net that answers nothing else has an error of 8.0%",
        "92.0% of the val images are of class 'cat': a net that answers nothing else has an error of 8.0%",
    )
    write_images(tmp_path / "photos" / "dog", [(8, 8)] * 6)
    assert bad(tmp_path / "photos", holdout=0.5)[0].notes == ()


def test_a_class_too_small_to_hold_an_image_out_is_named(class_folders):
    (class_folders / "dog" / "004.jpg").unlink()
    source, _ = bad(class_folders)
    assert source.notes == ("1 of 2 classes have no readable val image, so that no error counts them: 'dog'",)
    assert np.bincount(source.train.labels).tolist() == [4, 4]


def test_labels_are_those_of_the_listing_not_of_an_earlier_scan(class_folders):
    bad(class_folders)
    write_images(class_folders / "ant", [(8, 8)] * 5)
    source, _ = bad(class_folders)
    for split in (source.train, source.val):
        read = [int(split.read(tf.constant(image, tf.int64))[1]) for image in range(split.size)]
        assert split.labels.tolist() == read and set(read) == {0, 1, 2}


def test_ilsvrc_is_sorted_by_links_and_its_boxes_are_listed(tmp_path):
    """The layout of the unpacked tar files and of Kaggle's copy; the first validation images are of these classes."""
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "ilsvrc.py"))
    classes = ("n01751748", "n09193705")
    for number, name in enumerate(classes, start=1):
        write_images(tmp_path / "images" / "train" / name, [(8, 8)] * 2)
        write_images(tmp_path / "images" / "val", [(9, 9)])
        (tmp_path / "images" / "val" / "000.jpg").rename(tmp_path / f"images/val/ILSVRC2012_val_{number:08}.JPEG")
    for _ in range(2):  # links that are there stay
        script["sort"](tmp_path / "images", tmp_path / "sorted")
    source = opened(tmp_path / "sorted")
    assert source.classes == classes and source.val.labels.tolist() == [0, 1] and source.train.size == 4
    assert source.val.name(1) == "val/n09193705/ILSVRC2012_val_00000002.JPEG"
    with pytest.raises(
        SystemExit, match=r"holds train/ or val/ILSVRC2012_val_\*\. Received: .*sorted/train, with neither"
    ):
        script["sort"](tmp_path / "sorted" / "train", tmp_path / "other")

    def write_xml(name, *boxes):
        objects = "".join(
            f"<object><name>{label}</name><bndbox>{''.join(f'<{side}>{value}</{side}>' for side, value in box)}</bndbox></object>"
            for label, *values in boxes
            for box in [list(zip(script["SIDES"], values, strict=True))]
        )
        path = tmp_path / "xml" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<annotation><size><width>50</width><height>40</height></size>{objects}</annotation>")

    write_xml("000", (classes[0], 1, 2, 30, 20))  # of both classes' first image
    write_xml(
        "ILSVRC2012_val_00000002", (classes[1], -3, 2, 60, 20), (classes[1], 5, 5, 9, 9), (classes[0], 1, 1, 9, 9)
    )
    write_xml("ILSVRC2012_val_00000001", (classes[0], 30, 2, 10, 20), (classes[0], 55, 2, 60, 20))  # inverted; outside
    assert script["write_boxes"](tmp_path / "xml", tmp_path / "sorted").read_text().split() == [
        "path,label,split,xmin,ymin,xmax,ymax",
        "train/n01751748/000.jpg,n01751748,train,1,2,30,20",
        "val/n09193705/ILSVRC2012_val_00000002.JPEG,n09193705,val,0,2,50,20",
        "val/n09193705/ILSVRC2012_val_00000002.JPEG,n09193705,val,5,5,9,9",
    ]
