"""Evaluations of boxes from the flags to the result: the centre and the dense test, unions, and what is refused."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

import vgg_keras
from tests.data.rectangles import write_list
from tests.localization.box_runs import finished
from tests.localization.test_merging import loop as merged_by_a_loop
from tests.localization.toy import a_net, described, evaluated
from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.evaluation.image_rows import save
from vgg_keras.localization import evaluator, job, predicted_boxes
from vgg_keras.localization.predicted_boxes import load
from vgg_keras.overrides import override


@pytest.mark.slow
def test_a_union_joins_boxes_of_one_test_of_the_same_images(tmp_path, rows):
    """Pictures of several boxes are left out of the scan too, where they were left out of the test."""
    for seed in (1, 2):
        evaluated(tmp_path, rows, a_net(tmp_path, seed=seed, **{"data.several_boxes": "left_out"}), f"net{seed}")
    paths = [tmp_path / f"net{seed}" / "center_Q36.npz" for seed in (1, 2)]
    first = load(paths[0])
    of_data = {"data.source": str(tmp_path / "list.csv"), "runtime.cache_dir": str(tmp_path)}
    found = job.fuse(paths, of_data, "val", tmp_path / "union")
    assert found["images"] == 2 and found["rows"][2]["images"] == 2 and len(found["parts"]) == 2
    assert all(len(row.true.boxes) == 2 for row in evaluator.rows_of([load(path) for path in paths]))
    with pytest.raises(UserError, match=r"must name the images that the boxes are of.*image 0 is '2.png' in the first"):
        job.fuse(paths, of_data | {"data.several_boxes": "largest"}, "val", tmp_path / "union")
    with pytest.raises(UserError, match=r"must name the images that the boxes are of"):
        job.fuse(paths, of_data, "train", tmp_path / "union")
    for field in ("best_classes", "windows"):  # of boxes that are computed already
        with pytest.raises(UserError, match=rf"the rest is fixed\. Received: localization\.{field}"):
            job.fuse(paths, {f"localization.{field}": {"windows": "crops"}.get(field, 3)}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"--set=data.several_boxes for the pictures of --data alone"):
        job.fuse(paths, {"data.several_boxes": "largest"}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"takes two different files of boxes or more.*net1/center_Q36.npz"):
        job.fuse([paths[0], paths[0]], {}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"two different files of boxes"):
        job.fuse(paths[:1], {}, None, tmp_path / "union")
    with pytest.raises(UserError, match=r"The folder of a fusion holds nothing else.*boxes.npz of a single net"):
        job.fuse(paths, {}, None, tmp_path / "net1")

    for changes, words in (
        ({"protocol": "dense"}, "the protocol is center in the first and dense in the other"),
        ({"windows": "crops"}, "localization.windows is '' in the first and 'crops' in the other"),
        ({"classifier_sha256": "12"}, "one has the scores of a classifier and the other has none"),
        ({"exif_orientation": False}, "data.exif_orientation differs"),
        ({"boxes_sha256": "12"}, "the true boxes differ"),
    ):
        save(dataclasses.replace(first, nets=(dataclasses.replace(first.nets[0], **changes),)), tmp_path / "other.npz")
        with pytest.raises(UserError, match=f"Boxes are joined over the same images, classes and test.*where {words}"):
            job.fuse([paths[0], tmp_path / "other.npz"], {}, None, tmp_path / "union")
    save(dataclasses.replace(first, labels=1 - first.labels), tmp_path / "other.npz")
    with pytest.raises(UserError, match="where '2.png' is of class 'a' and of class 'b'"):
        job.fuse([paths[0], tmp_path / "other.npz"], {}, None, tmp_path / "union")


def best_iou(box, truth):
    """The intersection over union with the true box that it meets best."""
    (x0, y0, x1, y1), best = box.tolist(), 0.0
    for a0, b0, a1, b1 in truth.tolist():
        shared = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
        best = max(best, shared / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared))
    return best


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("names", ["ba", "cab"])
def test_one_box_for_all_classes_goes_with_a_classifier_of_more_classes_in_any_order(
    tmp_path, rows, names, monkeypatch
):
    """It was refused where the classes were not the images', in their order. Every box is right, so its class counts."""
    write_list(tmp_path, rows)
    changes = {"evaluation.protocol": "dense", "localization.iou": 0.1, "localization.answers": 1}
    net = a_net(tmp_path, "scr", **changes)
    net.model.get_layer("predictions").set_weights([np.zeros((256, 4)), np.array([0.5, 0.5, 1, 1])])
    classifier = a_net(tmp_path, "none", seed=4, num_classes=len(names))
    classifier = dataclasses.replace(classifier, classes=tuple(names))
    monkeypatch.setattr("vgg_keras.weights.load.load_net", lambda *_, **__: classifier)
    found = job.evaluate(net.config, lambda _: (net, net.config), "val", tmp_path / "out", classifier="classes")
    files = [tmp_path / name for name, _, split, *_ in rows[:6] if split == "val"]
    said = vgg_keras.predict_images(classifier, files, config=net.config, top=1)
    wrong = [one.classes[0] != label for one, (_, label, *_) in zip(said, rows[:3], strict=True)]
    assert found["box_error"] == 0
    assert found["top1_localisation_error"] == found["top5_error"] == pytest.approx(100 * np.mean(wrong))
    (located,) = vgg_keras.localize_images(net, files[0], classifier=classifier, top=1)
    assert located.objects[0].class_name == said[0].classes[0]


