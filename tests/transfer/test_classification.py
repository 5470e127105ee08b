"""The linear SVM on hand-made descriptors, beside scikit-learn called directly."""

import dataclasses

import numpy as np
import pytest

from tests.conftest import write_images
from tests.transfer.test_descriptors import NET
from vgg_keras.config import Config, Data, Features
from vgg_keras.data.sources import open_test
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation.images import Images
from vgg_keras.transfer import descriptors
from vgg_keras.transfer.classification import divisions, open_others, stack_nets
from vgg_keras.transfer.descriptors import Descriptors, unit_norm

CLASSES = ("a", "b", "c")


def hand_made(random, images=90, columns=12, noise=1.0):
    """Descriptors about a point of each class."""
    labels = np.arange(images, dtype=np.int32) % 3
    centres = random.normal(size=(3, columns))
    values = unit_norm(centres[labels] + random.normal(scale=noise, size=(images, columns)))
    return Descriptors(
        descriptors=values.astype(np.float32),
        labels=labels,
        ids=tuple(f"{image}.jpg" for image in range(images)),
        fingerprints=np.arange(images),
        classes=CLASSES,
        nets=(NET,),
        done=np.ones(images, np.bool_),
        seconds=1.0,
    )


def images_of(found):
    split = Split(90, None, lambda image: found.ids[image], labels=found.labels, fingerprints=found.fingerprints)
    return Images(split, "all", "photos", ())


def test_random_divisions_take_so_many_of_each_class(random):
    found = hand_made(random)
    config = Config(features=Features(per_class=8, test_per_class=5, splits=3))
    made = divisions(images_of(found), CLASSES, config)
    assert len(made) == 3
    for one in made:
        assert np.bincount(found.labels[one.train]).tolist() == [8] * 3
        assert np.bincount(found.labels[one.test]).tolist() == [5] * 3
        assert not set(one.train) & set(one.test)
    assert not np.array_equal(np.sort(made[0].train), np.sort(made[1].train))
    again = divisions(images_of(found), CLASSES, config)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(made, again, strict=True))
    with pytest.raises(
        UserError, match=r"more images than --per_class=30, to train and to test\. Received: a class with 30"
    ):
        divisions(images_of(found), CLASSES, dataclasses.replace(config, features=Features(per_class=30)))


@pytest.fixture
def folder(tmp_path):
    """train/ of five and val/ of two images of two classes."""
    for part, count in (("train", 5), ("val", 2)):
        for name in "xy":
            write_images(tmp_path / "set" / part / name, [(32, 40)] * count, seed=len(part + name))
    return tmp_path / "set"


def of_folder(folder, split="all"):
    data = Data(source=str(folder))
    description, classes, name, images = open_test(data, split)
    return Images(images, name, description, ()), classes, Config(data=data)


def test_the_sets_own_division_is_train_against_val(folder):
    images, classes, config = of_folder(folder)
    (division,) = divisions(images, classes, config)
    assert {images.split.name(image).split("/")[0] for image in division.train} == {"train"} and len(
        division.train
    ) == 10
    assert {images.split.name(image).split("/")[0] for image in division.test} == {"val"} and len(division.test) == 4


def test_a_set_without_a_test_and_one_class_are_refused(random, folder):
    rule = r"trained on one part of a set and tested on another\. Received: .*without a test of its own\. Name --per_class=30"
    found = hand_made(random)
    for one in (of_folder(folder / "train"), of_folder(folder, "val"), (images_of(found), CLASSES, Config())):
        with pytest.raises(UserError, match=rule):
            divisions(*one)
    config = Config(features=Features(per_class=3))
    alone = dataclasses.replace(found, labels=np.zeros(90, np.int32))
    for images, classes in ((images_of(found), ()), (images_of(alone), CLASSES)):
        with pytest.raises(UserError, match="An SVM separates two classes or more"):
            divisions(images, classes, config)


def test_descriptors_of_several_nets_are_stacked(random, tmp_path):
    first, second = hand_made(random), hand_made(random, columns=5)
    descriptors.save(second, tmp_path / "second.npz")
    others = open_others([tmp_path / "second.npz"], images_of(first).split, CLASSES, "fc2")
    stacked = stack_nets(first, others)
    expected = np.hstack([first.descriptors, second.descriptors]) / np.sqrt(2)
    assert np.abs(stacked.descriptors - expected).max() <= 1e-6 and len(stacked.nets) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ids": tuple(f"{image}.png" for image in range(90))},
            "image 0 is '0.jpg' in the first and '0.png' in the other",
        ),
        ({"fingerprints": np.arange(90) + 1}, "'0.jpg' is another file"),
        ({"classes": ("a", "b", "d")}, "class 2 is 'c' in the first and 'd' in the other"),
        (
            {"nets": (dataclasses.replace(NET, layers=("block5_pool",)),)},
            "the layer is fc2 in the first and block5_pool in the other",
        ),
    ],
)
def test_descriptors_of_other_images_or_layers_are_not_stacked(random, tmp_path, change, message):
    found = hand_made(random)
    descriptors.save(dataclasses.replace(found, **change), tmp_path / "other.npz")
    with pytest.raises(UserError, match=rf"same images and layer\. Received: .*other\.npz, where {message}\."):
        open_others([tmp_path / "other.npz"], images_of(found).split, CLASSES, "fc2")


def test_descriptors_of_other_labels_are_not_stacked(random):
    found = hand_made(random)
    with pytest.raises(UserError, match="Received: '1.jpg' with another label"):
        stack_nets(found, [dataclasses.replace(found, labels=np.zeros(90, np.int32))])


@pytest.mark.parametrize("source", ["set", "list.csv"])
def test_a_few_training_images_have_the_sets_own_division(tmp_path, source):
    """Two of a class, of which no fifth can be held out: nothing need be."""
    lines = ["path,label,split"]
    for part, count in (("train", 2), ("val", 3)):
        for name in "xy":
            paths = write_images(tmp_path / "set" / part / name, [(32, 40)] * count, seed=len(part + name))
            lines += [f"{path},{name},{part}" for path in paths]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    images, classes, config = of_folder(tmp_path / source)
    one_c = dataclasses.replace(config, features=Features(svm_c=(1.0,)))
    (division,) = divisions(images, classes, one_c)
    assert (len(division.train), len(division.test)) == (4, 6)
    with pytest.raises(UserError, match=r"needs 5 training images to hold one out, which chooses C\."):
        divisions(images, classes, config)  # before any pass
