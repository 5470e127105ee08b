"""Runs of two workers on this machine: what is promised when one of them goes.

One run is started by the command line. The workers of the other one, which are started three times, are forked.
"""

import importlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from tests import warm
from tests.conftest import command, free_ports
from tests.training.toy import checkpoints, metrics, wait_for
from vgg_keras import stop
from vgg_keras.cluster import Cluster
from vgg_keras.config import Runtime
from vgg_keras.training import launcher

EPOCHS = 2  # of 15 steps
TOY = (
    "--config=quickstart",
    "--set=architecture.name=A",
    "--set=architecture.width=0.0625",
    "--set=architecture.dropout=0",  # whose masks differ from device to device
    "--set=data.batch=99",  # a last batch of 52
    "--set=data.scale=32,40",
    f"--set=training.epochs={EPOCHS}",
    "--set=runtime.precision=float32",
    "--set=checkpoint.every_steps=2",
    "--set=checkpoint.keep=100",
)


class Forked:
    """A worker that is forked from the launcher, which has imported the frameworks; used as a `Popen` is."""

    def __init__(self, words, *, env, stdout, **_):
        self._process = multiprocessing.get_context("fork").Process(target=self._work, args=(words, env, stdout))
        self._process.start()
        self.pid, self.kill, self.wait = self._process.pid, self._process.kill, self._process.join

    @staticmethod
    def _work(words, env, stdout):
        os.environ.update(env)
        for number in (1, 2) if stdout else ():
            os.dup2(stdout.fileno(), number)
        warm.run_command(words)

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


def launch_forked(train, workdir):
    """What the command runs, with workers that are forked."""
    with mock.patch.object(launcher, "subprocess", types.SimpleNamespace(Popen=Forked, DEVNULL=subprocess.DEVNULL)):
        sys.exit(launcher.launch(train, 2, 1, workdir))


class Launched:
    """`python -m vgg_keras.launch --workers=2 --restarts=1 train`, in the background."""

    def __init__(self, folder, forks=False):
        train = command("train", *TOY, "--workdir=run", cache=folder)[3:]
        self.workdir, self._log = folder / "run", folder / "log"
        if forks:
            self.process = warm.Warm(launch_forked, train, self.workdir, folder=folder, log=self._log)
            return
        words = [sys.executable, "-m", "vgg_keras.launch", "--workers=2", "--restarts=1", "train", *train]
        with open(self._log, "w") as log:
            self.process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)

    @property
    def output(self):
        return self._log.read_text()

    def wait_for_step(self):
        """Until some steps have been made since this call."""
        before = len(checkpoints(self.workdir))
        wait_for(lambda: len(checkpoints(self.workdir)) > before + 1, self.process)
        assert self.process.poll() is None, self.output

    def wait_for_restart(self, number):
        """How long it took until all were started again for the so-manieth time."""
        began = time.monotonic()
        wait_for(lambda: self.output.count("starting all 2 workers again") == number, self.process)
        return time.monotonic() - began

    def worker(self, rank):
        """Process and address of the worker, of its latest start."""
        process, address = None, None
        for found in re.finditer(rf"worker {rank} \((\S+)\): process (\d+)", self.output):
            address, process = found[1], int(found[2])
        return process, address


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = Launched(tmp_path_factory.mktemp("whole"))
    assert run.process.wait() == 0, run.output
    return run


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """The same run: worker 1 is killed, then worker 0 frozen, then worker 1, which is not the chief, gets SIGTERM."""
    run = Launched(tmp_path_factory.mktemp("disturbed"), forks=True)
    run.wait_for_step()
    process, run.killed = run.worker(1)
    os.kill(process, signal.SIGKILL)
    run.killed_seconds = run.wait_for_restart(1)

    run.wait_for_step()
    process, run.frozen = run.worker(0)
    os.kill(process, signal.SIGSTOP)
    began, log = time.monotonic(), run.workdir / ".workers" / "1.log"
    named = f"one that ended or does not answer: worker 0 ({run.frozen})"
    wait_for(lambda: named in log.read_text(), run.process)
    run.frozen_seconds = time.monotonic() - began
    run.wait_for_restart(2)

    run.wait_for_step()
    os.kill(run.worker(1)[0], signal.SIGTERM)
    assert run.process.wait() == 75, run.output
    return run


def saved(workdir, step):
    """Every variable of the checkpoint of a step."""
    path = next((workdir / "checkpoints").glob(f"epoch-*-step-{step:09d}"))
    reader = tf.train.load_checkpoint(str(path / "state"))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if not name.startswith("_CHECKPOINTABLE")}


def weights(workdir, step):
    found = {name: array for name, array in saved(workdir, step).items() if "_trainable_variables" in name}
    assert len(found) == 22  # kernels and biases of net A
    return found


def steps_of(workdir):
    return [int(name[-9:]) for name in checkpoints(workdir)]


