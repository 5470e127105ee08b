"""A suite in a process of its own: its last line, its errors, its cores. A script takes the benchmark's place."""

import os
import sys

import pytest

from vgg_keras import stop
from vgg_keras.benchmarks.processes import benchmark
from vgg_keras.errors import StoppedError, UserError


@pytest.fixture
def replaced(monkeypatch, tmp_path):
    """A function that puts a shell script in the place of Python."""

    def replace(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return replace


@pytest.mark.parametrize("shown", [False, True])
def test_the_last_line_is_the_result_and_the_rest_is_shown_on_request(replaced, capfd, shown):
    replaced("""echo "a table"; echo "progress" >&2; echo '{"arguments": "'"$*"'"}'""")
    found = benchmark(["train", "--batch=4"], shown=shown)
    assert found == {"arguments": "-m vgg_keras.benchmark train --batch=4"}
    output, errors = capfd.readouterr()
    assert ("a table" in output, "progress" in errors) == (shown, shown)


def test_a_failure_is_one_line(replaced):
    replaced('echo "Traceback" >&2; echo "error: no such GPU" >&2; exit 2')
    with pytest.raises(UserError, match=r"^train --batch=4 ended with status 2: no such GPU$"):
        benchmark(["train", "--batch=4"])
    replaced("exit 9")
    with pytest.raises(UserError, match=r"^train ended with status 9: see above$"):
        benchmark(["train"])


def test_a_stop_request_is_no_failure(replaced, monkeypatch):
    monkeypatch.setattr(stop, "_requested", True)
    replaced("exit 75")
    with pytest.raises(StoppedError, match="a benchmark keeps no results"):
        benchmark(["train"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are Linux's")
def test_a_process_is_pinned_to_its_cores(replaced):
    before = os.sched_getaffinity(0)
    core = max(before)
    replaced("""echo '{"cores": "'$(grep Cpus_allowed_list /proc/self/status | cut -f2)'"}'""")
    assert benchmark(["input"], [core]) == {"cores": str(core)}
    assert os.sched_getaffinity(0) == before
