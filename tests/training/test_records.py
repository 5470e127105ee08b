"""What a run tells of itself, and what it says when its images go bad."""

import contextlib
import errno
import json
import resource

import pytest
import tensorflow as tf

from vgg_keras.config import UserError
from vgg_keras.data import pipeline
from vgg_keras.files import Unwritten
from vgg_keras.training import loop, records


def line(epoch, error=50.0, rate=0.1):
    return {
        "epoch": epoch,
        "step": 10 * epoch,
        "loss": 1.0,
        "top1_error": error,
        "val_loss": 1.0,
        "val_top1_error": error,
        "learning_rate": rate,
    }


def test_lines_of_epochs_that_a_resumed_run_repeats_are_dropped(tmp_path):
    run = records.Records(tmp_path, 0)
    run.add({"bad_images": ["a.jpg: broken"]})
    for epoch in (1, 2, 3):
        run.add(line(epoch))
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "lo')  # a crash in mid-line
    records.Records(tmp_path, 2).add(line(3, error=40.0))
    stored = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [entry.get("epoch") for entry in stored] == [None, 1, 2, 3]
    assert stored[-1]["top1_error"] == 40.0


def test_tensorboard_reads_the_numbers(tmp_path):
    run = records.Records(tmp_path, 0)
    run.add(line(1, error=12.5))
    events = [
        value
        for file in (tmp_path / "tensorboard").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == "val_top1_error"
    ]
    assert [float(tf.make_ndarray(value.tensor)) for value in events] == [12.5]


@contextlib.contextmanager
def limit(size):
    """How large a file of this process may become: that to which pytest's own words go among them, so only inside."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_tensorboard_is_told_with_the_folder(tmp_path):
    run = records.Records(tmp_path, 0)
    for epoch in range(1, 6):
        run.add(line(epoch))
    (events,) = (tmp_path / "tensorboard").iterdir()
    with pytest.raises(Unwritten) as caught, loop.enough_memory():
        with limit(events.stat().st_size):  # more than the next line of the other file needs
            run.add(line(6))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "tensorboard")
    assert [entry["epoch"] for entry in records.read(tmp_path)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(Unwritten) as caught:
        with limit((tmp_path / "metrics.jsonl").stat().st_size + 5):
            run.add(line(7))
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / "metrics.jsonl")


def test_the_learning_curve_is_drawn_from_the_first_epoch_on(tmp_path):
    run = records.Records(tmp_path, 0)
    sizes = []
    for epoch, (error, rate) in enumerate([(90.0, 0.1), (40.0, 0.1), (45.0, 0.01)], start=1):
        run.add(line(epoch, error, rate))
        path = records.draw_learning_curve(tmp_path, "a title", "top1_error")
        image = tf.io.decode_png(path.read_bytes()).numpy()
        sizes.append(image.shape)
        assert image.std() > 10
    assert len(set(sizes)) == 1


def test_an_image_that_goes_bad_after_the_scan_ends_in_one_line(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(b"<html>")
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

    def images(_):
        return tf.data.Dataset.from_tensors(str(path)).map(lambda name: tf.io.decode_jpeg(tf.io.read_file(name)))

    with pytest.raises(
        UserError, match="must stay as they were when the run began. Received one that can no longer be read"
    ):
        with pipeline.readable_images():
            next(iter(strategy.distribute_datasets_from_function(images)))
    path.unlink()
    with pytest.raises(UserError, match=r"image\.jpg"), pipeline.readable_images():
        next(iter(strategy.distribute_datasets_from_function(images)))
    with pytest.raises(tf.errors.InvalidArgumentError):  # an error of the net's own is not blamed on the images
        with pipeline.readable_images():
            tf.ensure_shape(tf.zeros([2]), [3])
