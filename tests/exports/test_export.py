"""An export as a user makes it: the command, and data that it refuses."""

import dataclasses
import json

import pytest

from tests.conftest import write_images
from vgg_keras.config import Data
from vgg_keras.errors import UserError
from vgg_keras.exports import export as exporting
from vgg_keras.exports import saved_model
from vgg_keras.exports.export import export


def test_images_of_other_classes_are_refused_before_they_are_read(tmp_path, net, monkeypatch):
    """By number and by name, whatever the format, as `evaluate` does: no error of such an export means anything."""
    monkeypatch.setattr(exporting, "without_bad_images", lambda source, config: pytest.fail("the images were read"))
    for seed, name in enumerate(("Hund", "great cat", "wolf")):
        write_images(tmp_path / "others" / name, [(40, 40)] * 5, seed=seed)
    for data, message in (
        ("digits", r"digits, whose class 0 is '0', the net's 'Hund'\. It has 10 classes, the net 3\."),
        (str(tmp_path / "others"), r"others, whose class 2 is 'wolf', the net's 'лев'\."),
    ):
        config = dataclasses.replace(net.config, data=Data(source=data, scale=(40,)))
        for form in ("saved_model", "tflite", "onnx"):
            with pytest.raises(
                UserError, match=r"must hold the classes that the net was trained on\. Received: .*" + message
            ):
                export(net, config, form, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others"]


@pytest.mark.slow
def test_the_command_line(run_command, tmp_path, photos):
    words = ("--config=quickstart", f"--data={photos}", "--set=architecture.width=0.0625", "--set=training.epochs=1")
    assert run_command("train", *words, "--workdir=run").returncode == 0  # in bf16, where the hardware has it
    done = run_command("export", "--model=run", "--format=saved_model", "--out=out")
    assert done.returncode == 0, done.stderr
    (parity,) = json.loads(done.stdout.splitlines()[-1])
    assert parity["form"] == "saved_model" and parity["difference"] <= 1e-5 and parity["images"] == 12
    run = saved_model.opened(tmp_path / "out")
    assert run(next(photos.rglob("*.jpg")).read_bytes()).sum() == pytest.approx(1, abs=1e-5)
    seen = run_command("predict", "--model=run", str(photos), "--json", "--set=runtime.precision=float32")
    assert seen.returncode == 0 and len(seen.stdout.splitlines()) == 30, seen.stderr
    refused = run_command("predict", "--model=run", str(photos), "--set=architecture.width=2")
    assert refused.returncode == 2 and "evaluation.*, runtime.*; the rest is the run's" in refused.stderr
    for arguments, message in (
        (["--model=run", "--format=onnx", "--out=out"], "--out is a new folder. Received: out, which exists."),
        (["--model=run", "--out=new"], "are needed. Received: no --format."),
        (["--format=onnx", "--out=new"], "Received: none of them."),
        (["--weights=x.pth", "--format=onnx", "--out=new"], "--weights needs --data"),
    ):
        done = run_command("export", *arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
