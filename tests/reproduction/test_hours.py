"""The plan's hours by hand, from epochs that were made and from an operation's time."""

import json
import multiprocessing
import signal
import threading
from pathlib import Path

import pytest
import tensorflow as tf

from tests.conftest import write_images
from vgg_keras import runtime, stop
from vgg_keras.config import Architecture
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.files import sha256_of_names
from vgg_keras.nets.architectures import multiply_adds, training_operations
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import hours, identity, plan, suites
from vgg_keras.reproduction.hours import Pace
from vgg_keras.training import estimate
from vgg_keras.training.estimate import Speed

RUNS = plan.runs_of(suites.of("smoke", {}), Path("none"))[:1]  # nothing is there


def test_hours_follow_from_made_epochs_and_count_those_that_are_left(tmp_path):
    suite = suites.of("smoke", {})
    runs = plan.runs_of(suite, tmp_path)
    first = runs[0]
    first.folder.mkdir(parents=True)
    data = {"train": {"images": 1000}, "val": {"images": 200}}
    content = {"config": to_dict(first.config), "classes": list("0123456789"), "data": data}
    (first.folder / "config.json").write_text(json.dumps(content))
    lines = [json.dumps({"epoch": 1, "images_per_second": 50.0}), "damaged"]
    (first.folder / "metrics.jsonl").write_text("\n".join(lines))
    pace = hours.paces(runs)["digits"]  # nothing is timed

    assert (pace.train_images, pace.val_images, pace.test_images, pace.measured) == (1000, 200, 200, True)
    jobs = {job.name: job for job in plan.jobs_of(suite, runs)}

    def seconds(name, epochs):
        """Of these epochs, the validation after the last one, and the final evaluation: both of a centre crop."""
        net, b = (Architecture(one, width=0.125, crop=32, num_classes=10, batch_norm=True) for one in (name, "B"))
        operation = 1 / 50 / training_operations(b)
        crops = 2 * 200 * 2 * multiply_adds(net, 32, 32)
        return operation * (epochs * 1000 * training_operations(net) + crops)

    of_b, of_d = (hours.hours(jobs[f"digits/{net}-small/0/train"], pace) for net in "BD")
    assert of_b == pytest.approx(seconds("B", 1) / 3600)  # of 2 epochs one is left
    assert of_d == pytest.approx(seconds("D", 2) / 3600)


def test_hours_of_a_training_count_each_validation_and_every_pass_of_the_final_evaluation(tmp_path):
    suite = suites.of("small", {})
    jobs = {job.name: job for job in plan.jobs_of(suite, plan.runs_of(suite, tmp_path))}
    pace = Pace(train_images=0, val_images=1000, test_images=100, classes=17, seconds=1e-9, measured=False)
    a = Architecture("A", width=0.25, crop=112, num_classes=17, mean=(0.0, 0.0, 0.0))
    # photographs: 60 epochs, a validation after every tenth; the dense net at Q=128 with mirror images
    adds = 6 * 1000 * multiply_adds(a, 112, 112) + 2 * 100 * multiply_adds(a, 128, 128)
    assert hours.hours(jobs["photographs/A-small/0/train"], pace) == pytest.approx(2 * adds * 1e-9 / 3600)


def test_hours_of_a_test_count_its_crops_and_mirror_images(tmp_path):
    suite = suites.of("small", {})
    jobs = {job.name: job for job in plan.jobs_of(suite, plan.runs_of(suite, tmp_path))}
    pace = Pace(train_images=1088, val_images=272, test_images=272, classes=17, seconds=1e-9, measured=False)
    d = Architecture("D", width=0.25, crop=112, num_classes=17, mean=(0.0, 0.0, 0.0))
    dense = sum(multiply_adds(d, side, side) for side in (112, 144))
    assert jobs["photographs/D-small/0/dense"].test == ("dense", (112, 144))  # Q=128 is the final evaluation's
    found = hours.hours(jobs["photographs/D-small/0/dense"], pace)
    assert found == pytest.approx(272 * 2 * 2 * dense * 1e-9 / 3600)
    crops = 3 * 25 * multiply_adds(d, 112, 112)
    assert jobs["photographs/D-jitter/0/multi_crop"].test == ("multi_crop", (128, 192, 256))
    found = hours.hours(jobs["photographs/D-jitter/0/multi_crop"], pace)
    assert found == pytest.approx(272 * 2 * 2 * crops * 1e-9 / 3600)


