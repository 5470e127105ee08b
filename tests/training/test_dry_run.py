"""The dry run through the command line: what it prints, and that it refuses what the run refuses."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from tests import warm
from tests.conftest import command, write_images
from vgg_keras.cluster import Cluster
from vgg_keras.errors import UserError
from vgg_keras.locks import locked
from vgg_keras.overrides import override
from vgg_keras.recipes import load
from vgg_keras.training import dry_run, estimate
from vgg_keras.training.stages import PlannedRun
from vgg_keras.training.workers import Workers
from vgg_keras.weights.initialize import Start

SMALL = ("--config=quickstart", "--set=architecture.name=A", "--set=architecture.width=0.03125")
WORDS = (*SMALL, "--data=photos", "--workdir=run", "--set=training.epochs=1")


def test_a_finished_stage_needs_its_start_no_more(tmp_path, monkeypatch):
    """Nor its checkpoints: its net is what the next stage starts from."""
    inspected = []
    monkeypatch.setattr(dry_run, "inspect_start", lambda run, workers: inspected.append(run.name) or Start("digest"))
    chain = override(load("finetune"), {"training.weights": "gone.h5"})
    starts = {"new": "gone.h5", "block5": str(tmp_path / "new"), "all": str(tmp_path / "block5")}
    runs = [
        PlannedRun(
            stage.name, override(chain.of_stage(stage), {"training.weights": starts[stage.name]}), tmp_path / stage.name
        )
        for stage in chain.stages
    ]
    for results, expected in (([{"epochs": 1}, None, None], ["block5"]), ([None] * 3, ["new"])):
        inspected.clear()
        found = dry_run._starts(runs, results, workers=None)
        assert inspected == expected  # what is still to be trained begins where it is known by then
        assert [start is not None for start in found] == [run.name in expected for run in runs]


@pytest.mark.parametrize(
    ("checkpoint", "printed"),
    [
        (None, "about 0:01:00 for all epochs, "),
        ("epoch-0002-step-000000015", "about 0:00:15 for the steps that are not made yet, "),
        ("epoch-0003-step-000000020", "about 0:00:00 for the steps that are not made yet, "),
    ],
)
def test_the_time_is_of_the_steps_that_are_not_made_yet(tmp_path, capsys, checkpoint, printed):
    """Of a run of twenty steps of three seconds, and of a finished stage behind it where there is a checkpoint."""
    config = override(load("quickstart"), {"training.epochs": 4, "data.batch": 2})
    source = SimpleNamespace(train=SimpleNamespace(size=10), classes=("a", "b"), multi_label=False)
    runs, results, found = [PlannedRun("one", config, tmp_path)], [None], [checkpoint and tmp_path / checkpoint]
    if checkpoint:
        runs, results, found = [*runs, PlannedRun("two", config, tmp_path)], [None, {"epochs": 4}], [*found, None]
    speed = estimate.Speed(images=2, update=2.0, image=0.5)
    dry_run._print_times(runs, results, found, [speed] * len(runs), source, 1)
    assert printed in capsys.readouterr().out


def test_another_worker_waits_for_the_images_of_the_first(tmp_path, monkeypatch):
    """Which may have to prepare them, in a folder that both see."""
    workers = Workers(tf.distribute.get_strategy())
    workers.rank, workers.count, workers.chief, workers._cluster = 1, 2, False, Cluster(("a:1", "b:2"), 1)
    workers.any = lambda *_: (False, True, False)
    monkeypatch.setattr(dry_run, "choose_devices", lambda _: (None, workers, "float32"))
    monkeypatch.setattr(dry_run, "open_source", lambda *_: pytest.fail("both at once"))
    with pytest.raises(UserError, match=r"a mistake, which worker 0 \(a:1\) names"):
        dry_run.dry_run([PlannedRun("single", load("quickstart"), tmp_path / "run")])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with photographs and a run on them."""
    folder = tmp_path_factory.mktemp("trained")
    for name in "ab":
        write_images(folder / "photos" / name, [(40, 50)] * 6)
    done = warm.finished(warm.run_command, command("train", *WORDS, cache=folder), folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_command_prints_the_plan_and_the_images_that_it_leaves_out_and_writes_nothing(run_command, tmp_path):
    for name in "ab":
        write_images(tmp_path / "photos" / "train" / name, [(40, 50)] * 4)
        write_images(tmp_path / "photos" / "val" / name, [(40, 50)])
    next((tmp_path / "photos" / "val" / "b").iterdir()).write_bytes(b"")
    words = (*SMALL, "--data=photos", "--workdir=run", "--set=data.max_bad_fraction=0.5", "--set=training.epochs=2")
    done = run_command("train", *words, "--dry_run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "skipped: photos/val/b/" in done.stdout and "note: 1 of 2 classes have no readable val image" in done.stdout
    assert any(line.startswith("plan: single (") for line in lines)
    plan = next(place for place, line in enumerate(lines) if line.endswith(" new"))
    timing = next(place for place, line in enumerate(lines) if line.startswith("timing "))
    assert plan < timing and "16" in lines[plan].split()  # 2 * 8 images
    assert "without validation; the plateau rule" in done.stdout
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_refuses_what_the_run_refuses(run_command, tmp_path, trained):
    """Before anything is timed: another number of classes, and images that changed since the run began."""
    for more in ((), ("--dry_run",)):
        done = run_command("train", *SMALL, "--workdir=run", "--set=architecture.num_classes=3", *more)
        assert done.returncode == 2 and "must be 0 or the data's 10. Received: 3" in done.stderr
        assert "timing" not in done.stdout and not (tmp_path / "run").exists()
    image = next((trained / "photos" / "a").iterdir())
    image.rename(tmp_path / image.name)
    before = sorted((path, path.stat().st_mtime_ns) for path in (trained / "run").rglob("*"))
    for more in (("--dry_run",), ()):
        done = run_command("train", *WORDS, *more, cwd=trained)
        assert done.returncode == 2 and "A run is resumed with the images that it was begun with" in done.stderr
        assert "timing" not in done.stdout
        if more:
            assert sorted((path, path.stat().st_mtime_ns) for path in (trained / "run").rglob("*")) == before
    (tmp_path / image.name).rename(image)


@pytest.mark.slow
def test_the_command_sees_a_folder_in_use_one_that_cannot_be_written_and_damaged_checkpoints(run_command, trained):
    words = ("train", *WORDS, "--dry_run")
    done = run_command(*words, "--workdir=/proc/self/run", cwd=trained)
    assert (
        done.returncode == 2
        and "--workdir must be a path that can be written. Received: /proc/self/run: " in done.stderr
    )
    with locked(trained / "run", "--workdir"):
        done = run_command(*words, cwd=trained)
        assert done.returncode == 2 and "Received: run, where one is running" in done.stderr
    (checkpoint,) = (trained / "run" / "checkpoints").glob("epoch-*")
    index = (checkpoint / "state.index").read_bytes()
    (checkpoint / "state.index").write_bytes(b"")
    done = run_command(*words, cwd=trained)
    assert done.returncode == 2 and "A run resumes from an intact checkpoint" in done.stderr
    assert checkpoint.exists() and "timing" not in done.stdout
    (checkpoint / "state.index").write_bytes(index)
