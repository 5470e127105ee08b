"""The command train, as a user runs it; what a whole training leaves is tested in training/test_job.py."""

import os

import pytest


@pytest.mark.slow
def test_mistakes_that_tensorflow_must_find_get_one_line_too(run_command, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_command("train", "--config=quickstart", f"--data={tmp_path / 'empty'}", "--workdir=run")
    assert done.returncode == 2
    assert "error: A data folder holds a folder of images for each of two or more classes." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    done = run_command("train", "--config=quickstart", "--workdir=other", "--set=architecture.num_classes=3")
    assert done.returncode == 2 and "must be 0 or the data's 10. Received: 3" in done.stderr
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").write_text("")
    done = run_command("train", "--config=quickstart", "--workdir=file")
    assert done.returncode == 2 and "--workdir must be a folder. Received: file, which is a file." in done.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    done = run_command("train", "--config=quickstart", "--workdir=other")
    assert done.returncode == 2 and "must be new, empty or a run's folder" in done.stderr
    assert os.listdir(tmp_path / "other") == ["thesis.txt"]
