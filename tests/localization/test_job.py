"""A box run by the command lines: from a classification run, stopped and resumed, on two devices; tested, joined, drawn."""

import json
import shutil
import signal

import numpy as np
import pytest

import vgg_keras
from tests import warm
from tests.conftest import command
from tests.localization.box_runs import BOXES, NET, box_runs, finished, train
from tests.localization.test_merging import loop as merged_by_a_loop
from tests.training.toy import checkpoints, digest, metrics, wait_for
from vgg_keras.errors import UserError
from vgg_keras.localization import predicted_boxes

pytestmark = pytest.mark.slow  # commands that train


@pytest.fixture(scope="module")
def folder(shared_folder):
    return box_runs(shared_folder)


@pytest.fixture(scope="module")
def pcr(folder):
    return folder / "pcr"


@pytest.fixture(scope="module")
def scr(folder):
    return folder / "scr"


def test_a_stopped_run_resumes_with_the_same_bits(folder, pcr):
    words = command(
        "train", *BOXES, "--weights=classes", "--set=checkpoint.every_steps=1", "--workdir=stopped", cache=folder
    )
    process = warm.Warm(warm.run_command, words, folder=folder, log=folder / "stopped.log")
    wait_for(lambda: (folder / "stopped").exists() and len(checkpoints(folder / "stopped")) > 0, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75, (folder / "stopped.log").read_text()
    train(folder, *BOXES, "--weights=classes", "--set=checkpoint.every_steps=1", "--workdir=stopped")
    assert digest(folder / "stopped") == digest(pcr)
    assert metrics(folder / "stopped") == metrics(pcr)
    line = metrics(pcr)[-1]
    assert {"loss", "top1_error", "mean_iou", "val_loss", "val_top1_error", "val_mean_iou"} <= line.keys()


def test_two_devices_train_the_same_net(folder, pcr):
    two = ("--strategy=mirrored", "--set=runtime.cpu_devices=2", "--set=architecture.dropout=0")
    train(folder, *BOXES, "--weights=classes", *two[2:], "--workdir=one")
    train(folder, *BOXES, "--weights=classes", *two, "--workdir=two")
    losses = [[line["loss"] for line in metrics(folder / name) if "epoch" in line] for name in ("one", "two")]
    print(f"losses on one device and on two: {losses}")
    np.testing.assert_allclose(*losses, rtol=1e-4)


def best_iou(box, truth):
    """The intersection over union with the true box that it meets best."""
    (x0, y0, x1, y1), best = box.tolist(), 0.0
    for a0, b0, a1, b1 in truth.tolist():
        shared = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
        best = max(best, shared / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared))
    return best


def test_the_centre_test_counts_what_a_loop_counts(folder, pcr):
    done = finished(folder, "evaluate", "--model=pcr", "--out=centre")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    found = predicted_boxes.load(folder / "centre" / "boxes.npz")
    wrong = 0
    for image in range(len(found.labels)):
        row = found.row(image)
        wrong += best_iou(row.true.boxes[0], row.truth) <= 0.5
    assert result["images"] == 8 and result["box_error"] == pytest.approx(100 * wrong / 8)
    assert result["top5_error"] is None and result["trivial_box_error"] is not None
    assert result["box_error"] == json.loads((pcr / "final_evaluation" / "evaluation.json").read_text())["box_error"]
    page = (folder / "centre" / "report.html").read_text()
    assert "Wrong boxes" in page and page.count("data:image/jpeg") == 8 and "the paper&#39;s D" in page
    only_one = finished(folder, "evaluate", "--model=pcr", "--out=left_out", "--set=data.several_boxes=left_out")
    assert json.loads(only_one.stdout.splitlines()[-1])["images"] == 7  # one of eight has two boxes


def test_the_dense_test_with_a_classifier_and_the_union_of_nets(folder, pcr, scr):
    """Two values of Q, and what two nets found joined: the errors are those of their rows, merged."""
    for name in ("pcr", "scr"):
        words = (f"--model={name}", "--classifier=classes", "--protocol=dense", "--scales=48,64", f"--out=dense_{name}")
        done = finished(folder, "evaluate", *words)
        assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert [row["scales"] for row in result["rows"]] == ["48", "64", "48 + 64"]
    assert result["top5_error"] == result["box_error"]  # of four classes every one is an answer
    parts = [f"dense_{name}/dense_Q{side}.npz" for name in ("pcr", "scr") for side in (48, 64)]
    done = finished(
        folder,
        "evaluate",
        f"--fuse={','.join(parts)}",
        "--out=union",
        "--data=list.csv",
        "--set=localization.threshold=0.4",
    )
    assert done.returncode == 0, done.stderr
    union = json.loads(done.stdout.splitlines()[-1])
    loaded = [predicted_boxes.load(folder / part) for part in parts]
    wrong = 0
    for image in range(8):
        rows = [part.row(image) for part in loaded]
        boxes, scores = ([one for row in rows for one in getattr(row.true, name)] for name in ("boxes", "scores"))
        merged, _ = merged_by_a_loop(boxes, scores, 0.4)
        wrong += best_iou(merged[0], rows[0].truth) <= 0.5
    assert union["box_error"] == union["top5_error"] == pytest.approx(100 * wrong / 8)
    assert len(union["rows"]) == 5 and (folder / "union" / "report.md").exists()
    again = finished(
        folder, "evaluate", "--model=pcr", "--classifier=classes", "--protocol=dense", "--scales=48", "--out=dense_scr"
    )
    assert again.returncode == 2 and "made with another" in again.stderr


def test_mistakes_are_named(folder, pcr, scr):
    with pytest.raises(UserError, match="needs --classifier=RUN, or --classes=NAME,NAME"):
        vgg_keras.localize_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class must be one of the net's. Received: 'e'"):
        vgg_keras.localize_images(pcr, folder / "1.jpg", classes=["e"])
    with pytest.raises(UserError, match="which gives classes"):
        vgg_keras.localize_images(folder / "classes", folder / "1.jpg")
    with pytest.raises(UserError, match="A prediction needs a net that gives classes"):
        vgg_keras.predict_images(pcr, folder / "1.jpg")
    with pytest.raises(UserError, match="A class activation map needs a net that gives classes"):
        vgg_keras.class_activation_map(pcr, folder / "1.jpg")
    for words, message in (
        (("--model=pcr", "--classifier=classes", "--out=x"), "--classifier belongs to --protocol=dense"),
        (("--model=pcr", "--protocol=multi_crop", "--out=x"), "center or dense"),
        (("--model=pcr", "--classifier=scr", "--protocol=dense", "--out=x"), "a net of boxes"),
        (("--model=classes", "--classifier=classes", "--out=x"), "this one gives classes"),
        (("--model=pcr", "--heatmap=maps", "--out=x"), "A net of boxes has no score maps"),
    ):
        done = finished(folder, "evaluate", *words)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


def test_a_net_on_disk_knows_that_it_gives_boxes(folder, pcr, scr, tmp_path):
    for run in (pcr, scr):
        shutil.copy(run / "model.keras", tmp_path / f"{run.name}.keras")
        net, copy = vgg_keras.load_net(run), vgg_keras.load_net(tmp_path / f"{run.name}.keras")
        assert copy.model.architecture.boxes == net.model.architecture.boxes == run.name
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
        np.testing.assert_array_equal(net.model(image), copy.model(image))
    # a classification from a box run: its last layer is new
    out = train(
        folder,
        "--config=quickstart",
        "--data=list.csv",
        *NET,
        "--weights=scr",
        "--set=training.epochs=1",
        "--workdir=back",
    )
    assert "random: predictions" in out
