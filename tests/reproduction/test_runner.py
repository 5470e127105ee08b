"""Jobs in their order: what waits, what a failure stops, and that a stop request is passed on."""

import signal

import pytest

from tests.reproduction.fake_start import Machine
from vgg_keras import stop
from vgg_keras.errors import INTERRUPTED, NO_ROOM
from vgg_keras.reproduction import runner


def test_a_job_waits_for_the_net_that_it_needs(jobs, tmp_path):
    machine = Machine()
    assert runner.run(jobs, tmp_path, 3, machine) == {}
    assert machine.most == 3 and sorted(machine.begun) == sorted(job.name.replace("/", "_") for job in jobs)
    place = machine.begun.index
    for seed in (0, 1):
        assert place(f"digits_D-small_{seed}_train") < place(f"digits_D-jitter_{seed}_train")
        assert place(f"digits_D-jitter_{seed}_train") < place(f"digits_D-jitter_{seed}_both")


def test_a_failure_stops_what_needs_it_and_nothing_else(jobs, tmp_path, capsys):
    machine = Machine({"digits_D-small_0_train": -9})
    failed = runner.run(jobs, tmp_path, 1, machine)
    assert failed == {"digits/D-small/0/train": -9}
    assert "fail  digits/D-small/0/train, ended by SIGKILL: " in capsys.readouterr().out
    assert (runner.exit_status(failed), runner.exit_status({}), runner.exit_status({"a": 74, "b": 2})) == (137, 0, 74)
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


def test_a_stop_request_is_passed_on_and_is_no_failure(jobs, tmp_path):
    machine = Machine(stop_at="digits_B-5x5-small_0_train")
    assert runner.run(jobs, tmp_path, 1, machine) == {}
    assert machine.begun == ["digits_B-small_0_train", "digits_B-5x5-small_0_train"]


def test_a_request_that_reaches_the_jobs_too_is_no_failure(jobs, tmp_path):
    """A job scheduler signals all processes at once, perhaps while this one writes the page."""
    first, second = (job.name.replace("/", "_") for job in jobs[:2])
    machine = Machine({second: INTERRUPTED})
    assert runner.run(jobs, tmp_path, 2, machine, lambda job, failed: stop._receive(signal.SIGTERM, None)) == {}
    assert machine.begun == [first, second]
