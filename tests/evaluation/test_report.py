"""The report: every number in it, in one file of its own, whatever the classes are called."""

import base64
import csv
import dataclasses
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from tests import conftest
from tests.evaluation.many import many
from tests.warm import finished, run_code
from vgg_keras.config import Architecture
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import error_table, report, report_classes, report_mistakes, report_pictures
from vgg_keras.evaluation.posteriors import Posteriors

NET = dataclasses.replace(conftest.NET, architecture=Architecture("E", num_classes=1000), data="forty images")


def posteriors(random, classes, images=40):
    labels = random.integers(0, len(classes), images).astype(np.int32)
    probabilities = random.dirichlet(np.ones(len(classes)), images)
    probabilities[np.arange(0, images, 2), labels[::2]] += 2  # every second is right
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    ids = tuple(f"set|{image}.jpg" for image in range(images))
    done = np.ones(images, np.bool_)
    prints = np.arange(images)
    return Posteriors(
        probabilities=probabilities.astype(np.float32),
        labels=labels,
        ids=ids,
        fingerprints=prints,
        classes=tuple(classes),
        nets=(NET,),
        done=done,
        seconds=1.0,
    )


def write(folder, measured, result, split):
    return report.write(folder, [error_table.row(one) for one in measured], measured[-1], result, split)


class Page(HTMLParser):
    """Text, and what the page would fetch."""

    def __init__(self, page):
        super().__init__()
        self.words, self.links, self.pictures, self.tags = [], [], [], []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                (self.pictures if value.startswith("data:image/") else self.links).append(value)

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_holds_every_number_and_nothing_from_elsewhere(random, tmp_path):
    classes = ["<script>alert(1)</script>", "a|b", "ü", "$x_$", *"efghij"]
    first, final = posteriors(random, classes), posteriors(random, classes)
    encoded = tf.io.encode_png(random.integers(0, 256, (50, 700, 3), np.uint8))
    split = Split(40, lambda image: (encoded, tf.constant(0)), lambda image: f"set|{image}.jpg")
    paths = write(tmp_path, [first, final], {"data": "forty images", "rows": [], "precision": "float32"}, split)
    page = Page((tmp_path / "report.html").read_text())
    assert paths == [tmp_path / "report.html", tmp_path / "report.md"]
    assert page.links == [] and "script" not in page.tags and "<script>alert(1)</script>" in page.text

    wrong = final.probabilities.argmax(axis=1) != final.labels
    rows = [error_table.row(part) for part in (first, final)]
    assert abs(rows[1].top1_error - 100 * wrong.mean()) < 1e-9
    for text in (page.text, (tmp_path / "report.md").read_text()):
        for row in rows:
            assert f"{row.top1_error:.2f} %" in text and f"{row.top5_error:.2f} %" in text
            assert "40 images, the paper's 50,000" in text
    mistakes = re.findall(r"set\|\d+\.jpg", page.text)
    answers = final.probabilities.max(axis=1)
    assert [float(answers[int(name[4:-4])]) for name in mistakes] == sorted(answers[wrong], reverse=True)[
        : report_mistakes.MISTAKES
    ]

    # a picture for each mistake and the confusion matrix
    assert len(page.pictures) == len(mistakes) + 1
    kinds = [re.match(r"data:image/(\w+);base64,", picture)[1] for picture in page.pictures]
    assert sorted(set(kinds)) == ["jpeg", "png"]
    thumbnail = tf.io.decode_jpeg(base64.b64decode(page.pictures[kinds.index("jpeg")].split(",")[1]))
    assert thumbnail.shape == (160, 320, 3)  # a panorama is cut


@pytest.mark.slow
def test_the_papers_cell_stands_beside_its_images(random, tmp_path):
    write(tmp_path, [posteriors(random, [str(name) for name in range(20)], 50_000)], {"data": "", "rows": []}, None)
    for name in ("report.html", "report.md"):
        assert "27.3 / 9.0 % (Table 3)" in (tmp_path / name).read_text()


def test_a_picture_that_is_gone_does_not_cost_the_report(random, tmp_path):
    gone = Split(40, lambda image: (tf.io.read_file(str(tmp_path / "gone.jpg")), tf.constant(0)), str)
    write(tmp_path, [posteriors(random, "abcdefg")], {"data": "", "rows": []}, gone)
    assert len(Page((tmp_path / "report.html").read_text()).pictures) == 1  # the confusion matrix


