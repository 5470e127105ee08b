"""A folder as a data set: its splits and class names, and what is refused."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.scans import bad, names, opened
from tests.data.toy_splits import SPLITS, labels
from vgg_keras.config import Data
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.errors import UserError

HELD_OUT = ("002", "005"), ("000", "001", "003", "004")  # of six at a third, and the rest


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            write_images(tmp_path / "photos" / split / name, [(40, 50)] * count)
    return tmp_path / "photos"


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
        (lambda root: shutil.rmtree(root / "val"), r"train/ needs val/.*without val/"),
        (lambda root: (root / "val").rename(root / "validation"), r"without val/\. Rename validation/ to val/"),
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


@pytest.mark.parametrize(
    ("folders", "said", "unsaid"),
    [
        ("train valid test", r"Rename valid/ to val/", "Rename test"),
        ("train validation test", r"Rename validation/ to val/", "Rename test"),
        ("train validate test", r"Rename validate/ to val/", "Rename test"),
        ("train dev test", r"Rename dev/ to val/", "Rename test"),
        ("train test", r"Or give .*/train, of which a share", "Rename"),
        ("train testing tests", r"Or give .*/train, of which a share", "Rename"),
        ("val test training", r"without train/\. Rename training/ to train/", "Rename test"),
        ("Train Val Test", r"without train/ and val/\. Rename Train/ .* Rename Val/ to val/", "Rename Test"),
        ("training testing", r"without train/ and val/\. Rename training/", "Rename testing"),
        ("valid test", r"Rename valid/ to val/", "Rename test"),
    ],
)
@pytest.mark.parametrize("validation", ["own", "held_out"])
def test_no_hint_names_the_test_set_for_validation(tmp_path, folders, said, unsaid, validation):
    for split in folders.split():
        for name in ("cat", "dog"):
            write_images(tmp_path / split / name, [(8, 8)] * 2)
    with pytest.raises(UserError, match=said) as error:
        opened(tmp_path, validation=validation)
    assert unsaid not in str(error.value)
    if "train" not in folders.split() and "val" not in folders.split():
        with pytest.raises(UserError, match=said):
            open_test(Data(source=str(tmp_path)), "all")


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
