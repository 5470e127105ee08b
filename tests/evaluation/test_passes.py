"""A pass that is interrupted resumes: every image is evaluated once, and nothing of another test is taken over."""

import contextlib
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests import conftest
from vgg_keras import stop
from vgg_keras.config import Architecture, Data
from vgg_keras.data.splits import Split
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.evaluation import image_rows, passes, rows
from vgg_keras.evaluation.posteriors import Posteriors, load

CLASSES = ("a", "b", "c")
NET = dataclasses.replace(conftest.NET, training_scale=(32,), scales=(32,), versions={"keras": "3"})


def split(images=10, prefix="image"):
    return Split(
        images,
        lambda image: (tf.as_string(image), tf.cast(image % 3, tf.int32)),
        lambda image: f"{prefix} {image}",
        labels=np.arange(images, dtype=np.int32) % 3,
    )


class Protocol:
    """Answers from an image's name, two at a time, last ones first; requests a stop after so many."""

    def __init__(self, until=None, nan=None):
        self.until, self.nan, self.evaluated = until, nan, []

    def __call__(self, split, data, side):
        for first in range(split.size - 1, -1, -2):
            places = np.arange(first, max(first - 2, -1), -1)
            read = [split.read(tf.constant(place, tf.int64)) for place in places.tolist()]
            numbers = [int(split.name(int(place)).split()[-1]) for place in places]
            self.evaluated += numbers
            posteriors = np.array([[0.5, number / 20, 0.5 - number / 20] for number in numbers])
            posteriors[[number == self.nan for number in numbers]] = np.nan
            stop._requested = self.until is not None and len(self.evaluated) >= self.until
            yield places, np.array([int(label) for _, label in read]), posteriors


@pytest.fixture(autouse=True)
def no_wish():
    yield
    stop._requested = False


def begin(path, images, net=NET):
    return passes.begin(path, image_rows.unknown(Posteriors, images, CLASSES, len(CLASSES), net))


def one(protocol, path, images=None, net=NET):
    images = images or split()
    return passes.run(protocol, begin(path, images, net), path, images, Data(), 32, "test")


@pytest.mark.parametrize("in_memory", [2**20, 100])
def test_an_interrupted_pass_goes_on_and_ends_alike(tmp_path, monkeypatch, capsys, in_memory):
    monkeypatch.setattr(rows, "IN_MEMORY", in_memory)
    whole = one(Protocol(), tmp_path / "whole.npz")
    assert whole.done.all() and np.allclose(whole.probabilities[:, 1], np.arange(10) / 20)
    assert whole.labels.tolist() == [number % 3 for number in range(10)]
    evaluated = []
    for _ in range(3):
        protocol = Protocol(until=3)  # stops after four
        try:
            parts = one(protocol, tmp_path / "parts.npz")
        except StoppedError:
            stop._requested = False
        evaluated += protocol.evaluated
    assert sorted(evaluated) == list(range(10))
    assert "test: 4 of 10 images are kept in" in capsys.readouterr().err
    assert np.array_equal(parts.probabilities, whole.probabilities) and np.array_equal(parts.labels, whole.labels)
    again = Protocol()
    kept = one(
        again, tmp_path / "parts.npz", net=dataclasses.replace(NET, model="elsewhere/E", versions={"keras": "4"})
    )
    assert kept.nets == (dataclasses.replace(NET, model="elsewhere/E"),)  # a net may move, and what made a number stays
    assert again.evaluated == [] and np.array_equal(kept.probabilities, whole.probabilities)
    assert load(tmp_path / "parts.npz").done.all()


def test_an_error_keeps_what_is_done(tmp_path):
    with pytest.raises(UserError, match="scores must be finite. Received: one that is not, for image 4"):
        one(Protocol(nan=4), tmp_path / "a.npz")
    kept = load(tmp_path / "a.npz")
    assert np.flatnonzero(kept.done).tolist() == [6, 7, 8, 9]


def test_another_setting_is_refused_by_name(tmp_path):
    one(Protocol(), tmp_path / "a.npz")
    other = dataclasses.replace(NET, architecture=Architecture("D"))
    message = r"a\.npz, made with another: architecture\.name: 'E', now 'D'\. Name another --out"
    with pytest.raises(UserError, match=message):
        begin(tmp_path / "a.npz", split(), other)
    found = passes.require_same(tmp_path / "a.npz", begin(tmp_path / "b.npz", split(), NET))
    assert found.nets == (NET,)
    grid = begin(tmp_path / "b.npz", split(), dataclasses.replace(NET, grid=5))
    passes.require_same(tmp_path / "a.npz", grid, may_differ=("grid",))
    with pytest.raises(UserError, match="grid: None, now 5"):
        passes.require_same(tmp_path / "a.npz", grid)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (split(prefix="other"), "made with another: image 0 is 'image 0' in the first and 'other 0' in the other"),
        (split(9), "made with another: image 9 is 'image 9' in the first and none in the other"),
        (dataclasses.replace(split(), fingerprints=np.arange(10) // 4), "made with another: 'image 4' is another file"),
    ],
)
def test_other_images_are_refused_by_name(tmp_path, images, message):
    one(Protocol(), tmp_path / "a.npz")
    with pytest.raises(UserError, match=message):
        begin(tmp_path / "a.npz", images)


@pytest.mark.parametrize("until", [3, None])
def test_edited_labels_are_those_of_the_saved_rows_too(tmp_path, capsys, monkeypatch, until):
    """What a net computes stays, finished or not; the file has the new labels, which fusions read."""
    path, labels = tmp_path / "a.npz", np.arange(10, dtype=np.int32) % 3
    with contextlib.suppress(StoppedError):
        one(Protocol(until=until), path)
    stop._requested = False
    labels[[2, 9]] = 1, 2
    edited = dataclasses.replace(
        split(), labels=labels, read=lambda image: (tf.as_string(image), tf.gather(tf.constant(labels), image))
    )
    again = Protocol()
    kept = one(again, path, edited)
    assert kept.labels.tolist() == load(path).labels.tolist() == labels.tolist()
    assert len(again.evaluated) == (6 if until else 0)
    assert f"a.npz: {1 if until else 2} images have other labels now" in capsys.readouterr().out
    one(Protocol(), path, edited)
    assert "other labels" not in capsys.readouterr().out
    monkeypatch.setattr(Posteriors, "BY_LABEL", True)  # as of boxes, which are those of the image's class
    with pytest.raises(UserError, match=r"a\.npz, made with another: \d images have other labels\. Name another --out"):
        begin(path, split())
    monkeypatch.undo()
    rows = dataclasses.replace(split(), labels=np.eye(3, dtype=np.int8)[labels])  # any number of classes per image
    assert np.array_equal(begin(path, rows).labels, rows.labels) and load(path).multi_label


def test_a_test_that_does_not_fit_the_memory_says_what_helps_and_keeps_what_is_done(tmp_path):
    def protocol(split, data, side):
        yield next(iter(Protocol()(split, data, side)))
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(UserError, match=r"must fit the memory.*OOM.*smaller evaluation\.batch"):
        one(protocol, tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").done.sum() == 2
