"""The dry run: what it counts, what it times, and that it refuses what the run refuses."""

from types import SimpleNamespace

import pytest

from tests.conftest import write_images
from vgg_keras.config import Config
from vgg_keras.locks import locked
from vgg_keras.nets.architectures import costs, training_operations
from vgg_keras.overrides import override
from vgg_keras.recipes import config_folder, load
from vgg_keras.training import estimate
from vgg_keras.training.estimate import Speed, Work

SMALL = ("--config=quickstart", "--set=architecture.width=0.03125")
CPU = SimpleNamespace(extended=SimpleNamespace(worker_devices=["/device:CPU:0"]), num_replicas_in_sync=1)


def a_source(images=1_281_167, classes=1000):
    return SimpleNamespace(train=SimpleNamespace(size=images), classes=[""] * classes)


def test_the_papers_whole_training_is_counted():
    work = Work.of(override(load("D"), {"stages": ()}), a_source())
    assert work.steps == 74 * 5005  # 1,281,167 / 256 = 5004.6 steps an epoch
    assert work.images == 74 * 1_281_167
    # 15.47 G multiply-adds, two operations each, forward and twice backward but for the images' own gradient
    assert work.operations == pytest.approx(74 * 1_281_167 * 3 * 2 * 15.47e9, rel=0.01)


def test_a_step_and_a_run_follow_from_the_time_of_an_image_and_of_the_update():
    speed = Speed(images=2, update=0.5, image=0.25)
    assert speed.step(256) == 0.5 + 64
    assert speed.run(Work(steps=10, images=1000, operations=0), replicas=2) == 10 * 0.5 + 500 * 0.25


@pytest.mark.parametrize("name", sorted(path.stem for path in config_folder().glob("*.py")))
def test_what_is_timed_fits_the_memory_whatever_the_configuration(name):
    config = load(name)
    for stage in [config.of_stage(stage) for stage in config.stages] or [config]:
        architecture = override(stage, {"architecture.num_classes": 1000}).architecture
        part = estimate.part_of_a_batch(stage, architecture, 1_281_167, CPU)
        values = sum(cost.activations for cost in costs(architecture))
        assert 1 <= part <= stage.data.batch
        assert part == 1 or part * values * estimate.BYTES_A_VALUE <= 2**29
        assert part == 1 or part * training_operations(architecture) <= 2.5e11


def test_a_small_net_is_timed_with_whole_batches():
    config = override(Config(), {"architecture.width": 0.0625, "architecture.crop": 32, "architecture.num_classes": 10})
    assert estimate.part_of_a_batch(config, config.architecture, 1438, CPU) == 256
    assert estimate.part_of_a_batch(override(config, {"data.micro_batch": 20}), config.architecture, 1438, CPU) == 20
    assert estimate.part_of_a_batch(config, config.architecture, 100, CPU) == 100


def test_stages_that_differ_in_s_alone_are_timed_once(monkeypatch):
    timed = []
    monkeypatch.setattr(
        estimate, "_timed", lambda config, *_: timed.append(config.architecture.name) or Speed(1, 0.0, len(timed))
    )
    chain = load("E")
    configs = [chain.of_stage(stage) for stage in chain.stages]
    found = estimate.speeds(configs, a_source(), CPU, "float32")
    assert timed == ["A", "E"]
    assert [speed.image for speed in found] == [1, 2, 2, 2]


@pytest.mark.slow
def test_the_command_prints_the_plan_and_writes_nothing(run_command, tmp_path):
    done = run_command("train", *SMALL, "--workdir=run", "--dry_run", "--set=training.epochs=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("plan: single (")
    plan = next(place for place, line in enumerate(lines) if line.endswith(" new"))
    timing = next(place for place, line in enumerate(lines) if line.startswith("timing "))
    assert plan < timing and "2,876" in lines[plan]  # 2 * 1,438 images
    assert "validation left out; the plateau rule" in done.stdout
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
    assert done.returncode == 2 and "A run goes on from a whole checkpoint" in done.stderr
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