def test_steps_are_timed_with_the_settings_of_the_jobs():
    """Else images are scanned into another cache than --set=runtime.cache_dir names, and on other devices."""
    timed = []

    def measure(config, given):
        timed.append(config)
        assert not given
        return Pace(1, 1, 1, 10, 1.0, False)

    hours.paces(RUNS, ("runtime.cache_dir=here", "runtime.strategy=one"), measure)
    (config,) = timed
    assert (config.runtime.cache_dir, config.runtime.strategy) == ("here", "one")
    assert config.architecture == RUNS[0].config.architecture


def test_given_nets_need_no_training_images(tmp_path, monkeypatch):
    """A folder with val/ alone is enough for their tests, so it is for their hours."""
    for place, name in enumerate("ab"):
        write_images(tmp_path / "val" / name, [(40, 48)] * 2, seed=place)
    config = suites.of("smoke", {}).trainings[0].configuration(str(tmp_path), 0)
    config = override(config, {"runtime.cache_dir": str(tmp_path / "cache")})
    monkeypatch.setattr(estimate, "speeds", lambda *_: [Speed(1, 0.0, 1.0)])
    monkeypatch.setattr(runtime, "make_strategy", lambda _: tf.distribute.get_strategy())
    pace = hours.measure(config, True)
    assert (pace.train_images, pace.val_images, pace.test_images, pace.classes) == (0, 0, 4, 2) and pace.images == {}
    with pytest.raises(UserError, match=r"needs val/ and the reverse"):
        hours.measure(config, False)


def test_a_pace_states_the_images_as_their_runs_will(tmp_path, monkeypatch):
    """For --merge: results of other images are refused before a net is trained."""
    for place, split in enumerate(("train", "val")):
        for name in "ab":
            write_images(tmp_path / split / name, [(40, 48)] * (2 + place), seed=place)
    config = suites.of("smoke", {}).trainings[0].configuration(str(tmp_path), 0)
    config = override(config, {"runtime.cache_dir": str(tmp_path / "cache")})
    monkeypatch.setattr(estimate, "speeds", lambda *_: [Speed(1, 0.0, 1.0)])
    monkeypatch.setattr(runtime, "make_strategy", lambda _: tf.distribute.get_strategy())
    images = hours.measure(config, False).images
    names = [f"val/{name}/{number:03d}.jpg" for name in "ab" for number in range(3)]
    assert images["val"] | {"images": 6, "sha256_of_names": sha256_of_names(names)} == images["val"]
    assert set(images) == {"train", "val"} and all(digest in images["train"] for digest in identity.DIGESTS)


def test_images_of_several_classes_are_refused_before_a_net_is_trained(tmp_path):
    """Their nets have no top-1 error: the page failed at the end of all trainings. One row of a list makes such a set."""
    for split in ("train", "val"):
        write_images(tmp_path / split, [(40, 48)] * 2)
    rows = ["path,label,split", "train/000.jpg,cat,train", "train/001.jpg,cat|dog,train"]
    rows += ["val/000.jpg,cat,val", "val/001.jpg,dog,val"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    config = suites.of("smoke", {}).trainings[0].configuration(str(tmp_path / "list.csv"), 0)
    config = override(config, {"runtime.cache_dir": str(tmp_path / "cache")})
    for given in (False, True):
        with pytest.raises(UserError, match=r"images with one class each\. Received: .*list\.csv, whose images"):
            hours.measure(config, given)


def test_a_request_ends_the_process_that_times_steps(monkeypatch):
    monkeypatch.setattr(stop, "_requested", True)
    with pytest.raises(StoppedError, match="the same command resumes"):
        hours.paces(RUNS)
    assert not multiprocessing.active_children()


def test_the_process_that_times_steps_hears_a_stop_where_nothing_is_half_done(monkeypatch):
    """A scan of ImageNet lost what it had found, and a set that was being prepared left its files."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(stop, "_requested", False)
    monkeypatch.setattr(hours, "measure", lambda *_: signal.raise_signal(signal.SIGTERM) or stop.raise_if_requested())
    ours, theirs = multiprocessing.Pipe(duplex=False)
    try:
        hours._send(theirs, RUNS[0].config, False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stop.requested() and not ours.poll()


def test_a_process_that_was_killed_is_named():
    timer = threading.Timer(0.5, lambda: [child.kill() for child in multiprocessing.active_children()])
    timer.start()
    with pytest.raises(UserError, match=r"Received: its end with status -9\. Memory may be full\."):
        hours.paces(RUNS)
