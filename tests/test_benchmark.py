"""The benchmark's commands, at toy size: their rows, that ratios are those of their own numbers, and that steps are real."""

import json

import pytest

from tests.benchmarks.toy import TOY_NET
from tests.conftest import write_images
from vgg_keras.config import Architecture
from vgg_keras.nets.architectures import multiply_adds, training_operations


def last_line(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_input(run_command, tmp_path):
    for name in ("a", "b"):
        write_images(tmp_path / "photos" / name, [(90, 100 + size) for size in range(12)])
    toy = ("--config=quickstart", "--set=data.scale=40,60", "--images=64", "--repeats=1", "--times=2")
    found = last_line(run_command("benchmark", "input", "--data=photos", *toy))
    names = ["decoding alone", "vgg_keras", "data.jpeg_decoding=full", "decode, resize, crop", "Pillow, DataLoader"]
    assert [row["name"] for row in found["rows"]] == names
    assert found["files"] == 40 and found["first_batch_seconds"] > 0 and found["cores"] > 0
    assert found["peak_kib"] > 1e5
    ours = found["rows"][1]
    assert ours["images"] == 32  # the first batch is not counted
    low, high = ours["images_per_second_range"]
    assert 0 < low <= ours["images_per_second"] <= high
    assert set(ours["beside"]) == {"decoding alone", "decode, resize, crop", "Pillow, DataLoader"}


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
def test_evaluate(run_command):
    found = last_line(
        run_command(
            "benchmark",
            "evaluate",
            "--config=quickstart",
            "--set=architecture.name=A",
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
        "features fc2, Q=37",
    ]
    architecture = Architecture("A", width=0.0625, crop=32, num_classes=1000)
    at_crop = 2 * multiply_adds(architecture, 32, 32) / 1e9
    assert rows["model.predict"]["gflop_per_image"] == pytest.approx(at_crop)
    assert rows["multi-crop, Q=37"]["gflop_per_image"] == pytest.approx(
        25 * at_crop
    )  # the quickstart has no mirror images
    assert rows["dense, Q=37, 55, 73"]["gflop_per_image"] == pytest.approx(
        sum(2 * multiply_adds(architecture, side, side) / 1e9 for side in (37, 55, 73))
    )
    last_layer = 2 * 256 * 1000 / 1e9
    assert rows["features fc2, Q=37"]["gflop_per_image"] == pytest.approx(
        rows["dense, Q=37"]["gflop_per_image"] - last_layer
    )
    for row in rows.values():
        assert row["images_per_second"] * row["gflop_per_image"] == pytest.approx(row["gflops"])
        low, high = row["of_predict_range"]
        assert 0 < low <= row["of_predict"] <= high
