"""What the tests of suites share: jobs that take no time."""

import pytest

from tests.reproduction.fake_start import IMAGES
from vgg_keras import stop
from vgg_keras.reproduction import hours, plan, runner, suites
from vgg_keras.reproduction.hours import Pace


@pytest.fixture
def quick(monkeypatch):
    """No job is timed and none is waited for."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    monkeypatch.setattr(hours, "_in_a_process", lambda *_: Pace(240, IMAGES, IMAGES, 10, 1e-12, False))


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Those of the smoke suite, of which none has begun."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0)
    monkeypatch.setattr(stop, "_requested", False)
    suite = suites.of("smoke", {})
    return plan.jobs_of(suite, plan.runs_of(suite, tmp_path))
