"""The command export, as a user runs it."""

import json

import pytest

from tests.conftest import write_images
from vgg_keras.exports import saved_model


@pytest.fixture
def photos(tmp_path):
    """Three classes of pictures of two sizes, 6 for training and 4 to compare on of each."""
    for seed, (split, count) in enumerate((("train", 6), ("val", 4))):
        for label, name in enumerate(("Hund", "great cat", "лев")):
            sizes = [(48, 60), (70, 50)] * (count // 2)
            write_images(tmp_path / "photos" / split / name, sizes, seed=10 * seed + label)
    return tmp_path / "photos"


@pytest.mark.slow
def test_a_run_is_exported_and_mistakes_get_one_line(run_command, tmp_path, photos):
    words = ("--config=quickstart", f"--data={photos}", "--set=architecture.width=0.0625", "--set=training.epochs=1")
    words = (*words, "--set=architecture.name=A")
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
    assert refused.returncode == 2 and "evaluation.*, localization.windows, " in refused.stderr
    assert "runtime.cache_dir; the rest is fixed" in refused.stderr
    (tmp_path / "link").symlink_to("nowhere")
    for arguments, message in (
        (["--model=run", "--format=onnx", "--out=out"], "--out is a new folder. Received: out, which exists."),
        (["--model=run", "--format=onnx", "--out=link"], "--out is a new folder. Received: link, which exists."),
        (["--model=run", "--out=new"], "are needed. Received: no --format."),
        (["--model=run", "--format=saved_model", "--out=new", "--set=evaluation.grid=3"], "evaluation.grid: 5, now 3"),
        (
            ["--model=run", "--format=onnx", "--out=new", "--set=evaluation.scales=32"],
            "belongs to --format=saved_model",
        ),
        (["--format=onnx", "--out=new"], "Received: none of them."),
        (["--weights=x.pth", "--format=onnx", "--out=new"], "--weights needs --data"),
    ):
        done = run_command("export", *arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
