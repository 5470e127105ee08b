"""`evaluate` on the command line: the net of a run, the digits, every protocol; stopped, gone on with, fused."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from tests import warm
from tests.conftest import command, write_images
from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.evaluation import report_mistakes
from vgg_keras.files import write_json
from vgg_keras.plain_values import to_dict


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two nets that have not learnt anything, as runs' folders."""
    from vgg_keras.nets.builder import build
    from vgg_keras.weights.formats.run_folder import save_weights

    folder = tmp_path_factory.mktemp("runs")
    for name in ("A", "B"):
        config = Config(
            architecture=Architecture(name, num_classes=10, crop=32, width=1 / 8, mean=(70.0, 70.0, 70.0)),
            data=Data(scale=(32, 40)),
            evaluation=Evaluation(flip=False),
        )
        write_json(folder / name / "config.json", {"config": to_dict(config), "classes": list("0123456789")})
        save_weights(build(config.architecture, seed=3), folder / name)
    return folder


def result_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_every_number_follows_from_the_saved_posteriors(run_command, runs, tmp_path):
    both = result_of(
        run_command(
            "evaluate",
            f"--model={runs / 'B'}",
            "--protocol=both",
            "--scales=multi",
            "--set=evaluation.grid=2",
            "--out=both",
            "--heatmap=maps",
            "--heatmap_images=2",
            "--cam=mistakes",
        )
    )
    assert (both["scales"], both["images"], both["crops_a_scale"]) == ([32, 36, 40], 359, 4)
    assert both == json.loads((tmp_path / "both" / "evaluation.json").read_text())
    assert {"tensorflow", "keras", "vgg_keras", "python"} <= both["versions"].keys() and both["precision"]
    assert len(list((tmp_path / "maps").glob("*.png"))) == 2
    drawn = {path.stem for path in (tmp_path / "mistakes").glob("*.png")}
    page = (tmp_path / "both" / "report.html").read_text()
    assert len(drawn) == report_mistakes.MISTAKES and all(name in page for name in drawn)

    def probabilities(name):
        with np.load(tmp_path / name) as arrays:
            return arrays["probabilities"].astype(np.float64), arrays["labels"]

    parts = [probabilities(f"both/{part}_Q{side}.npz")[0] for part in ("dense", "multi_crop") for side in (32, 36, 40)]
    mean, labels = probabilities("both/posteriors.npz")
    difference = np.abs(mean - np.mean(parts, axis=0)).max()
    print(f"mean of six passes: largest difference {difference:.2g}")
    assert difference < 1e-6
    assert both["top1_error"] == pytest.approx(100 * np.mean(mean.argmax(axis=1) != labels))
    assert len(both["rows"]) == 3 + 1 + 3 + 1 + 1
    for row in both["rows"]:
        assert f"{row['top1_error']:.2f} %" in (tmp_path / "both" / "report.html").read_text()

    other = result_of(run_command("evaluate", f"--model={runs / 'A'}", "--out=other"))
    assert (other["protocol"], other["scales"], other["crops_a_scale"]) == ("dense", [36], None)
    fused = result_of(
        run_command("evaluate", "--fuse=both/posteriors.npz,other/posteriors.npz", "--data=digits", "--out=fused")
    )
    expected = (mean + probabilities("other/posteriors.npz")[0]) / 2
    assert np.abs(probabilities("fused/posteriors.npz")[0] - expected).max() < 1e-6
    assert fused["top1_error"] == pytest.approx(100 * np.mean(expected.argmax(axis=1) != labels))
    assert [row["top1_error"] for row in fused["rows"]] == [
        both["top1_error"],
        other["top1_error"],
        fused["top1_error"],
    ]
    assert "data:image/jpeg" in (tmp_path / "fused" / "report.html").read_text()

    # the folder of one net takes no other, whatever the protocol, and no fusion
    done = run_command("evaluate", f"--model={runs / 'A'}", "--protocol=center", "--out=both")
    assert done.returncode == 2 and "made with another: architecture.name: 'B', now 'A'" in done.stderr
    done = run_command("evaluate", "--fuse=both/posteriors.npz,other/posteriors.npz", "--out=other")
    assert done.returncode == 2 and "The folder of a fusion holds nothing else" in done.stderr
    done = run_command("evaluate", "--fuse=other/posteriors.npz,fused/posteriors.npz", "--out=again")
    assert done.returncode == 2 and "itself a fusion of 2. Name its parts instead" in done.stderr
    # a part that is there is not done again
    written = (tmp_path / "both" / "dense_Q36.npz").stat().st_mtime_ns
    again = result_of(run_command("evaluate", f"--model={runs / 'B'}", "--scales=36", "--out=both"))
    assert again["top1_error"] == both["rows"][1]["top1_error"]
    assert (tmp_path / "both" / "dense_Q36.npz").stat().st_mtime_ns == written


INTERRUPTED = ("--protocol=multi_crop", "--scales=32,36", "--set=evaluation.batch=16")


