"""Runs of two workers on this machine, through the command lines: what is promised when one of them goes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests import warm
from tests.conftest import command, free_ports
from tests.training.toy import checkpoints, digest, metrics, wait_for
from vgg_keras.cluster import Cluster
from vgg_keras.config import Runtime

TOY = (
    "--config=quickstart",
    "--set=architecture.name=A",
    "--set=architecture.width=0.0625",
    "--set=architecture.dropout=0",  # whose masks differ from device to device
    "--set=data.batch=99",  # a last batch of 52
    "--set=data.scale=32,40",
    "--set=training.epochs=4",
    "--set=runtime.precision=float32",
    "--set=checkpoint.every_steps=2",
    "--set=checkpoint.keep=100",
)


class Launched:
    """`python -m vgg_keras.launch --workers=2 train`, in the background."""

    def __init__(self, folder, *more, restarts=1):
        train = command("train", *TOY, "--workdir=run", *more, cache=folder)[3:]
        words = [sys.executable, "-m", "vgg_keras.launch", "--workers=2", f"--restarts={restarts}", "train", *train]
        self.workdir, self._log = folder / "run", folder / "log"
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
def stopped(tmp_path_factory):
    """The same run, of which one worker, not the chief, got SIGTERM."""
    run = Launched(tmp_path_factory.mktemp("stopped"))
    run.wait_for_step()
    os.kill(run.worker(1)[0], signal.SIGTERM)
    assert run.process.wait() == 75, run.output
    return run


def weights(workdir, step):
    path = next((workdir / "checkpoints").glob(f"epoch-*-step-{step:09d}"))
    reader = tf.train.load_checkpoint(str(path / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if "_trainable_variables" in name]
    assert len(names) == 22  # kernels and biases of net A
    return {name: reader.get_tensor(name) for name in names}


@pytest.mark.slow
def test_two_workers_make_a_run_and_only_the_chief_prints(uninterrupted):
    chosen = next(line for line in uninterrupted.output.splitlines() if "chosen: " in line)
    assert "2 x MultiWorkerMirroredStrategy" in chosen and "no XLA over 2 workers" in chosen
    assert uninterrupted.output.count("epoch   4/4") == 1
    lines = metrics(uninterrupted.workdir)
    assert [(line["step"], line["workers"], line["devices"]) for line in lines] == [
        (15 * epoch, 2, 2) for epoch in (1, 2, 3, 4)
    ]
    assert (uninterrupted.workdir / "final_evaluation" / "evaluation.json").exists()
    assert "epoch" not in (uninterrupted.workdir / ".workers" / "1.log").read_text()
    assert not list(uninterrupted.workdir.rglob(".writing-*"))


@pytest.mark.slow
def test_sigterm_to_one_worker_saves_the_step_of_all_and_one_process_goes_on_from_it(uninterrupted, stopped, tmp_path):
    run = stopped
    steps = re.findall(r"stopped at step (\d+), saved", run.output + (run.workdir / ".workers" / "1.log").read_text())
    assert len(steps) == 2 and steps[0] == steps[1]
    assert checkpoints(run.workdir)[-1].endswith(f"step-{int(steps[0]):09d}")

    # on one process the pictures are the same, so the net is, but for the order of sums, which grows from step to step
    (tmp_path / "one").mkdir()
    shutil.copytree(run.workdir, tmp_path / "one" / "run")
    alone = command("train", *TOY, "--workdir=run", cache=tmp_path)
    done = warm.finished(warm.run_command, alone, tmp_path / "one")
    assert done.returncode == 0, done.stderr
    ours, theirs = weights(uninterrupted.workdir, step=15), weights(tmp_path / "one" / "run", step=15)
    difference = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    print(f"stopped at step {steps[0]} of two workers, at step 15 of one: largest weight difference {difference:.2g}")
    assert difference <= 1e-5


@pytest.mark.slow
def test_killed_and_frozen_workers_are_named_and_all_start_again_to_the_same_bits(uninterrupted, stopped, tmp_path):
    shutil.copytree(stopped.workdir, tmp_path / "run")
    run = Launched(tmp_path)
    run.wait_for_step()
    process, address = run.worker(1)
    os.kill(process, signal.SIGKILL)
    seconds = run.wait_for_restart(1)
    print(f"worker 1 killed: named and all started again after {seconds:.1f} s")
    assert seconds < 30
    assert f"launch: worker 1 ({address}) was ended by SIGKILL" in run.output
    assert f"one that ended or does not answer: worker 1 ({address})" in run.output  # the chief's own words

    run.wait_for_step()
    process, address = run.worker(0)
    os.kill(process, signal.SIGSTOP)
    began, log = time.monotonic(), run.workdir / ".workers" / "1.log"
    named = f"one that ended or does not answer: worker 0 ({address})"
    wait_for(lambda: named in log.read_text(), run.process)
    seconds = time.monotonic() - began
    print(
        f"worker 0 frozen: named by the other after {seconds:.1f} s, all started again {run.wait_for_restart(2):.1f} s later"
    )
    assert seconds < 30
    assert f"worker 0 ({address}) does not end by itself: killed" in run.output

    assert run.process.wait() == 0, run.output
    assert digest(run.workdir) == digest(uninterrupted.workdir)
    assert metrics(run.workdir) == metrics(uninterrupted.workdir)


@pytest.mark.slow
def test_a_worker_that_never_starts_is_named_within_the_starts_time(tmp_path):
    began, alone = time.monotonic(), []
    for there in range(2):  # the first worker without the second, and a second without the first
        addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
        words = command("train", *TOY, "--workdir=run", "--set=runtime.start_seconds=2", cache=tmp_path)
        environment = {**os.environ, "TF_CONFIG": Cluster(addresses, there).tf_config()}
        process = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        alone.append((process, f"worker {1 - there} ({addresses[1 - there]})"))
    for process, absent in alone:
        printed = process.communicate()[1]
        assert process.returncode == 69
        assert (
            f"lost: All 2 workers must be there within 2 s (runtime.start_seconds). Received: none of {absent}."
            in printed
        )
    print(f"each of two workers alone: ended after {time.monotonic() - began:.1f} s, 2 of them waiting")
    # two frameworks start here, on a machine that may be busy
    assert time.monotonic() - began < Runtime().start_seconds
    assert not (tmp_path / "run").exists()