@pytest.mark.slow
def test_mistakes_of_the_flags_are_named(folder, pcr, scr):
    for words, message in (
        (("--model=pcr", "--classifier=classes", "--out=x"), "--classifier belongs to --protocol=dense"),
        (("--model=pcr", "--protocol=multi_crop", "--out=x"), "center or dense"),
        (("--model=pcr", "--classifier=scr", "--protocol=dense", "--out=x"), "a net of boxes"),
        (("--model=classes", "--classifier=classes", "--out=x"), "this one gives classes"),
        (("--model=pcr", "--heatmap=maps", "--out=x"), "A net of boxes has no score maps"),
    ):
        done = finished(folder, "evaluate", *words)
        assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


def test_files_of_boxes_are_told_from_all_others(tmp_path):
    """What is no such file, or no file, is left to the reader, which names it; a FIFO would be waited for."""
    np.savez(tmp_path / "boxes.npz", boxes=np.zeros(1))
    np.savez(tmp_path / "posteriors.npz", probabilities=np.zeros(1))
    (tmp_path / "text.npz").write_text("boxes.npy")
    os.mkfifo(tmp_path / "fifo.npz")
    content = (tmp_path / "boxes.npz").read_bytes()
    # of the directory's entry: a version of zip that does not exist, a letter that is none
    place = content.index(b"PK\x01\x02")
    (tmp_path / "version.npz").write_bytes(content[: place + 6] + b"\xff" + content[place + 7 :])
    name = content.index(b"boxes.npy", place)
    letter = content[: place + 9] + b"\x08" + content[place + 10 : name] + b"\xff" + content[name + 1 :]
    (tmp_path / "letter.npz").write_bytes(letter)
    found = {path.stem: job.holds_boxes([path]) for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "absent")}
    assert [name for name, boxes in found.items() if boxes] == ["boxes"] and len(found) == 8
    assert not job.holds_boxes([])


def test_a_unions_pictures_are_read_as_its_boxes_were():
    net = described(several_left_out=True, exif_orientation=False)
    given = {"data.source": "list.csv", "data.exif_orientation": True}
    config = job._as_evaluated(override(Config(), given), given, net)
    assert (config.data.several_boxes, config.data.exif_orientation) == ("left_out", True)  # a given value stays
    config = job._as_evaluated(Config(), {}, dataclasses.replace(net, several_left_out=False))
    assert (config.data.several_boxes, config.data.exif_orientation) == ("largest", False)
    with pytest.raises(UserError, match=r"evaluation\.flip"):  # the boxes are computed already
        job.fuse([], {"data.source": "list.csv", "evaluation.flip": False}, None, Path("out"))
