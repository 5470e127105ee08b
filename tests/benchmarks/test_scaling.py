"""The benchmark over cores, files and batches, at toy size."""

import json

import pytest

from tests.benchmarks.toy import TOY_NET
from tests.conftest import command
from tests.warm import finished, run_command
from vgg_keras.benchmarks import scaling
from vgg_keras.config import Config


@pytest.mark.slow
def test_scaling(monkeypatch, capsys, tmp_path):
    """A process for each number; here one core, one list of files, one command. test_processes.py tests how one is started."""

    def benchmark(arguments, cores):
        # the next one runs, with these arguments and --times
        if arguments[0] == "input" and "--times=2" not in arguments:
            return {"rows": [{"images_per_second": 1.0}], "first_batch_seconds": 1.0, "peak_kib": 2**20}
        done = finished(run_command, command("benchmark", *arguments, cache=tmp_path), tmp_path)
        assert done.returncode == 0 and list(cores) == [0], done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    monkeypatch.setattr(scaling, "benchmark", benchmark)
    monkeypatch.setattr(scaling, "TIMES", (2,))
    monkeypatch.setattr(scaling, "COMMANDS", ("summarize",))
    monkeypatch.setattr(scaling.os, "sched_getaffinity", lambda process: {0})
    passed = [word for word in TOY_NET if word.startswith("--set")]
    scaling.run(Config(), ["--config=A", *passed], 64, 1, [4])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = [row["name"] for row in found["rows"]]
    assert names == ["input on 1 core", "input, files x 2", "training step, batch 4"]
    assert all(row["images_per_second"] > 0 and row["peak_gib"] > 0.1 for row in found["rows"])
    assert 0 < found["start_seconds"]["summarize"] < 60
