"""The command features as a user runs it: descriptors, a linear SVM, the nearest images."""

import json

import numpy as np
import pytest

from tests.conftest import write_images
from vgg_keras.nets.builder import build

SIZES = [(40, 60), (64, 64), (90, 40), (64, 64), (40, 60)]


@pytest.fixture
def folder(tmp_path):
    """A net, and images of two classes."""
    build("A", num_classes=2, width=1 / 16, crop=32, mean=(120, 110, 100), seed=3).save(tmp_path / "net.keras")
    for part, count in (("train", 5), ("val", 2)):
        for name in "xy":
            write_images(tmp_path / "set" / part / name, SIZES[:count], seed=len(part + name))
    return tmp_path


@pytest.mark.slow
def test_one_command_describes_classifies_and_searches(folder, run_command):
    flags = ["--weights=net.keras", "--data=set", "--out=out", "--scales=32,48", "--combine=average"]
    flags.append("--more_layers=block5_pool")
    query = "set/val/x/000.jpg"
    done = run_command("features", *flags, "--classify", f"--query={query}", "--top=3")
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["descriptors"] == "fc2, mean over positions, Q=32, 48 averaged" and result["columns"] == 256
    assert (result["images_of_training"], result["images_of_test"]) == (10, 4)
    assert result["nearest"][0]["nearest"][0]["name"] == "val/x/000.jpg"
    with np.load(folder / "out" / "features.npz", allow_pickle=False) as arrays:
        assert arrays["descriptors"].shape == (14, 256) and arrays["classes"].tolist() == ["x", "y"]
        assert arrays["labels"].tolist() == [0, 0, 1, 1] + [0] * 5 + [1] * 5
        first = arrays["descriptors"]
    report = (folder / "out" / "report.html").read_text()
    assert "SVM" in report and f"{result['top1_error']:.2f} %" in report
    (line,) = (folder / "out" / "nearest.jsonl").read_text().splitlines()
    assert json.loads(line)["nearest"][0]["cosine"] == pytest.approx(1, abs=1e-5)
    assert (folder / "out" / "nearest.png").stat().st_size > 1000

    # values of another layer are there already; random divisions; two nets
    flags = [*flags[:3], "--layer=block5_pool", "--scales=48,32", "--classify", "--per_class=5", "--splits=2"]
    done = run_command("features", *flags)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert "images/s" not in done.stdout and len(result["divisions"]) == 2
    assert result["mean_class_recall"] == pytest.approx(
        np.mean([one["mean_class_recall"] for one in result["divisions"]])
    )
    done = run_command("features", *flags, "--with=out/features.npz")
    assert json.loads(done.stdout.splitlines()[-1])["columns"] == 2 * 2 * 32
    with np.load(folder / "out" / "features.npz") as arrays:
        assert arrays["descriptors"].shape == (14, 64) != first.shape

    # mistakes
    for words, message in (
        (["--layer=block5_conv9"], "Received: 'block5_conv9'. Did you mean 'block5_conv"),
        (["--layer=fc2", "--scales=16"], "evaluation.scales must be architecture.crop (32) or more"),
        (["--layer=fc2", "--combine=average"], "features.combine, which --combine sets, is of several Q."),
        (["--layer=fc2", "--set=training.epochs=3"], "training.epochs: 74, now 3"),
        (["--layer=fc2", "--set=evaluation.protocol=center"], "evaluation.protocol: 'dense', now 'center'"),
        (["--classify", "--with=missing.npz"], "--with takes features.npz files of other nets. Received: missing.npz"),
        (["--scales=32", "--query=net.keras"], "net.keras: no JPEG"),
    ):
        done = run_command("features", "--weights=net.keras", "--data=set", "--out=wrong", *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and message in done.stderr, done.stderr
        assert not (folder / "wrong" / "features.npz").exists()
