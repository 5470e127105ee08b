"""The datasets for `model.fit`: every image once a pass, passes that differ, and the same first pass for a seed.

And each call sees the folder as it is then.
"""

import shutil

import numpy as np
import PIL.Image
import pytest

import vgg_keras
from vgg_keras.data import scan, statistics

SMALL = {"crop": 32, "batch": 500, "scale": (32, 36), "flip": False}


def passes(dataset, count):
    return [list(dataset.as_numpy_iterator()) for _ in range(count)]


@pytest.mark.slow
def test_a_pass_is_an_epoch_and_the_next_one_differs():
    dataset = vgg_keras.training_data("digits", **SMALL, seed=4)
    assert int(dataset.cardinality()) == 3
    assert not dataset.options().autotune.enabled  # as in the pipeline of `train`
    first, second = passes(dataset, 2)
    assert [len(labels) for _, labels in first] == [500, 500, 438]
    everything = [np.concatenate([labels for _, labels in one]) for one in (first, second)]
    assert np.array_equal(np.sort(everything[0]), np.sort(everything[1]))
    assert not np.array_equal(*everything)
    again = passes(vgg_keras.training_data("digits", **SMALL, seed=4), 1)[0]
    assert np.array_equal(first[0][0], again[0][0])
    other = passes(vgg_keras.training_data("digits", **SMALL, seed=5), 1)[0]
    assert not np.array_equal(first[0][1], other[0][1])


