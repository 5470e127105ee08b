"""What a run would take: its steps, images and operations, and which part of a batch is timed."""

from types import SimpleNamespace

import pytest

from vgg_keras.config import Config
from vgg_keras.nets.architectures import costs, training_operations
from vgg_keras.overrides import override
from vgg_keras.recipes import config_folder, load
from vgg_keras.training import estimate
from vgg_keras.training.estimate import Speed, Work

CPU = SimpleNamespace(extended=SimpleNamespace(worker_devices=["/device:CPU:0"]), num_replicas_in_sync=1)


def a_source(images=1_281_167, classes=1000):
    return SimpleNamespace(train=SimpleNamespace(size=images), classes=[""] * classes, multi_label=False)


def test_the_papers_whole_training_is_counted():
    work = Work.of(override(load("D"), {"stages": ()}), a_source())
    assert work.steps == 74 * 5005  # 1,281,167 / 256 = 5004.6 steps per epoch
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


@pytest.mark.slow
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
