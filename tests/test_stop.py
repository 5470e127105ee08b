"""A signal is a request, which work answers where nothing is half done."""

import os
import signal

import pytest

from vgg_keras import stop
from vgg_keras.errors import StoppedError


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(stop, "_requested", False)
    stop.listen()
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
