"""The table of classes by hand: the worst first, no precision where nothing is answered, every class in a file beside."""

import csv

import numpy as np
import pytest
from scipy.sparse import csr_array

from vgg_keras.evaluation import report_classes
from vgg_keras.evaluation.report_classes import of_one_label, of_several_labels

CLASSES = ("cat", "dog", "owl", "d,e\udcff")


def table(folder):
    with open(folder / "classes.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_errors_precision_and_recall_by_hand(tmp_path):
    """Cat: 3 of 4 right, 1 other called cat. Dog has no images and one answer. Owl is never answered. The last: 1 of 2."""
    matrix = csr_array(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 4], [1, 0, 0, 1]]))
    page = of_one_label(tmp_path, matrix, CLASSES)
    assert page["per_class"] == [
        ("owl", 4, [100.0, None, 0.0]),
        ("d,e\udcff", 2, [50.0, 20.0, 50.0]),
        ("cat", 4, [25.0, 75.0, 75.0]),
    ]
    assert (page["tested_classes"], page["classes"], page["untested"]) == (3, 4, ["dog"])
    assert page["class_columns"] == ["top-1 error", "precision", "recall"]
    assert table(tmp_path) == [
        ["class", "images", "wrong", "top1_error", "precision", "recall"],
        ["cat", "4", "1", "25.0", "75.0", "75.0"],
        ["owl", "4", "4", "100.0", "", "0.0"],
        ["d,e\\udcff", "2", "1", "50.0", "20.0", "50.0"],  # a folder's name with a comma that is not UTF-8
    ]


def test_of_equal_errors_the_class_with_more_images_is_first_and_the_page_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(report_classes, "LISTED_CLASSES", 2)
    page = of_one_label(tmp_path, csr_array(np.array([[1, 1, 0], [0, 2, 2], [0, 1, 1]])), ("z", "y", "a"))
    assert [name for name, _, _ in page["per_class"]] == ["y", "a"] and page["tested_classes"] == 3
    assert len(table(tmp_path)) == 4


def test_several_labels_by_hand(tmp_path):
    """Cat is ranked right, wrong, right; dog's image is second of three that count; owl has none."""
    scores = np.array([[0.9, 0.2, 0.6], [0.8, 0.7, 0.1], [0.3, 0.9, 0.1], [0.1, 0.95, 0.2]], np.float32)
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, -1], [0, -1, 0]], np.int8)
    page = of_several_labels(tmp_path, scores, labels, ("cat", "dog", "owl"), 0.5)
    area = 100 * (1 / 2 + 1 / 2 * 2 / 3)
    (dog, dogs, of_dog), (cat, cats, of_cat) = page["per_class"]
    assert (cat, cats, dog, dogs) == ("cat", 2, "dog", 1) and page["untested"] == ["owl"]
    assert of_cat == pytest.approx([area, 100 * (6 + 5 * 2 / 3) / 11, 50.0, 50.0])
    assert of_dog == pytest.approx([50.0, 50.0, 50.0, 100.0])
    rows = table(tmp_path)
    assert rows[0][2:] == ["average_precision", "average_precision_voc2007", "precision", "recall"] and len(rows) == 3
    page = of_several_labels(tmp_path, scores, labels, ("cat", "dog", "owl"), 2.0)
    assert all(values[2] is None and values[3] == 0 for _, _, values in page["per_class"])  # nothing is answered
