"""The command compare, as a user runs it."""

import json

import pytest

from tests.evaluation.tested_runs import a_run, three_nets


@pytest.mark.slow
def test_long_labels_stand_below_the_table(run_command, tmp_path):
    changes = (
        "data.batch=8",
        "data.flip=false",
        "training.momentum=0.5",
        "training.epochs=3",
        "architecture.dropout=0.1",
    )
    folders = [a_run(tmp_path / "plain", 30.0), a_run(tmp_path / "other", 20.0, *changes, "seed=1")]
    done = run_command("compare", *map(str, folders))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()[:4])) < 120 and "no common seed" in done.stdout
    assert "2: dropout=0.1  batch=8  flip=False  momentum=0.5  epochs=3 (center, Q=36)" in done.stdout


def test_the_last_line_is_json_and_unfinished_runs_are_named(run_command, tmp_path, random):
    folders, _ = three_nets(tmp_path, random)
    fresh = a_run(tmp_path / "fresh", None)
    done = run_command("compare", *map(str, [*folders, fresh]), "--out=compared.png")
    assert done.returncode == 0 and done.stderr == f"left out: {fresh}, without final_evaluation/evaluation.json\n"
    rows = json.loads(done.stdout.splitlines()[-1])
    assert [len(row["top1_errors"]) for row in rows] == [3, 3, 3]
    assert (tmp_path / "compared.png").exists()
