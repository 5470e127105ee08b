"""What a run records, and what it reports when its images go bad."""

import contextlib
import errno
import json
import resource

import pytest
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.data.errors import readable_images
from vgg_keras.errors import DiskFullError, UserError
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
    with pytest.raises(DiskFullError) as caught, loop.enough_memory():
        with limit(events.stat().st_size):  # more than the next line of the other file needs
            run.add(line(6))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "tensorboard")
    assert [entry["epoch"] for entry in records.read(tmp_path)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(DiskFullError) as caught:
        with limit((tmp_path / "metrics.jsonl").stat().st_size + 5):
            run.add(line(7))
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(tmp_path / "metrics.jsonl")


@pytest.mark.slow
def test_the_learning_curve_is_drawn_from_the_first_epoch_on(tmp_path):
    run = records.Records(tmp_path, 0)
    sizes = []
    for epoch, (error, rate) in enumerate([(90.0, 0.1), (40.0, 0.1), (45.0, 0.01)], start=1):
        run.add(line(epoch, error, rate))
        path = records.draw_learning_curve(tmp_path, "a title", Training())
        image = tf.io.decode_png(path.read_bytes()).numpy()
        sizes.append(image.shape)
        assert image.std() > 10
    assert len(set(sizes)) == 1


def test_the_learning_curve_has_epochs_without_a_validation_and_marks_the_kept_net(tmp_path, monkeypatch):
    run = records.Records(tmp_path, 0)
    for epoch in range(1, 5):
        entry = line(epoch, {2: 30.0}.get(epoch, 40.0), 0.1 / epoch)
        run.add({name: value for name, value in entry.items() if epoch % 2 == 0 or not name.startswith("val_")})
    figures = []
    monkeypatch.setattr(records.plots, "save", lambda figure, path: figures.append(figure))
    for kept, expected in (("best", "the best net: 30.00 % in epoch 2"), ("last", "the last net: 40.00 % in epoch 4")):
        training = Training(schedule="cosine", validation_epochs=2, kept_net=kept)
        records.draw_learning_curve(tmp_path, "a title", training)
        drawn = {one.get_label(): list(one.get_xdata()) for one in figures[-1].axes[1].lines}
        assert drawn["training"] == [1, 2, 3, 4] and drawn["validation"] == [2, 4] and expected in drawn
        assert len(figures[-1].axes[0].lines) == 2  # a cosine's rate is never divided


def test_an_image_that_goes_bad_after_the_scan_ends_in_one_line(tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(b"<html>")
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

    def images(_):
        return tf.data.Dataset.from_tensors(str(path)).map(lambda name: tf.io.decode_jpeg(tf.io.read_file(name)))

    with pytest.raises(
        UserError, match="must stay as they were when the run began. Received one that can no longer be read"
    ):
        with readable_images():
            next(iter(strategy.distribute_datasets_from_function(images)))
    path.unlink()
    with pytest.raises(UserError, match=r"image\.jpg"), readable_images():
        next(iter(strategy.distribute_datasets_from_function(images)))
    with pytest.raises(tf.errors.InvalidArgumentError):  # an error of the net's own is not blamed on the images
        with readable_images():
            tf.ensure_shape(tf.zeros([2]), [3])


def resumed(workdir, epochs):
    """The epochs whose lines a run keeps that goes on behind so many."""
    records.Records(workdir, epochs)
    return [entry.get("epoch") for entry in records.read(workdir)]


@pytest.mark.parametrize(
    ("number", "damage", "reason"),
    [
        (1, b'{"epoch": 1, "lo', "line 1: Unterminated string"),
        (1, b'\xff\xfe{"epoch": 1}', "line 1: 'utf-8' codec can't decode"),
        (2, b"[1, 2]", "line 2: no JSON object"),
        (2, b'{"epoch": "two"}', "line 2: no epoch's number: 'two'"),
        (3, b"[" * 100_000, "line 3: maximum recursion depth"),
    ],
)
def test_a_damaged_line_is_named_and_kept_and_the_others_stay(tmp_path, capsys, number, damage, reason):
    run = records.Records(tmp_path, None)
    for epoch in (1, 2, 3):
        run.add(line(epoch))
    path = tmp_path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = damage + b"\n"
    path.write_bytes(b"".join(lines))
    assert resumed(tmp_path, 3) == [epoch for epoch in (1, 2, 3) if epoch != number]
    said = capsys.readouterr().err
    assert f"damaged records: {path}: {reason}" in said and "kept as damaged-metrics.jsonl" in said
    assert f"no line for 1 of the 3 epochs that were made, from {number} on" in said
    assert (tmp_path / "damaged-metrics.jsonl").read_bytes() == b"".join(lines)
    path.write_bytes(b"other damage\n")
    resumed(tmp_path, 3)
    assert (tmp_path / "damaged-2-metrics.jsonl").read_bytes() == b"other damage\n"  # none is written over


def test_a_line_that_a_kill_cut_short_is_no_damage_but_one_of_an_epoch_that_is_done_is(tmp_path, capsys):
    run = records.Records(tmp_path, None)
    for epoch in (1, 2):
        run.add(line(epoch))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    whole = path.read_bytes()
    assert resumed(tmp_path, 1) == [1] and not capsys.readouterr().err
    path.write_bytes(whole)
    assert resumed(tmp_path, 2) == [1]
    assert "no line for 1 of the 2 epochs" in capsys.readouterr().err
    assert (tmp_path / "damaged-metrics.jsonl").read_bytes() == whole


def test_the_learning_curve_leaves_out_what_is_not_there(tmp_path):
    run = records.Records(tmp_path, None)
    run.add({"epoch": 1, "step": 10})
    assert records.draw_learning_curve(tmp_path, "a title", Training(plateau_metric="loss")) is None
    run.add(line(3))
    assert records.draw_learning_curve(tmp_path, "a title", Training(plateau_metric="loss")).exists()


def test_tensorboards_numbers_are_written_under_a_name_that_tensorflow_takes_for_a_pattern(tmp_path):
    workdir = tmp_path / "a[b]c\\d*e?"
    workdir.mkdir()
    records.Records(workdir, None).add(line(1))
    (events,) = (workdir / "tensorboard").iterdir()
    assert b"val_top1_error" in events.read_bytes()
