"""Links to files and folders below a class folder."""

import pytest

from tests.conftest import write_images
from tests.data.scans import bad, names, opened
from vgg_keras.errors import UserError


def test_linked_folders_and_files_are_read(class_folders):
    outside = class_folders.parent / "outside"
    write_images(outside / "deep", [(8, 8)] * 4)
    (class_folders / "cat" / "more").symlink_to(outside)
    (class_folders / "dog" / "one.jpg").symlink_to(outside / "deep" / "000.jpg")
    (class_folders / "bird").symlink_to(outside / "deep")
    source = opened(class_folders)
    assert source.classes == ("bird", "cat", "dog")
    assert len(names(source)) == 5 + 5 + 4 + 1 + 4
    assert "cat/more/deep/003.jpg" in names(source) and "dog/one.jpg" in names(source)
    assert [note.split(": ")[0] for note in source.notes] == [str(class_folders / "cat" / "more" / "deep")]
    assert "the same folder as" in source.notes[0] and str(class_folders / "bird") in source.notes[0]


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "sub/.."])
def test_a_link_to_a_folder_above_it_is_named_and_not_followed(class_folders, target):
    (class_folders / "cat" / "sub").mkdir()
    (class_folders / "cat" / "loop").symlink_to(target)
    source = opened(class_folders)
    assert len(names(source)) == 10
    (note,) = source.notes
    assert note == f"{class_folders / 'cat' / 'loop'}: a link to a folder above it, which is not followed"


def test_a_folder_that_is_reached_twice_in_a_class_is_read_once(class_folders):
    write_images(class_folders / "cat" / "sub", [(8, 8)] * 2)
    (class_folders / "cat" / "again").symlink_to("sub")
    source = opened(class_folders)
    assert len(names(source)) == 12 and "cat/sub/001.jpg" in names(source)
    (note,) = source.notes
    assert note.startswith(f"{class_folders / 'cat' / 'again'}: a link to a folder of its class that is read already")


def test_a_class_that_is_a_link_is_named_where_it_cannot_be_read(class_folders):
    (class_folders / "loop").symlink_to("loop")
    (class_folders / "gone").symlink_to("/no/such/folder")
    source = opened(class_folders)
    assert source.classes == ("cat", "dog") and len(source.notes) == 2
    assert all("a link that leads nowhere" in note for note in source.notes)
    (class_folders / "all").symlink_to(".")
    with pytest.raises(UserError, match=r"must hold images.*photos/all, which is empty\. .*a folder above it"):
        opened(class_folders)


def test_train_and_val_that_share_a_folder_are_named(class_folders, tmp_path):
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "val").mkdir()
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "set" / split / name).symlink_to(class_folders / name)
    notes = opened(tmp_path / "set").notes
    assert len(notes) == 2 and all("its images are read for both" in note for note in notes)


def test_a_link_to_a_file_of_its_class_is_read_once_and_a_loop_is_named(class_folders):
    (class_folders / "cat" / "again.jpg").symlink_to("000.jpg")
    outside = class_folders.parent / "outside"
    write_images(outside, [(8, 8)])
    for name in ("one.jpg", "two.jpg"):
        (class_folders / "dog" / name).symlink_to(outside / "000.jpg")
    (class_folders / "dog" / "loop.jpg").symlink_to("loop.jpg")
    source, reasons = bad(class_folders)
    assert len(names(source)) == 5 + 5 + 1 and "dog/one.jpg" in names(source)
    assert source.notes == (
        f"{class_folders}/cat/again.jpg: a link to a file of its class that is read already",
        f"{class_folders}/dog/two.jpg: a link to a file of its class that is read already",
    )
    assert reasons == {"loop.jpg": "Too many levels of symbolic links"}


def test_what_systems_leave_in_folders_is_no_image_and_no_class(class_folders):
    """Else a Thumbs.db in each class is more than 1 % of bad images, and thumbnails on a NAS are images of the class."""
    for name in ("Thumbs.db", "desktop.ini"):
        (class_folders / "cat" / name).write_bytes(b"no image")
    write_images(class_folders / "cat" / "@eaDir" / "000.jpg", [(8, 8)])
    for name in ("__MACOSX", "lost+found", "@eaDir"):
        (class_folders / name).mkdir()
    source = opened(class_folders)
    assert source.classes == ("cat", "dog") and len(names(source)) == 10 and source.notes == ()