@pytest.fixture(scope="module")
def whole(runs, tmp_path_factory):
    """The folder and the result of an evaluation that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    words = command("evaluate", f"--model={runs / 'B'}", *INTERRUPTED, "--out=whole", cache=folder)
    return folder / "whole", result_of(warm.finished(warm.run_command, words, folder))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.full)])
def test_an_interrupted_evaluation_goes_on(run_command, runs, whole, tmp_path, number):
    folder, uninterrupted = whole
    arguments = (f"--model={runs / 'B'}", *INTERRUPTED, "--out=parts")
    words, started = command("evaluate", *arguments, cache=tmp_path), time.monotonic()
    process = warm.Warm(warm.run_command, words, folder=tmp_path, log=tmp_path / "log")
    first = tmp_path / "parts" / "multi_crop_Q32.npz"
    while not first.exists() and time.monotonic() - started < 300:
        time.sleep(0.01)
    time.sleep(uninterrupted["seconds"] / 3)  # amid the second pass
    process.send_signal(number)
    status, log = process.wait(), (tmp_path / "log").read_text()
    if number == signal.SIGTERM:
        assert status == 75, log
        with np.load(tmp_path / "parts" / "multi_crop_Q36.npz") as arrays:
            kept = arrays["probabilities"][arrays["done"]]
            assert 0 < len(kept) < 359
        assert "of 359 images are kept in" in log and "the same command resumes" in log
    assert not (tmp_path / "parts" / "evaluation.json").exists()
    result = result_of(run_command("evaluate", *arguments))
    print(f"passes without interruption in {uninterrupted['seconds']} s, in parts {result['seconds']} s")
    for side in (32, 36):
        with (
            np.load(folder / f"multi_crop_Q{side}.npz") as a,
            np.load(tmp_path / "parts" / f"multi_crop_Q{side}.npz") as b,
        ):
            assert np.abs(a["probabilities"] - b["probabilities"]).max() < 5e-3 and b["done"].all()
        if number == signal.SIGTERM and side == 36:
            with np.load(tmp_path / "parts" / "multi_crop_Q36.npz") as arrays:
                assert np.array_equal(arrays["probabilities"][: len(kept)], kept)  # crops go in order
    assert result["images"] == 359


MISTAKES = [
    ([], "--fuse=A.npz,B.npz the mean of saved posteriors: give one. Received: none of them."),
    (["--model=a", "--fuse=b,c"], "Received: --model and --fuse."),
    (
        ["--model=a", "--config=E"],
        "--config and --sha256 belong to --weights: a run has its own. Received: --config.",
    ),
    (["--weights=a.pth", "--data=b", "--out=o", "--set=evaluation.flp=0"], "Did you mean 'evaluation.flip'?"),
    (["--fuse=a.npz,b.npz"], "--fuse needs --out"),
    (["--fuse=a.npz,b.npz", "--out=o", "--protocol=dense"], "no net is run. Received: --protocol."),
    (
        ["--model=a", "--protocol=dence"],
        "takes center, dense, multi_crop or both. Received: 'dence'. Did you mean 'dense'",
    ),
    (["--fuse=a.npz,b.npz", "--out=o", "--split=all"], "for the pictures of --data alone"),
    (["--model=a"], "Received: a, which does not exist."),
    (["--model=a", "--heatmap_images=3"], "--heatmap_images needs --heatmap"),
    (["--fuse=a.npz,a.npz", "--out=o", "--data=digits"], "takes two different files of posteriors or more"),
    (["--model=nowhere"], "--model takes a run's folder, the --workdir of its training. Received: nowhere"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_of_the_flags_get_one_line(run_command, arguments, message):
    done = run_command("evaluate", *arguments)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert "--data=digits" in arguments or len(done.stderr.strip().splitlines()) == 1  # else TensorFlow has its notes


@pytest.mark.slow
def test_mistakes_that_the_run_shows_get_one_line_too(run_command, runs, tmp_path):
    write_images(tmp_path / "photos" / "0", [(40, 40)] * 5)
    write_images(tmp_path / "photos" / "zebra", [(40, 40)] * 5)
    for arguments, message in (
        (["--set=training.epochs=3"], "; the rest is fixed. Received: training.epochs: 74, now 3."),
        (["--scales=16"], "evaluation.scales must be architecture.crop (32) or more. Received: 16"),
        (["--scales=mutli"], "--scales takes sides in pixels with commas between them, or multi. Received: 'mutli'"),
        (["--scales=32", "--set=evaluation.scales=40"], "are one field. Received: both"),
        ([f"--data={tmp_path / 'photos'}", "--out=a"], "whose class 1 is 'zebra', the net's '1'."),
        (["--data=digits", "--set=data.source=cifar10"], "are one field. Received: both"),
        (["--out=a", "--set=evaluation.max_pixels=1000"], "Received: digit 4, 36 x 36 pixels then. Raise the limit"),
    ):
        done = run_command("evaluate", f"--model={runs / 'B'}", *arguments)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_the_training_images_and_all_of_a_folder_can_be_tested(run_command, runs, tmp_path):
    for number in range(10):
        write_images(tmp_path / "photos" / str(number), [(40, 50), (64, 40), (36, 36), (40, 50), (90, 40)], seed=number)
    # val/ alone, and classes too small to hold one out
    shutil.copytree(tmp_path / "photos", tmp_path / "test" / "val")
    done = run_command("evaluate", f"--model={runs / 'A'}", f"--data={tmp_path / 'test'}", "--out=alone")
    assert result_of(done)["images"] == 50 and "10 classes, val/; val: 50 images" in done.stdout
    found = {}
    for split in ("val", "train", "all"):
        found[split] = result_of(
            run_command(
                "evaluate",
                f"--model={runs / 'A'}",
                f"--data={tmp_path / 'photos'}",
                f"--split={split}",
                f"--out={split}",
            )
        )
    assert [found[split]["images"] for split in ("val", "train", "all")] == [10, 40, 50]
    wrong = {split: result["images"] * result["top1_error"] for split, result in found.items()}
    assert wrong["all"] == pytest.approx(wrong["val"] + wrong["train"])
