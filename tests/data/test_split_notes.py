"""What is noted of a scanned set: its classes, and copies of training images."""

import shutil

import pytest

from tests.data.scans import bad


@pytest.mark.slow
def test_a_class_without_a_readable_image_is_named(class_folders):
    for number in range(5):
        (class_folders / "dog" / f"{number:03d}.jpg").write_bytes(b"no image")
    source, _ = bad(class_folders)
    assert source.notes == (
        "1 of 2 classes have no readable train image, so that nothing trains them: 'dog'",
        "1 of 2 classes have no readable val image, so that no error counts them: 'dog'",
    )


def test_copies_of_training_images_are_counted(class_folders):
    """What is measured on them is no test, and nothing else would tell."""
    assert bad(class_folders)[0].notes == ()
    for name, copied in (("cat/004", "cat/002"), ("dog/004", "cat/003")):
        shutil.copy(class_folders / f"{copied}.jpg", class_folders / f"{name}.jpg")
    source, _ = bad(class_folders)
    assert source.notes == (
        f"2 of 2 val images are copies of training images, such as {class_folders}/cat/004.jpg: the errors on them are too low",
    )


@pytest.mark.parametrize("name", ["Cat", "c at", "cat\u200b"])
def test_classes_that_differ_in_case_or_spaces_alone_are_named(class_folders, name):
    (class_folders / "dog").rename(class_folders / name)
    first, second = sorted((name, "cat"))
    assert bad(class_folders)[0].notes == (f"the classes {first!r} and {second!r} differ in case or spaces alone",)
