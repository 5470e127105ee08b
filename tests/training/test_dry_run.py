"""The dry run through the command line: what it prints, and that it refuses what the run refuses."""

import pytest

from tests.conftest import write_images
from vgg_keras.locks import locked

SMALL = ("--config=quickstart", "--set=architecture.name=A", "--set=architecture.width=0.03125")


@pytest.mark.slow
def test_the_command_prints_the_plan_and_writes_nothing(run_command, tmp_path):
    done = run_command("train", *SMALL, "--workdir=run", "--dry_run", "--set=training.epochs=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("plan: single (")
    plan = next(place for place, line in enumerate(lines) if line.endswith(" new"))
    timing = next(place for place, line in enumerate(lines) if line.startswith("timing "))
    assert plan < timing and "2,876" in lines[plan]  # 2 * 1,438 images
    assert "without validation; the plateau rule" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_refuses_what_the_run_refuses(run_command, tmp_path):
    """Before anything is timed: another number of classes, and images that changed since the run began."""
    for more in ((), ("--dry_run",)):
        done = run_command("train", *SMALL, "--workdir=run", "--set=architecture.num_classes=3", *more)
        assert done.returncode == 2 and "must be 0 or the data's 10. Received: 3" in done.stderr
        assert "timing" not in done.stdout and not (tmp_path / "run").exists()
    for name in "ab":
        write_images(tmp_path / "photos" / name, [(40, 50)] * 6)
    words = (*SMALL, "--data=photos", "--workdir=run", "--set=training.epochs=1")
    done = run_command("train", *words)
    assert done.returncode == 0, done.stderr
    next((tmp_path / "photos" / "a").iterdir()).unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    for more in (("--dry_run",), ()):
        done = run_command("train", *words, *more)
        assert done.returncode == 2 and "A run is resumed with the images that it was begun with" in done.stderr
        assert "timing" not in done.stdout
        if more:
            assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*")) == before


CHAIN = """
from vgg_keras.config import Architecture, Config, Data, Stage, Training
def config():
    stages = Stage("A", architecture="A"), Stage("wide", start="A", scale=(40,))
    data = Data(batch=32, scale=(32,), flip=False)
    return Config(Architecture("B", width=0.03125, crop=32), data, Training(epochs=1), stages=stages)
"""


@pytest.mark.slow
def test_a_chain_whose_stages_are_still_to_be_made_is_planned_and_timed(run_command, tmp_path):
    (tmp_path / "chain.py").write_text(CHAIN)
    done = run_command("train", "--config=chain.py", "--workdir=run", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "timing B, net 2 of 2" in done.stdout and not (tmp_path / "run").exists()
    done = run_command("train", "--config=chain.py", "--workdir=runs/chain", "--set=architecture.num_classes=3")
    assert done.returncode == 2 and "must be 0 or the data's 10" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_command_sees_a_folder_in_use_one_that_cannot_be_written_and_damaged_checkpoints(run_command, tmp_path):
    words = ("train", *SMALL, "--set=training.epochs=1", "--dry_run")
    done = run_command(*words, "--workdir=/proc/self/run")
    assert (
        done.returncode == 2
        and "--workdir must be a path that can be written. Received: /proc/self/run: " in done.stderr
    )
    with locked(tmp_path / "run", "--workdir"):
        done = run_command(*words, "--workdir=run")
        assert done.returncode == 2 and "Received: run, where one is running" in done.stderr
    done = run_command(*words[:-1], "--workdir=run")
    assert done.returncode == 0, done.stderr
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("epoch-*")
    (checkpoint / "state.index").write_bytes(b"")
    done = run_command(*words, "--workdir=run")
    assert done.returncode == 2 and "A run resumes from an intact checkpoint" in done.stderr
    assert checkpoint.exists() and "timing" not in done.stdout


@pytest.mark.slow
def test_the_command_names_the_images_that_it_leaves_out(run_command, tmp_path):
    for name in "ab":
        write_images(tmp_path / "photos" / "train" / name, [(40, 50)] * 4)
        write_images(tmp_path / "photos" / "val" / name, [(40, 50)])
    next((tmp_path / "photos" / "val" / "b").iterdir()).write_bytes(b"")
    words = (*SMALL, "--data=photos", "--workdir=run", "--set=data.max_bad_fraction=0.5", "--dry_run")
    done = run_command("train", *words)
    assert done.returncode == 0, done.stderr
    assert "skipped: photos/val/b/" in done.stdout and "note: 1 of 2 classes have no readable val image" in done.stdout
