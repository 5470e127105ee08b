"""The benchmark over cores, files and batches, at toy size."""

import json

import pytest

from tests.benchmarks.toy import TOY_NET
from tests.conftest import write_images
from vgg_keras.benchmarks import scaling, scans
from vgg_keras.config import Config, Data


def test_the_scan_over_a_repeated_list(tmp_path):
    for name in ("cat", "dog"):
        write_images(tmp_path / name, [(8, 8)] * 5)
    found = scans.measure(Config(data=Data(source=str(tmp_path))), 3)
    assert found["images"] == 24 and found["second_seconds"] < found["seconds"]
    assert found["images_per_second"] == pytest.approx(24 / found["seconds"])
    assert scans.measure(Config(), 3) is None  # digits are no files


@pytest.mark.slow
def test_scaling(monkeypatch, capsys):
    """A process for each number; here one core, one list of files, one command."""
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