@pytest.mark.slow
def test_validation_takes_every_image_once():
    batches = list(vgg_keras.validation_data("digits", crop=32, batch=100, scale=(32,)).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [100, 100, 100, 59]
    assert batches[0][0].max() > 200 and batches[0][0].min() >= 0  # RGB, 0-255


def test_description_holds_what_build_needs():
    classes, mean = vgg_keras.describe_data("digits", crop=32)
    assert classes == tuple("0123456789")
    assert mean == pytest.approx((77.99,) * 3, abs=0.01)


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(vgg_keras.UserError, match=r"Received: bach=\.\.\. Did you mean 'batch'"):
        vgg_keras.training_data("digits", bach=3)
    for name in ("micro_batch", "accumulation_steps", "several_boxes", "visible_box"):  # without effect on `model.fit`
        with pytest.raises(vgg_keras.UserError, match=rf"takes arguments that it knows\. Received: {name}=\.\.\."):
            vgg_keras.training_data("digits", crop=32, **{name: 1})
    with pytest.raises(vgg_keras.UserError, match=r"Received: seed=\.\.\. Known: batch, channels, classes"):
        vgg_keras.validation_data("digits", crop=32, seed=1)
    with pytest.raises(
        vgg_keras.UserError, match=r"scale must be int values with commas between them\. Received: 36\.5"
    ):
        vgg_keras.validation_data("digits", crop=32, scale=36.5)
    assert vgg_keras.validation_data("digits", crop=32, scale=36) is not None
    with pytest.raises(vgg_keras.UserError, match=r"must be architecture\.crop \(64\) or more"):
        vgg_keras.training_data("digits", crop=64, scale=(32,))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of two classes with five grey pictures each, and a cache of its own for the scan."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, name in ((100, "cat"), (140, "dog")):
        for number in range(5):
            put(tmp_path / "photos" / name / f"{number}.jpg", value)
    return tmp_path / "photos"


def put(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (40, 40), (value,) * 3).save(path, quality=100, subsampling=0)  # as exact as a PNG


def seen(folder):
    """The classes, the mean, and how many pictures of each label train and validate, of three calls."""
    fields = {"crop": 32, "flip": False, "color_shift": 0.0, "batch": 8}
    classes, mean = vgg_keras.describe_data(str(folder), **fields)
    counts = []
    for data in (vgg_keras.training_data(str(folder), **fields), vgg_keras.validation_data(str(folder), **fields)):
        labels = np.concatenate([labels for _, labels in data.as_numpy_iterator()])
        counts.append(np.bincount(labels, minlength=len(classes)).tolist())
    return classes, round(mean[0], 3), *counts


@pytest.mark.slow
def test_each_call_sees_the_pictures_that_are_in_the_folder_then(folder, capsys):
    assert seen(folder) == (("cat", "dog"), 120, [4, 4], [1, 1])
    for number in range(5):  # a class between the others
        put(folder / "cow" / f"{number}.jpg", 230)
    for number in range(5, 10):  # and images that are added to one of them
        put(folder / "dog" / f"{number}.jpg", 140)
    assert seen(folder) == (("cat", "cow", "dog"), 152.5, [4, 4, 8], [1, 1, 2])
    (folder / "dog" / "0.jpg").unlink()  # removed
    assert seen(folder) == (("cat", "cow", "dog"), 152.5, [4, 4, 8], [1, 1, 1])
    for number in range(5):  # replaced under their names
        put(folder / "cat" / f"{number}.jpg", 50)
    assert seen(folder) == (("cat", "cow", "dog"), 140, [4, 4, 8], [1, 1, 1])
    printed = [line for line in capsys.readouterr().out.splitlines() if "copies of training images" not in line]
    assert len(printed) == 3 and all("has other images than when it was last opened" in line for line in printed)
    (folder / "cow" / "0.jpg").write_bytes(b"spoilt")
    with pytest.raises(vgg_keras.UserError, match=r"data\.max_bad_fraction"):
        vgg_keras.describe_data(str(folder), crop=32)
    shutil.rmtree(folder / "cow")
    assert vgg_keras.describe_data(str(folder), crop=32) == (("cat", "dog"), pytest.approx((110,) * 3))


@pytest.mark.slow
def test_another_folder_in_its_place_is_another_set(folder):
    assert seen(folder)[1] == 120
    folder.rename(folder.with_name("before"))
    for name in ("cat", "dog"):
        for number in range(5):
            put(folder / name / f"{number}.jpg", 200)
    assert seen(folder)[1] == 200
    assert seen(folder.with_name("before"))[1] == 120


@pytest.mark.slow
def test_what_has_not_changed_is_neither_decoded_nor_measured_again(folder, monkeypatch, capsys):
    (folder / "cat" / "9.jpg").write_bytes(b"spoilt")
    fields = {"crop": 32, "max_bad_fraction": 0.2}
    vgg_keras.describe_data(str(folder), **fields)
    work = []
    measure, inspect = statistics.measure, scan.inspect_images
    monkeypatch.setattr(statistics, "measure", lambda *given: work.append("measured") or measure(*given))
    monkeypatch.setattr(
        scan, "inspect_images", lambda split, data, images: work.append(len(images)) or inspect(split, data, images)
    )
    vgg_keras.training_data(str(folder), batch=3, **fields)
    vgg_keras.validation_data(str(folder), scale=(32,), **fields)
    vgg_keras.describe_data(str(folder), **fields)
    assert not work
    assert capsys.readouterr().out.count("skipped: ") == 1
    put(folder / "cat" / "0.jpg", 101)
    vgg_keras.training_data(str(folder), **fields)
    vgg_keras.describe_data(str(folder), **fields)
    assert work == [1, "measured"]


def test_a_seed_that_is_none_is_refused_in_a_line():
    for seed in (None, 1.5, -1):
        with pytest.raises(vgg_keras.UserError, match=rf"seed must .*Received: {seed}"):
            vgg_keras.training_data("digits", **SMALL, seed=seed)


@pytest.mark.parametrize("function", ["training_data", "validation_data", "describe_data"])
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [({"batch_size": 8}, "'batch'"), ({"image_size": (32, 32)}, "crop=32"), ({"validation_split": 0.1}, "'holdout'")],
)
def test_arguments_by_their_names_elsewhere_are_named(function, arguments, meant):
    with pytest.raises(vgg_keras.UserError, match=f"Did you mean {meant}"):
        getattr(vgg_keras, function)("digits", **arguments)
