"""Jobs in their order: what waits, what a failure stops, and that a stop request is passed on."""

import json
import signal
from pathlib import Path

import pytest

from vgg_keras import stop
from vgg_keras.errors import INTERRUPTED, NO_ROOM, UserError
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import plan, runner, suites
from vgg_keras.runs import FINAL_EVALUATION, RESULT


class Machine:
    """Starts jobs that end at the next poll; a training leaves its final evaluation, unless it fails."""

    def __init__(self, statuses=None, stop_at="", slow=""):
        self.begun, self.running, self.most, self._statuses, self._stop_at = [], 0, 0, statuses or {}, stop_at
        self.signalled, self.slow = [], slow  # the job that runs until a signal

    def __call__(self, command, log):
        self.begun.append(log.stem)
        self.running += 1
        self.most = max(self.most, self.running)
        return Job(self, command, log.stem)

    def end(self, name, command, signalled):
        self.running -= 1
        status = INTERRUPTED if signalled else self._statuses.get(name, 0)
        folder = next((word.partition("=")[2] for word in command if word.startswith("--workdir=")), None)
        if folder and not status:
            final = Path(folder) / FINAL_EVALUATION
            final.mkdir(parents=True)
            (final / RESULT).write_text("{}")
        return status


class Job:
    def __init__(self, machine, command, name):
        self._machine, self._command, self._name, self._status, self._signalled = machine, command, name, None, False
        self.pid = 1

    def poll(self):
        if self._name == self._machine._stop_at and not self._signalled:
            stop._receive(signal.SIGTERM, None)
            return None
        if self._name == self._machine.slow and not self._signalled:
            return None
        if self._status is None:
            self._status = self._machine.end(self._name, self._command, self._signalled)
        return self._status

    def send_signal(self, number):
        assert number == signal.SIGTERM
        self._machine.signalled.append(self._name)
        self._signalled = True


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    monkeypatch.setattr(stop, "_requested", False)
    suite = suites.of("smoke", {})
    return plan.jobs_of(suite, plan.runs_of(suite, tmp_path))


def test_a_job_waits_for_the_net_that_it_needs(jobs, tmp_path):
    machine = Machine()
    assert runner.run(jobs, tmp_path, 3, machine) == {}
    assert machine.most == 3 and sorted(machine.begun) == sorted(job.name.replace("/", "_") for job in jobs)
    place = machine.begun.index
    for seed in (0, 1):
        assert place(f"digits_D-small_{seed}_train") < place(f"digits_D-jitter_{seed}_train")
        assert place(f"digits_D-jitter_{seed}_train") < place(f"digits_D-jitter_{seed}_both")


def test_a_failure_stops_what_needs_it_and_nothing_else(jobs, tmp_path):
    machine = Machine({"digits_D-small_0_train": -9})
    assert runner.run(jobs, tmp_path, 1, machine) == {"digits/D-small/0/train": -9}
    missing = {job.name.replace("/", "_") for job in jobs} - set(machine.begun)
    assert missing == {"digits_D-jitter_0_train", "digits_D-jitter_0_both"}


def test_a_full_disk_starts_no_other_job(jobs, tmp_path):
    machine = Machine({"digits_B-small_0_train": NO_ROOM})
    assert runner.run(jobs, tmp_path, 1, machine) == {"digits/B-small/0/train": NO_ROOM}
    assert machine.begun == ["digits_B-small_0_train"]


def test_a_full_disk_asks_the_other_jobs_to_save(jobs, tmp_path):
    """The second one would go on for hours, and end where no room is left either."""
    machine = Machine({"digits_B-small_0_train": NO_ROOM}, slow="digits_B-5x5-small_0_train")
    assert runner.run(jobs, tmp_path, 2, machine) == {"digits/B-small/0/train": NO_ROOM}
    assert machine.signalled == ["digits_B-5x5-small_0_train"] and len(machine.begun) == 2


def test_an_error_leaves_no_job_behind(jobs, tmp_path):
    """A closed terminal is such an error: the next line cannot be printed."""
    machine = Machine(slow="digits_B-5x5-small_0_train")

    def ended(job, failed):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        runner.run(jobs, tmp_path, 2, machine, ended)
    assert machine.signalled == ["digits_B-5x5-small_0_train"] and machine.running == 0


def test_a_closed_terminal_is_a_stop_request(monkeypatch):
    monkeypatch.setattr(stop, "_requested", False)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        stop.listen(hangup=True)
        signal.raise_signal(signal.SIGHUP)
        assert stop.requested()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        stop.listen(hangup=True)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_stop_request_is_passed_on_and_is_no_failure(jobs, tmp_path):
    machine = Machine(stop_at="digits_B-5x5-small_0_train")
    assert runner.run(jobs, tmp_path, 1, machine) == {}
    assert machine.begun == ["digits_B-small_0_train", "digits_B-5x5-small_0_train"]


def test_finished_runs_have_no_job_and_one_of_another_design_is_refused(jobs, tmp_path):
    runner.run(jobs, tmp_path, 1, Machine())
    suite = suites.of("smoke", {})
    left = plan.jobs_of(suite, plan.runs_of(suite, tmp_path))
    assert left and all(job.test for job in left)  # the tests, whose posteriors were not made here
    run = left[0].run
    other = override(
        run.config, {"training.epochs": 7, "architecture.num_classes": 10, "runtime.cache_dir": "elsewhere"}
    )
    older = to_dict(other)
    del older["training"]["nesterov"]  # as an older version wrote it, without a field of later
    (run.folder / "config.json").write_text(json.dumps({"config": older, "classes": []}))
    with pytest.raises(
        UserError, match=r"goes on in the folder.*begun with training\.epochs: 7, now 2\. Name another --out"
    ):
        plan.runs_of(suite, tmp_path)


def test_a_runs_folder_states_s_where_the_recipe_leaves_it_out(tmp_path):
    suite = suites.of("imagenet", {})
    (run, *_) = plan.runs_of(suite, tmp_path)
    assert run.config.data.scale == ()
    stated = to_dict(override(run.config, {"data.scale": (256,), "architecture.num_classes": 1000}))
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text(json.dumps({"config": stated, "classes": []}))
    assert plan.runs_of(suite, tmp_path)[0] == run
