"""Which folders of a data set are its splits, by the names that people give them, and what must be renamed."""

import shutil

import pytest

from tests.conftest import write_images
from tests.data.scans import opened, put_splits
from vgg_keras.config import Data
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.data.split_folders import require_splits, split_folders
from vgg_keras.errors import UserError


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ("train validate test", r"Rename validate/ to val/"),
        ("train dev test", r"Rename dev/ to val/"),
        ("train tests", r"Or give that folder itself, of which a share"),
        ("val test trn", r"without train/\. Rename trn/ to train/"),
        ("valid test", r"without train/\. Or give the class folders' own parent"),
        ("trn dev", r"without train/ and val/\. Rename trn/ .* Rename dev/ to val/"),
    ],
)
@pytest.mark.parametrize("validation", ["own", "held_out"])
def test_splits_of_doubtful_names_are_to_be_renamed_and_never_the_test_set(tmp_path, folders, said, validation):
    put_splits(tmp_path, folders)
    with pytest.raises(UserError, match=said) as error:
        opened(tmp_path, validation=validation)
    assert "Rename test" not in str(error.value)


@pytest.mark.parametrize(
    "folders", ["train valid test", "train validation test", "training val testing", "Train Val Test"]
)
def test_splits_go_by_the_names_that_people_give_them(tmp_path, folders):
    put_splits(tmp_path, folders)
    train, val, test = folders.split()
    source = opened(tmp_path)
    for split, name in ((source.train, train), (source.val, val), (source.test, test)):
        assert [split.name(image) for image in range(split.size)] == [
            f"{name}/{one}/00{image}.jpg" for one in ("cat", "dog") for image in range(3)
        ]
    assert source.description.endswith(f"its own {train}/, {val}/, {test}/") and source.final_split == "test"
    data = Data(source=str(tmp_path))
    for name, sizes in (("test", 6), ("val", 6), ("train", 6), ("all", 18)):
        assert open_test(data, name)[3].size == sizes
    shutil.rmtree(tmp_path / train)  # a test needs no training images
    assert [split.name(0) for split in [open_test(data, "test")[3]]] == [f"{test}/cat/000.jpg"]


def test_splits_by_longer_names_are_no_classes(tmp_path):
    """Kaggle's cats and dogs lie in train/ and test1/, and others in training_set/ and test_set/."""
    for name in ("train", "test1"):
        write_images(tmp_path / "flat" / name, [(8, 8)] * 5)
    with pytest.raises(UserError, match=r"flat without val/\. Or give that folder itself, of which a share"):
        open_source(Data(source=str(tmp_path / "flat")))
    for name in ("train_images", "test-images"):
        write_images(tmp_path / "images" / name, [(8, 8)] * 5)
    with pytest.raises(
        UserError, match=r"without train/ and val/\. Rename train_images/ to train/, if it holds them\.$"
    ):
        open_source(Data(source=str(tmp_path / "images")))
    put_splits(tmp_path / "sets", "training_set test_set")
    with pytest.raises(UserError, match=r"Rename training_set/ to train/, .* Rename test_set/ to test/"):
        open_source(Data(source=str(tmp_path / "sets")))


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "car", "train"):
        write_images(tmp_path / name, [(8, 8)] * 5)
    source = open_source(Data(source=str(tmp_path)))
    assert source.classes == ("bus", "car", "train") and source.train.size == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: shutil.rmtree(root / "val"), r"train/ needs val/.*without val/"),
        (lambda root: (root / "val").rename(root / "validate"), r"without val/\. Rename validate/ to val/"),
        (
            lambda root: shutil.copytree(root / "val", root / "valid"),
            r"where val/ and valid/ are both for val\. Rename one",
        ),
    ],
)
def test_splits_that_are_missing_or_double_are_named(folder, change, message):
    change(folder)
    with pytest.raises(UserError, match=message):
        open_source(Data(source=str(folder)))


# ---- the folders' names alone


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("train/cat train/dog val/cat val/dog", {"train": "train", "val": "val"}),
        ("TRAINING/cat Validation/cat Testing/cat", {"train": "TRAINING", "val": "Validation", "test": "Testing"}),
        ("train/cat val/cat extra/cat", {"train": "train", "val": "val"}),  # other folders lie beside splits
        ("cat dog test", {}),  # a class of this name
        ("train bus car", {}),
        ("train/cat bus car", {"train": "train"}),  # which holds classes
        ("test", {"test": "test"}),
        ("trn/cat dev/cat", {}),  # doubtful names are none
    ],
)
def test_splits_are_told_from_classes(tmp_path, names, expected):
    found = split_folders(folders(tmp_path, *names.split()), [])
    assert found == {split: tmp_path / name for split, name in expected.items()}


def test_a_test_folder_without_classes_is_left_out_with_a_note(tmp_path):
    notes = []
    assert list(split_folders(folders(tmp_path, "train/cat", "val/cat", "test"), notes)) == ["train", "val"]
    assert notes == [f"{tmp_path}/test: a folder without class folders, which is left out"]


def test_two_folders_of_one_split_are_refused_with_both_names(tmp_path):
    folders(tmp_path, "train/cat", "training/cat", "val/cat")
    with pytest.raises(
        UserError, match=r"where train/ and training/ are both for train\. Rename one, or move it away\."
    ):
        split_folders(tmp_path, [])


def test_class_folders_and_a_folder_that_holds_images_need_no_splits(tmp_path):
    require_splits(folders(tmp_path / "classes", "cat", "dog"), {})
    require_splits(folders(tmp_path / "one", "dev"), {})  # a class of a doubtful name
    require_splits(folders(tmp_path / "test_alone", "train/cat", "test/cat"), {"train", "test"})  # a share validates
    with pytest.raises(UserError, match=r"without val/\. Rename dev/ to val/, if it holds them\."):
        require_splits(folders(tmp_path / "dev", "train/cat", "test/cat", "dev/cat"), {"train", "test"})
