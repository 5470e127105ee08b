"""The report of boxes: its rows as text, iou.csv, and where boxes are drawn."""

import csv
import dataclasses

import numpy as np
import pytest

from tests.localization.toy import described
from vgg_keras.config import Localization
from vgg_keras.localization import evaluator, paper, report
from vgg_keras.localization.judgement import judge
from vgg_keras.localization.predicted_boxes import Layout, PredictedBoxes, Row, Slot


def test_boxes_are_drawn_where_they_lie_in_the_rescaled_picture():
    """200 x 100 pixels at a smaller side of 50: a box (40, 20, 120, 80) has its edges at 20, 10, 60 and 40."""
    black = np.zeros((100, 200, 3), np.uint8)
    drawn = np.asarray(report.with_boxes(black, [((40, 20, 120, 80), report.RIGHT)], 50))
    assert drawn.shape == (50, 100, 3)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 40, 20, 60)
    assert drawn[10, 40].tolist() == drawn[25, 60].tolist() == list(report.RIGHT)
    assert not drawn[13:38, 23:58].any()  # inside the lines of two pixels
    # edges in the wrong order, of a damaged list, are no error; and a strip keeps a pixel
    strip = report.with_boxes(np.zeros((1, 3000, 3), np.uint8), [((9, 1, 3, 0), report.WRONG)], 1)
    assert strip.size == (3000, 1)


def test_a_row_is_text_by_hand():
    row = evaluator.TableRow(
        net="D (runs/boxes)",
        boxes="PCR",
        trained="all",
        training_scale="256",
        protocol="dense",
        scales="256",
        images=50_000,
        box_error=33.125,
        box_interval=(32.71, 33.54),
        mean_iou=0.5,
        top1_error=None,
        top5_error=29.0,
        trivial_error=None,
        paper=paper.Cell(9, 29.5),
    )
    shown = dict(zip(report._header(), report._cells(row), strict=True))
    assert list(shown.values())[6:] == [
        *("50,000", "33.12 %", "32.7-33.5", "0.500", "-", "29.00 %", "-", "29.5 % (Table 9)"),
    ]
    assert report._cells(dataclasses.replace(row, paper="no cell"))[-1] == "-"


@pytest.fixture
def measured():
    """Three images of two classes; boxes with an IoU of 1, 0.5 and 0 with the true one."""
    true, boxes = (0, 0, 10, 10), [(0, 0, 10, 10), (0, 0, 10, 5), (20, 20, 30, 30)]
    layout, truth = Layout(truth=1, classes=2, slots=1, boxes=1), np.array([true], float)
    rows = [Row(truth, np.zeros(2), Slot(1, np.array([box], float), np.ones(1)), []) for box in boxes]
    final = PredictedBoxes(
        boxes=np.stack([layout.packed(row) for row in rows]),
        labels=np.array([0, 1, 1], np.int32),
        ids=("a|b.jpg", "<c>.jpg", "d,e\udcff.jpg"),
        fingerprints=np.arange(3),
        classes=("cat", "dog"),
        nets=(described(layout=dataclasses.astuple(layout), protocol="center", classifier_sha256=""),),
        done=np.ones(3, np.bool_),
        seconds=1.0,
    )
    return final, rows, judge(rows, final.labels, Localization())


def test_every_images_iou_is_in_a_table_beside_and_wrong_ones_on_the_page(measured, tmp_path):
    final, rows, judged = measured
    table = [evaluator._table_row([final], rows, judged, Localization(), None)]
    result = {"data": "three images", "localization": {"iou": 0.5}, "rows": [], "nets": []}
    paths = report.write(tmp_path, table, rows, judged, final, result, None)
    with open(tmp_path / "iou.csv", newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    assert table == [
        ["image", "class", "iou"],
        ["a|b.jpg", "cat", "1.0000"],
        ["<c>.jpg", "dog", "0.5000"],
        ["d,e\\udcff.jpg", "dog", "0.0000"],  # a path with a comma that is not UTF-8
    ]
    html, right = paths[0].read_text(), paths[0].read_text().split("Wrong boxes")[0]
    assert "<c>.jpg" not in html and "66.67 %" in html and html.count("data:image/jpeg") == 0
    captions = ("cat, IoU 1.00", "dog, IoU 0.50", "dog, IoU 0.00")  # right is above 0.5
    assert [caption in right for caption in captions] == [True, False, False]
    assert all(caption in html for caption in captions)
