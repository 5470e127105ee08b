"""A folder as a data set: links, names of every kind, splits under other names, files that are none."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import write_images
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import scan
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.errors import UserError

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


def opened(root, **fields):
    return open_source(Data(source=str(root), **fields))


def names(source):
    return sorted(split.name(image) for split in (source.train, source.val) for image in range(split.size))


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


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(8, 8)] * 5)
    return tmp_path / "photos"


def test_linked_folders_and_files_are_read_as_if_they_lay_there(photos):
    outside = photos.parent / "outside"
    write_images(outside / "deep", [(8, 8)] * 4)
    (photos / "cat" / "more").symlink_to(outside)
    (photos / "dog" / "one.jpg").symlink_to(outside / "deep" / "000.jpg")
    (photos / "bird").symlink_to(outside / "deep")
    source = opened(photos)
    assert source.classes == ("bird", "cat", "dog")
    assert len(names(source)) == 5 + 5 + 4 + 1 + 4
    assert "cat/more/deep/003.jpg" in names(source) and "dog/one.jpg" in names(source)
    assert [note.split(": ")[0] for note in source.notes] == [str(photos / "cat" / "more" / "deep")]
    assert "the same folder as" in source.notes[0] and str(photos / "bird") in source.notes[0]


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "sub/.."])
def test_a_link_to_a_folder_above_it_is_named_and_not_followed(photos, target):
    (photos / "cat" / "sub").mkdir()
    (photos / "cat" / "loop").symlink_to(target)
    source = opened(photos)
    assert len(names(source)) == 10
    (note,) = source.notes
    assert note == f"{photos / 'cat' / 'loop'}: a link to a folder above it, which is not followed"


def test_a_folder_that_is_reached_twice_in_a_class_is_read_once(photos):
    write_images(photos / "cat" / "sub", [(8, 8)] * 2)
    (photos / "cat" / "again").symlink_to("sub")
    source = opened(photos)
    assert len(names(source)) == 12 and "cat/sub/001.jpg" in names(source)
    (note,) = source.notes
    assert note.startswith(f"{photos / 'cat' / 'again'}: a link to a folder of its class that is read already")


def test_a_class_that_is_a_link_is_named_where_it_cannot_be_read(photos):
    (photos / "loop").symlink_to("loop")
    (photos / "gone").symlink_to("/no/such/folder")
    source = opened(photos)
    assert source.classes == ("cat", "dog") and len(source.notes) == 2
    assert all("a link that leads nowhere" in note for note in source.notes)
    (photos / "all").symlink_to(".")
    with pytest.raises(UserError, match=r"must hold images.*photos/all, which is empty\. .*a folder above it"):
        opened(photos)


def test_train_and_val_that_share_a_folder_are_named(photos, tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "val").mkdir()
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "set" / split / name).symlink_to(photos / name)
    notes = opened(tmp_path / "set").notes
    assert len(notes) == 2 and all("its images are read for both" in note for note in notes)


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
def test_nobody_is_told_to_validate_on_the_test_set(tmp_path, folders, said, unsaid, validation):
    for split in folders.split():
        for name in ("cat", "dog"):
            write_images(tmp_path / split / name, [(8, 8)] * 2)
    with pytest.raises(UserError, match=said) as error:
        opened(tmp_path, validation=validation)
    assert unsaid not in str(error.value)
    if "train" not in folders.split() and "val" not in folders.split():
        with pytest.raises(UserError, match=said):
            open_test(Data(source=str(tmp_path)), "all")


def bad(root, **fields):
    config = Config(
        data=Data(source=str(root), max_bad_fraction=0.9, **fields),
        runtime=Runtime(cache_dir=str(root.parent / "cache")),
    )
    source, found = scan.without_bad_images(open_source(config.data), config)
    assert all(len(str(image).splitlines()) == 1 for image in found)
    return source, {os.path.basename(image.name): image.reason for image in found}


def test_what_is_no_regular_file_is_named_unread(photos, monkeypatch):
    import socket

    cat = photos / "cat"
    os.mkfifo(cat / "fifo.jpg")
    (cat / "zero.jpg").symlink_to("/dev/zero")
    (cat / "loop.jpg").symlink_to("loop.jpg")
    (cat / "gone.jpg").symlink_to("/no/such/file")
    (cat / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(cat)  # a socket's path is short
        listener.bind("socket.jpg")
    source, reasons = bad(photos)
    assert reasons == {
        "fifo.jpg": "a FIFO, where a file is needed",
        "zero.jpg": "a device, where a file is needed",
        "socket.jpg": "a socket, where a file is needed",
        "loop.jpg": "Too many levels of symbolic links",
        "gone.jpg": "No such file or directory",
    }
    assert source.train.size + source.val.size == 10


def test_files_of_gigabytes_are_judged_by_their_sizes_and_first_bytes(photos):
    """Sparse files: to read one of them would take its size in memory."""
    beginnings = {"tar.jpg": b"photos/", "jpeg.jpg": b"\xff\xd8\xff\xe0", "small.png": b"\x89PNG\r\n\x1a\n"}
    for name, beginning in beginnings.items():
        (photos / "cat" / name).write_bytes(beginning)
        os.truncate(photos / "cat" / name, 3 * 2**20 if name == "small.png" else 3 * 2**30)
    (photos / "cat" / "zeros.jpg").touch()
    os.truncate(photos / "cat" / "zeros.jpg", 2**28)
    _, reasons = bad(photos)
    too_large = "3,221,225,472 bytes, more than data.max_file_bytes=536870912"
    assert {name: reasons[name] for name in ("tar.jpg", "jpeg.jpg")} == {"tar.jpg": too_large, "jpeg.jpg": too_large}
    assert reasons["zeros.jpg"] == "no JPEG, PNG, BMP, GIF or WebP file"
    with pytest.raises(UserError, match=r"data\.max_file_bytes must be 1 or more\. Received: 0"):
        Data(max_file_bytes=0)
    assert bad(photos, max_file_bytes=2**21)[1]["small.png"].endswith("more than data.max_file_bytes=2097152")


def test_a_class_without_a_readable_image_is_named(photos):
    for number in range(5):
        (photos / "dog" / f"{number:03d}.jpg").write_bytes(b"no image")
    source, _ = bad(photos)
    assert source.notes == (
        "1 of 2 classes have no readable train image, so that nothing trains them: 'dog'",
        "1 of 2 classes have no readable val image, so that no error counts them: 'dog'",
    )


def test_a_class_too_small_to_hold_an_image_out_is_named(photos):
    (photos / "dog" / "004.jpg").unlink()
    source, _ = bad(photos)
    assert source.notes == ("1 of 2 classes have no readable val image, so that no error counts them: 'dog'",)
    assert np.bincount(source.train.labels).tolist() == [4, 4]


def test_labels_of_the_listing_are_those_that_are_read_though_the_scan_knew_others(photos):
    bad(photos)
    write_images(photos / "ant", [(8, 8)] * 5)
    source, _ = bad(photos)
    for split in (source.train, source.val):
        read = [int(split.read(tf.constant(image, tf.int64))[1]) for image in range(split.size)]
        assert split.labels.tolist() == read and set(read) == {0, 1, 2}
