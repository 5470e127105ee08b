"""A signal is a request, which work answers where nothing is half done."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vgg_keras import stop
from vgg_keras.errors import StoppedError


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    monkeypatch.setattr(stop, "_requested", False)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves run under nohup
    stop.listen(hangup=True)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_request_until_work_looks(number):
    stop.raise_if_requested()
    assert not stop.requested()
    os.kill(os.getpid(), number)
    assert stop.requested()
    with pytest.raises(StoppedError, match="the same command resumes"):
        stop.raise_if_requested()


def test_a_second_ctrl_c_ends_at_once_and_a_second_sigterm_does_not():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_work_that_never_looks_is_ended_at_once_and_signals_are_requests_again(number, monkeypatch):
    cleaned = []
    with pytest.raises(StoppedError, match="the same command resumes"), stop.at_once():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            cleaned.append(number)
    assert cleaned and stop.requested()
    with pytest.raises(StoppedError), stop.at_once():
        raise AssertionError("it does not begin")
    monkeypatch.setattr(stop, "_requested", False)
    os.kill(os.getpid(), number)
    assert stop.requested()


def test_a_closed_terminal_is_a_stop_request(monkeypatch):
    monkeypatch.setattr(stop, "_requested", False)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves run under nohup
        stop.listen(hangup=True)
        signal.raise_signal(signal.SIGHUP)
        assert stop.requested()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        stop.listen(hangup=True)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# In a worker TensorFlow takes SIGTERM for itself; a follower that nothing stops ends by itself.
FOLLOWER = (
    "import signal, time; from vgg_keras import stop; stop.listen(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('begun', flush=True); end = time.monotonic() + 120\n"
    "while not stop.requested() and time.monotonic() < end: time.sleep(0.02)\n"
    "print('saved' if stop.requested() else 'not stopped', flush=True)"
)


@pytest.mark.parametrize(
    "start",
    [
        "from vgg_keras.reproduction.runner import start_process\nstart_process([sys.executable, '-c', code], log)",
        "from vgg_keras.training.launcher import launch\nsys.argv = ['']\n"
        "launch([], 1, 0, log.parent, program=['-c', code + f\"; stop.requested() and open({str(log)!r}, 'a').write('saved')\"])",
    ],
    ids=["reproduce", "launch"],
)
def test_what_a_command_has_started_saves_and_stops_when_the_command_is_killed(tmp_path, start):
    """Else a training of days goes on, holds its folder, and nobody knows of it."""
    log = tmp_path / "log"
    log.touch()
    code = f"import sys, time; from pathlib import Path; log, code = Path({str(log)!r}), {FOLLOWER!r}\n{start}\ntime.sleep(100)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as command:
        deadline = time.monotonic() + 90
        begun = command.stdout.readline() if "launch" in start else ""
        while "begun" not in begun + log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        command.kill()
        while "saved" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "saved" in log.read_text()