def test_top_5_among_five_classes_is_called_meaningless(random, tmp_path):
    write(tmp_path, [posteriors(random, "abcde")], {"data": "", "rows": []}, None)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "meaningless among 5 classes" in text
        assert "0.00 %" not in text.split("Classes")[0]


def test_a_table_row_of_markdown_has_as_many_cells_as_its_header(random, tmp_path):
    write(tmp_path, [posteriors(random, ["a|b", *"cdefg"])], {"data": "", "rows": []}, None)
    for block in (tmp_path / "report.md").read_text().split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, block


@pytest.mark.slow
def test_a_thousand_classes_make_a_page_of_reasonable_size(random, tmp_path):
    classes = [f"class number {number}" for number in range(1000)]
    (html, _) = write(tmp_path, [posteriors(random, classes, 5000)], {"data": "", "rows": []}, None)
    assert html.stat().st_size < 2**20


@pytest.mark.slow
def test_classes_without_images_are_named_on_the_pages(random, tmp_path):
    made, _ = many(random, 300, 3000)
    every = np.arange(3000) % 300
    for absent, named in ((2, "class number 0, class number 1."), (150, "class number 99, ...")):
        labels = np.maximum(every, absent)
        write(tmp_path, [dataclasses.replace(made, labels=labels)], {"data": "", "rows": []}, None)
        for name in ("report.html", "report.md"):
            text = (tmp_path / name).read_text()
            assert f"{absent} of 300 classes have no image here, so that no error counts them: class number 0, " in text
            assert named in text
    write(tmp_path, [dataclasses.replace(made, labels=every)], {"data": "", "rows": []}, None)
    assert "no image here" not in (tmp_path / "report.html").read_text() + (tmp_path / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("classes", [17, 200])
def test_every_class_and_confusion_is_in_a_table_beside_and_the_worst_are_on_the_page(random, tmp_path, classes):
    made, predicted = many(random, classes, 3000)
    write(tmp_path, [made], {"data": "", "rows": []}, None)
    with open(tmp_path / "classes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = confusion_matrix(made.labels, predicted, labels=range(classes))
    counts = expected.sum(axis=1)
    present = np.flatnonzero(counts)
    assert [row["class"] for row in rows] == [made.classes[place] for place in present]
    assert [int(row["images"]) for row in rows] == counts[present].tolist()
    assert [int(row["wrong"]) for row in rows] == (counts - expected.diagonal())[present].tolist()
    errors = 100 * (1 - expected.diagonal()[present] / counts[present])
    assert np.allclose([float(row["top1_error"]) for row in rows], errors)
    for name, judge in (("precision", precision_score), ("recall", recall_score)):
        theirs = 100 * judge(made.labels, predicted, labels=present, average=None, zero_division=np.nan)
        ours = np.array([float(row[name] or "nan") for row in rows])
        assert np.allclose(ours, theirs, equal_nan=True), name
    with open(tmp_path / "confusions.csv", newline="", encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    assert pairs[0] == {"actual": made.classes[-1], "predicted": made.classes[5], "images": str(expected[-1, 5])}
    wrong = expected - np.diag(expected.diagonal())
    assert sorted(int(pair["images"]) for pair in pairs) == sorted(wrong[wrong > 0].tolist())
    # on the page
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.pictures) == (1 if classes <= 60 else 2)
    listed = min(report_classes.LISTED_CLASSES, len(present))
    assert (f"The worst 100 of {len(present):,} classes" in page.text) == (len(present) > 100)
    for text in ((tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()):
        assert f"class number {classes - 1}" in text and "classes.csv" in text and "confusions.csv" in text
    lines = (tmp_path / "report.md").read_text().split("## Classes")[1].split("##")[0]
    assert lines.count("\n| class number") == listed
    first = re.search(r"\n\| class number \d+ \| \d+ \| ([\d.]+) %", lines)[1]
    assert float(first) == pytest.approx(errors.max(), abs=0.01)


def test_a_multi_label_report_has_average_precisions_and_the_surest_wrong_decisions(random, tmp_path):
    classes = ["cat", "dog", "a|b", "rare", "absent"]
    labels = (random.uniform(size=(60, 5)) < (0.5, 0.3, 0.2, 0.05, 0)).astype(np.int8)
    labels[0], labels[5, 0] = (1, 1, 1, 1, 0), -1
    probabilities = (1 / (1 + np.exp(-random.normal(3 * labels - 1.5, 1.5)))).astype(np.float32)
    net = dataclasses.replace(NET, architecture=Architecture("E", num_classes=5, multi_label=True))
    made = dataclasses.replace(
        posteriors(random, "abcde", 60), probabilities=probabilities, labels=labels, classes=tuple(classes), nets=(net,)
    )
    made.check()
    row = error_table.row(made)
    write(tmp_path, [made], {"data": "sixty images", "rows": []}, None)
    page = Page((tmp_path / "report.html").read_text())
    for text in (page.text, (tmp_path / "report.md").read_text()):
        assert f"{row.mean_average_precision:.2f} %" in text and f"{row.hamming_loss:.2f} %" in text
        assert "1 of 5 classes have no image here" in text and "onfusion" not in text and "top-1 error" not in text
    with open(tmp_path / "classes.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [one["class"] for one in rows] == classes[:4]
    for place, one in enumerate(rows):
        counted = labels[:, place] >= 0
        truth = labels[counted, place] > 0, probabilities[counted, place] >= 0.5
        assert float(one["precision"]) == pytest.approx(100 * precision_score(*truth))
        assert float(one["recall"]) == pytest.approx(100 * recall_score(*truth))
    assert np.mean([float(one["average_precision"]) for one in rows]) == pytest.approx(row.mean_average_precision)
    # the decisions that are wrong by most, those of a class that an image lacks and of one that it has
    wrong = ((probabilities >= 0.5) != (labels > 0)) & (labels >= 0)
    surest = max(zip(*np.nonzero(wrong), strict=True), key=lambda pair: abs(probabilities[pair] - 0.5))
    image, place = report_mistakes.surest_mistakes(made, 0.5)[0]
    assert (image, place) == tuple(map(int, surest))
    first = report_mistakes.mistakes(made, None, report_mistakes.PROBABILITY)[0]
    assert first.answer == ("not " if labels[surest] > 0 else "") + classes[place]
    assert not (tmp_path / "confusions.csv").exists()


@pytest.mark.slow
def test_the_picture_of_many_classes_shows_the_most_confused_ones(random, monkeypatch, tmp_path):
    made, _ = many(random, 200, 1000)
    drawn = {}
    draw = report_pictures.confusion_matrix

    def kept(matrix, classes, chosen):
        drawn["chosen"] = chosen
        return draw(matrix, classes, chosen)

    monkeypatch.setattr(report_pictures, "confusion_matrix", kept)
    write(tmp_path, [made], {"data": "", "rows": []}, None)
    assert drawn["chosen"][:2] == [199, 5] and len(set(drawn["chosen"])) == report.DRAWN_CLASSES
    right, _ = many(random, 200, 1000)
    labels = right.probabilities.argmax(axis=1).astype(np.int32)
    write(tmp_path, [dataclasses.replace(right, labels=labels)], {"data": "", "rows": []}, None)
    page = Page((tmp_path / "report.html").read_text())
    assert "no confusion" in page.text and len(page.pictures) == 1  # the overview


@pytest.mark.slow
def test_a_report_of_imagenet_21k_takes_little_memory(tmp_path):
    """The matrix of all pairs would take 3.8 GB as int64; the limit is 1 GB over what was there before."""
    script = (
        "import resource, sys, pathlib, numpy as np\n"
        "from tests.evaluation.many import many\n"
        "from vgg_keras.evaluation import error_table, report\n"
        "made, _ = many(np.random.default_rng(0), 21_841, 600)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20\n"
        "before = peak()\n"
        "report.write(pathlib.Path(sys.argv[1]), [error_table.row(made)], made, {'data': '', 'rows': []}, None)\n"
        "print(f'{before:.2f} GiB before, {peak() - before:.2f} more')\n"
        "assert peak() - before < 0.5\n"
    )
    done = finished(run_code, [sys.executable, "-c", script, str(tmp_path)], tmp_path)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2**21
