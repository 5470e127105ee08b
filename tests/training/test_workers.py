"""What a run's processes agree on, as far as one process shows it; tests/test_launch.py has two."""

import errno
import faulthandler
import json
import os

import pytest
import tensorflow as tf

from vgg_keras import runtime, stop
from vgg_keras.cluster import Cluster
from vgg_keras.config import Config, Runtime
from vgg_keras.errors import DiskFullError, StoppedError, UserError, WorkerLostError
from vgg_keras.locks import locked
from vgg_keras.training import job
from vgg_keras.training.stages import PlannedRun
from vgg_keras.training.workers import Workers


@pytest.fixture
def alone():
    return Workers(tf.distribute.get_strategy())


def test_one_process_is_the_chief_and_agrees_with_itself(alone):
    assert (alone.rank, alone.count, alone.chief) == (0, 1, True)
    assert alone.any(True, False) == (True, False)
    assert alone.all_equal(7)
    assert alone.chief_only(lambda: 3) == alone.chief_first(lambda: 3) == 3

    def stopped():
        raise StoppedError("here")

    with pytest.raises(StoppedError, match="here"):
        alone.chief_only(stopped)


@pytest.mark.parametrize(
    ("end", "received", "theirs", "message"),
    [
        (StoppedError("at step 3"), (True, False), StoppedError, "stopped with another worker"),
        (UserError("A rule."), (False, True), UserError, r"a mistake, which worker 0 \(a:1\) names"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "a.jpg"), (False, True), UserError, "a mistake"),
    ],
)
def test_what_ends_the_chief_ends_all(alone, end, received, theirs, message):
    """On the chief, which reports it, and on another worker, which receives it."""

    def work():
        raise end

    reported = []
    alone.any = lambda *conditions: reported.append(conditions) or conditions
    with pytest.raises(type(end)) as raised:
        alone.chief_only(work)
    assert raised.value is end and reported == [received]
    alone.chief, alone.any, alone._cluster = False, lambda *conditions: received, Cluster(("a:1", "b:2"), 1)
    for call in (alone.chief_only, alone.chief_first):
        with pytest.raises(theirs, match=message):
            call(lambda: pytest.fail("this is the first worker's work"))


@pytest.mark.parametrize("end", [DiskFullError(errno.ENOSPC, "No space left", "w.h5"), OSError("a library's")])
def test_what_is_no_mistake_of_a_user_ends_the_chief_alone(alone, end):
    """To the rest it is a lost worker: all start again, where there is room."""

    def work():
        raise end

    alone.any = lambda *_: pytest.fail("it agrees with nobody")
    with pytest.raises(type(end)):
        alone.chief_only(work)


def test_what_ends_another_worker_ends_all(alone):
    """Else the first worker would report it as lost, and all be started again with its mistake."""
    alone.rank, alone.count, alone.chief, alone._cluster = 1, 2, False, Cluster(("a:1", "b:2"), 1)
    reported = []
    alone.any = lambda *conditions: reported.append(conditions) or conditions

    def mistake():
        raise UserError("A rule.")

    with pytest.raises(UserError, match=r"A rule\."):
        alone.chief_first(mistake)
    assert reported == [(False, False, False), (False, False, True)]
    alone.rank, alone.chief = 0, True
    alone.any = lambda *_: reported.pop(0)
    with pytest.raises(UserError, match=r"a mistake, which worker 1 \(b:2\) names"):
        alone.chief_first(lambda: 3)
    assert not reported


def test_an_error_of_a_lost_worker_names_it_and_any_other_stays_what_it_is(alone, capsys):
    gone = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Error from /job:worker/task:1")
    other = tf.errors.InternalError(None, None, "/job:worker/replica:0/task:1: no memory for cuDNN")
    with pytest.raises(tf.errors.UnavailableError), alone.together():
        raise gone
    alone._cluster = Cluster(("a:1", "b:2"), 0)
    with pytest.raises(WorkerLostError, match=r"worker 1 \(b:2\)"), alone.together():
        raise gone
    with pytest.raises(tf.errors.InternalError), alone.together():
        raise other
    for chief in (True, False):
        alone.chief = chief
        with alone.together():
            print(f"chief: {chief}", flush=True)
    assert capsys.readouterr().out == "chief: True\n"


def test_a_stop_of_one_worker_between_two_stages_is_that_of_all(alone, monkeypatch, tmp_path):
    """As in the final evaluation, for which the others wait: alone it would be a lost worker to the rest."""
    alone.rank, alone.count, alone.chief = 1, 2, False
    reported = []
    alone.any = lambda *conditions: reported.append(conditions) or conditions
    monkeypatch.setattr(stop, "_requested", True)
    with pytest.raises(StoppedError):
        job._train_one(PlannedRun("S384", Config(), tmp_path), [], None, alone, "float32")
    assert reported == [(False, False, False), (True, False, False)]


def test_a_folder_in_use_is_a_mistake_of_all_workers(alone, monkeypatch, tmp_path):
    alone.rank, alone.count, reported = 0, 2, []
    alone.any = lambda *conditions: reported.append(conditions) or conditions
    monkeypatch.setattr(job, "inspect_start", lambda *_: None)
    run = PlannedRun("single", Config(), tmp_path)
    with locked(tmp_path, "--workdir"), pytest.raises(UserError, match="One run at a time works in the folder"):
        job._train_one(run, [], None, alone, "float32")
    assert reported[-1] == (False, True, False)


TWO = json.dumps({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}})


def test_what_a_strategy_needs(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="multi_worker needs TF_CONFIG with two workers or more"):
        runtime.make_strategy(Runtime(strategy="multi_worker"))
    monkeypatch.setenv("TF_CONFIG", TWO)
    with pytest.raises(UserError, match="A worker without GPUs has one CPU device. Received: runtime.cpu_devices=2"):
        runtime.make_strategy(Runtime(cpu_devices=2))


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_several_workers_do_not_make_a_run_each(monkeypatch, tmp_path, strategy):
    monkeypatch.setenv("TF_CONFIG", TWO)
    monkeypatch.setattr(runtime, "make_strategy", lambda *_: pytest.fail("each would be a chief"))
    run = PlannedRun("single", Config(runtime=Runtime(strategy=strategy)), tmp_path)
    with pytest.raises(UserError, match=f"2 workers, of TF_CONFIG, make one run .* Received: {strategy}"):
        job.choose_devices([run])


def test_a_signal_is_a_request_again_once_there_are_several_workers(alone, monkeypatch, tmp_path):
    """In a dry run as in a training: TensorFlow takes SIGTERM for itself when it makes the strategy."""
    alone.count, heard = 2, []
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(runtime, "make_strategy", lambda *_: tf.distribute.OneDeviceStrategy("CPU:0"))
    monkeypatch.setattr(job, "Workers", lambda _: alone)
    monkeypatch.setattr(stop, "listen", lambda: heard.append(True))
    job.choose_devices([PlannedRun("single", Config(), tmp_path)])
    assert heard


def test_a_start_that_fails_disarms_its_watch(monkeypatch):
    """Which would end the process in the middle of what comes next."""

    def fails(*_):
        raise RuntimeError("no such network")

    armed = []
    monkeypatch.setenv("TF_CONFIG", TWO)
    monkeypatch.setattr(runtime, "meet", lambda *_: None)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", fails)
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, exit: armed.append(seconds))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", armed.pop)
    with pytest.raises(RuntimeError, match="no such network"):
        runtime.make_strategy(Runtime())
    assert not armed
