"""The benchmark's commands, at toy size: their rows, that ratios are those of their own numbers, and that steps are real."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import write_images
from vgg_keras.benchmarks import inputs, rounds, scaling, steps
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import multiply_adds, training_operations


def test_ratios_are_taken_inside_a_round_and_their_median_told():
    rows = [Row("ours", 10, None, 4e9), Row("theirs", 20, None, 4e9), Row("decoding", 5, None)]
    found = [{"ours": 1.0, "theirs": 2.0, "decoding": 1.0}, {"ours": 2.0, "theirs": 12.0, "decoding": 2.0}]
    found += [{"ours": 4.0, "theirs": 4.0, "decoding": 1.0}]
    ours, theirs, decoding = rounds.summary(rows, found, ("theirs", "decoding"))
    assert ours["images_per_second"] == 5 and ours["images_per_second_range"] == [2.5, 10]
    assert ours["gflops"] == 2 and decoding["gflops"] is None
    assert ours["beside"]["theirs"] == {
        "median": 2.0,
        "range": [1.0, 6.0],
        "fastest": 2.0,
    }  # of operations, which both have
    assert ours["beside"]["decoding"] == {
        "median": 2.0,
        "range": [0.5, 2.0],
        "fastest": 2.0,
    }  # of images: 2/1, 2/1, 2/4
    assert rounds.ratios(ours)["theirs"] == "2.00 (1.00-6.00), 2.00"
    assert "theirs" not in theirs["beside"]


def test_rows_are_named_by_their_beginnings():
    rows = [Row(name, 1, None) for name in ("vgg_keras", "Keras", "Keras, bf16")]
    assert [row.name for row in rounds.chosen(rows, ["Keras"])] == ["Keras", "Keras, bf16"]
    with pytest.raises(UserError, match="Received: 'keras'. There are 'vgg_keras', 'Keras'"):
        rounds.chosen(rows, ["keras"])


def test_a_steps_operations_are_three_forward_passes_less_the_first_layers_input():
    architecture = Architecture("D", num_classes=1000)
    first = 3 * 3 * 3 * 64 * 224**2
    forward = multiply_adds(architecture, 224, 224)
    assert training_operations(architecture) == 2 * (3 * forward - first)
    fc1, rest = 7 * 7 * 512 * 4096, 4096 * 4096 + 4096 * 1000
    assert training_operations(architecture, ("fc",)) == 2 * (forward + fc1 + 2 * rest)  # no gradient goes below fc1


@pytest.mark.parametrize(
    ("device", "share"),
    [("NVIDIA H100 80GB HBM3", 0.5), ("NVIDIA H100 PCIe", 0.6541), ("T1000", None), ("NVIDIA L40", None)],
)
def test_the_share_of_a_gpus_matrix_peak(device, share):
    machine = Engine("jax", device, True, "mixed_bfloat16", "", *[None] * 5)
    found = steps.matrix_peak_share({"gflops": 494.5e3}, machine)
    assert found == share or abs(found - share) < 1e-4
    assert inputs.cores_needed(3000, 1200, 2) == 5


def last_line(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_input(run_command, tmp_path):
    for name in ("a", "b"):
        write_images(tmp_path / "photos" / name, [(90, 100 + size) for size in range(12)])
    toy = ("--config=quickstart", "--set=data.scale=40,60", "--images=96", "--repeats=2", "--times=2")
    found = last_line(run_command("benchmark", "input", "--data=photos", *toy))
    names = ["decoding alone", "vgg_keras", "data.jpeg_decoding=full", "decode, resize, crop", "Pillow, DataLoader"]
    assert [row["name"] for row in found["rows"]] == names
    assert found["files"] == 40 and found["first_batch_seconds"] > 0 and found["cores"] > 0
    assert found["peak_kib"] > 1e5
    ours = found["rows"][1]
    assert ours["images"] == 64  # the first batch is not counted
    low, high = ours["images_per_second_range"]
    assert 0 < low <= ours["images_per_second"] <= high
    assert set(ours["beside"]) == {"decoding alone", "decode, resize, crop", "Pillow, DataLoader"}


TOY_NET = ("--config=A", "--set=stages=", "--set=architecture.width=0.0625", "--set=architecture.crop=32")
TOY_NET = (*TOY_NET, "--set=data.scale=32", "--batch=4", "--repeats=2")


@pytest.mark.slow
def test_train_with_a_profile(run_command, tmp_path):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    found = last_line(run_command("benchmark", "train", *TOY_NET, "--profile=profile"))
    assert [row["name"] for row in found["rows"]] == [
        "vgg_keras",
        f"PyTorch, {'bf16' if found['precision'] == 'mixed_bfloat16' else 'float32'}, channels last",
        "layers alone",
    ]
    assert "XLA for the weights' update alone" in found["chosen"]
    a_step = 4 * training_operations(Architecture("A", width=0.0625, crop=32, num_classes=1000)) / 1e9
    for row in found["rows"]:
        assert row["gflops"] == pytest.approx(row["images_per_second"] * a_step / 4)
    space = xplane_pb2.XSpace()
    (recorded,) = tmp_path.glob("profile/plugins/profile/*/*.xplane.pb")  # where TensorBoard looks
    space.ParseFromString(recorded.read_bytes())
    names = {event.name for plane in space.planes for event in plane.event_metadata.values()}
    assert any("block3_conv2" in name for name in names)
    steps = [
        event
        for plane in space.planes
        for line in plane.lines
        for event in line.events
        if plane.event_metadata[event.metadata_id].name == "train"
    ]
    assert len(steps) == 3  # marked, without which TensorBoard's overview is empty


@pytest.mark.slow
def test_train_on_jax_without_tensorflow(tmp_path):
    """The command runs, and its step learns: a batch that it sees again and again."""
    script = (
        "import sys, runpy, numpy\n"
        "sys.modules['tensorflow'] = None\n"  # as if it were not installed: importing it fails
        "from vgg_keras.benchmarks.steps import engine_of\n"
        "from vgg_keras.config import Architecture, Config, Training\n"
        "machine = engine_of(Config(training=Training(learning_rate=1e-3)))\n"
        "net = Architecture('A', num_classes=4, width=1/16, crop=32, mean=(127.0,) * 3, dropout=0.0)\n"
        "images = numpy.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype('float32')\n"
        "step = machine.step(net, Config(training=Training(learning_rate=1e-3)), 'float32', images, numpy.arange(4))\n"
        "print('losses', *(step() for _ in range(12)))\n"
        f"sys.argv = ['benchmark', 'train', *{TOY_NET!r}, '--only=vgg_keras,layers']\n"
        "runpy.run_module('vgg_keras.benchmark', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True
    )
    found = last_line(done)
    losses = [float(word) for word in done.stdout.split("losses ")[1].splitlines()[0].split()]
    print(f"losses of 12 steps on JAX: {losses}")
    assert losses[-1] < 0.5 * losses[0]
    assert found["backend"] == "jax" and [row["name"] for row in found["rows"]] == ["vgg_keras", "layers alone"]


@pytest.mark.slow
def test_scaling(monkeypatch, capsys):
    """A process for each number; here one core, one list of files, one command."""
    monkeypatch.setattr(scaling, "TIMES", (2,))
    monkeypatch.setattr(scaling, "COMMANDS", ("summarize",))
    monkeypatch.setattr(scaling.os, "sched_getaffinity", lambda process: {0})
    passed = [word for word in TOY_NET if word.startswith("--set")]
    scaling.run(["--config=A", *passed], 64, 1, [4])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = [row["name"] for row in found["rows"]]
    assert names == ["input on 1 core", "input, files x 2", "training step, batch 4"]
    assert all(row["images_per_second"] > 0 and row["peak_gib"] > 0.1 for row in found["rows"])
    assert 0 < found["start_seconds"]["summarize"] < 60


@pytest.mark.slow
def test_evaluate(run_command):
    found = last_line(
        run_command(
            "benchmark",
            "evaluate",
            "--config=quickstart",
            "--set=architecture.width=0.0625",
            "--images=8",
            "--repeats=2",
        )
    )
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [
        "convolutions alone",
        "model.predict",
        "centre crop, Q=37",
        "dense, Q=37",
        "dense, Q=37, 55, 73",
        "multi-crop, Q=37",
        "both, Q=37",
    ]
    architecture = Architecture("E", width=0.0625, crop=32, num_classes=1000)
    at_crop = 2 * multiply_adds(architecture, 32, 32) / 1e9
    assert rows["model.predict"]["gflop_per_image"] == pytest.approx(at_crop)
    assert rows["multi-crop, Q=37"]["gflop_per_image"] == pytest.approx(
        25 * at_crop
    )  # the quickstart has no mirror images
    assert rows["dense, Q=37, 55, 73"]["gflop_per_image"] == pytest.approx(
        sum(2 * multiply_adds(architecture, side, side) / 1e9 for side in (37, 55, 73))
    )
    for row in rows.values():
        assert row["images_per_second"] * row["gflop_per_image"] == pytest.approx(row["gflops"])
        low, high = row["of_predict_range"]
        assert 0 < low <= row["of_predict"] <= high