@pytest.mark.slow
def test_two_workers_make_a_run_and_only_the_chief_prints(uninterrupted):
    chosen = next(line for line in uninterrupted.output.splitlines() if "chosen: " in line)
    assert "2 x MultiWorkerMirroredStrategy" in chosen and "no XLA over 2 workers" in chosen
    assert uninterrupted.output.count("epoch   2/2") == 1
    lines = metrics(uninterrupted.workdir)
    assert [(line["step"], line["workers"], line["devices"]) for line in lines] == [
        (15 * epoch, 2, 2) for epoch in (1, 2)
    ]
    assert (uninterrupted.workdir / "final_evaluation" / "evaluation.json").exists()
    assert "epoch" not in (uninterrupted.workdir / ".workers" / "1.log").read_text()
    assert not list(uninterrupted.workdir.rglob(".writing-*"))


@pytest.mark.slow
def test_killed_and_frozen_workers_are_named_and_all_start_again_to_the_same_bits(uninterrupted, disturbed):
    output = disturbed.output
    print(f"worker 1 killed: named and all started again after {disturbed.killed_seconds:.1f} s")
    assert disturbed.killed_seconds < 30
    assert f"launch: worker 1 ({disturbed.killed}) was ended by SIGKILL" in output
    assert f"one that ended or does not answer: worker 1 ({disturbed.killed})" in output  # the chief's own words
    print(f"worker 0 frozen: named by the other after {disturbed.frozen_seconds:.1f} s")
    assert disturbed.frozen_seconds < 30
    assert f"worker 0 ({disturbed.frozen}) does not end by itself: killed" in output

    step = max(set(steps_of(disturbed.workdir)) & set(steps_of(uninterrupted.workdir)))
    ours, theirs = saved(disturbed.workdir, step), saved(uninterrupted.workdir, step)
    print(f"compared at step {step} of those saved: {steps_of(disturbed.workdir)}")
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
    done = metrics(disturbed.workdir)
    assert done == metrics(uninterrupted.workdir)[: len(done)]


@pytest.mark.slow
def test_sigterm_to_one_worker_saves_the_step_of_all_and_one_process_goes_on_from_it(
    uninterrupted, disturbed, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(disturbed.workdir, workdir)
    logs = disturbed.output + (workdir / ".workers" / "1.log").read_text()
    stops = re.findall(r"stopped at step (\d+), saved", logs)
    assert len(stops) == 2 and stops[0] == stops[1]
    stop = int(stops[0])
    assert checkpoints(workdir)[-1].endswith(f"step-{stop:09d}") and stop < 15 * EPOCHS - 2

    # on one process the pictures are the same, so the net is, but for the order of sums, which grows from step to step
    alone = command("train", *TOY, "--workdir=run", cache=tmp_path)
    done = warm.finished(warm.run_command, alone, tmp_path)
    assert done.returncode == 0, done.stderr
    step = min(step for step in set(steps_of(workdir)) & set(steps_of(uninterrupted.workdir)) if step > stop + 2)
    ours, theirs = weights(uninterrupted.workdir, step), weights(workdir, step)
    difference = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    print(f"stopped at step {stop} of two workers, at step {step} of one: largest weight difference {difference:.2g}")
    assert difference <= 1e-5


@pytest.mark.slow
def test_a_worker_that_never_starts_is_named_within_the_starts_time(tmp_path):
    began, alone = time.monotonic(), []
    for there in range(2):  # the first worker without the second, and a second without the first
        addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
        words = command("train", *TOY, "--workdir=run", "--set=runtime.start_seconds=2", cache=tmp_path)
        environment, log = {"TF_CONFIG": Cluster(addresses, there).tf_config()}, tmp_path / f"{there}.log"
        process = warm.Warm(warm.run_command, words, folder=tmp_path, log=log, environment=environment)
        alone.append((process, log, f"worker {1 - there} ({addresses[1 - there]})"))
    for process, log, absent in alone:
        assert process.wait() == 69
        assert (
            f"lost: All 2 workers must be there within 2 s (runtime.start_seconds). Received: none of {absent}."
            in log.read_text()
        )
    print(f"each of two workers alone: ended after {time.monotonic() - began:.1f} s, 2 of them waiting")
    assert time.monotonic() - began < Runtime().start_seconds
    assert not (tmp_path / "run").exists()


def test_a_closed_terminal_is_passed_on(monkeypatch):
    """The workers are in sessions of their own: without it they would go on, and hold the workdir, when `launch` is gone."""
    before, given = set(flags.FLAGS), []
    launch = importlib.import_module("vgg_keras.launch")
    monkeypatch.setattr(stop, "listen", lambda hangup=False: given.append(hangup))
    monkeypatch.setattr(launcher, "launch", lambda *arguments: given.append(arguments) or 7)
    flags.FLAGS(["launch", "--workers=3"])
    try:
        assert launch.main("train", "--config=E", "--workdir=run") == 7
    finally:
        flags.FLAGS.unparse_flags()
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        del sys.modules["vgg_keras.launch"]
    assert given == [True, (("--config=E", "--workdir=run"), 3, 3, Path("run"))]
