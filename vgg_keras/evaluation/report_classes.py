"""The report's tables of classes: errors, precision and recall, or average precision; every class is written into classes.csv."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from vgg_keras.evaluation.average_precision import average_precisions
from vgg_keras.evaluation.rows import blocks
from vgg_keras.files import replacing

LISTED_CLASSES = 100  # the worst ones


def of_one_label(folder: Path, matrix: csr_array, classes: Sequence[str]) -> dict[str, Any]:
    """The page's table of classes, worst first, from a confusion matrix (classes, classes).

    Precision is the share of the images predicted to be of a class that are; none where no image is predicted to be. Recall is
    the share of its images that are predicted right, 100 % - its error.
    """
    counts, right, predicted = matrix.sum(axis=1), matrix.diagonal(), matrix.sum(axis=0)
    rows = []
    for place in np.flatnonzero(counts):
        images, hits, answers = int(counts[place]), int(right[place]), int(predicted[place])
        error, precision = 100 * (1 - hits / images), 100 * hits / answers if answers else None
        rows.append((classes[place], images, images - hits, error, precision, 100 * hits / images))
    write_csv(folder / "classes.csv", ("class", "images", "wrong", "top1_error", "precision", "recall"), rows)
    worst = sorted(rows, key=lambda row: (-row[3], -row[1], row[0]))[:LISTED_CLASSES]
    shown = [(name, images, (error, precision, recall)) for name, images, _, error, precision, recall in worst]
    return _page(("top-1 error", "precision", "recall"), shown, len(rows), counts, classes)


def of_several_labels(
    folder: Path, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str], threshold: float
) -> dict[str, Any]:
    """The same of a multi-label set: average precision, and precision and recall of the decisions from a threshold on."""
    found, (counts, answers, hits) = average_precisions(scores, labels), np.zeros((3, len(classes)), np.int64)
    for part, block in blocks(scores):
        present, decided = labels[part] > 0, (block >= threshold) & (labels[part] >= 0)
        counts += present.sum(axis=0)
        answers += decided.sum(axis=0)
        hits += (decided & present).sum(axis=0)
    rows = []
    for place in np.flatnonzero(counts):
        images, answered, right = int(counts[place]), int(answers[place]), int(hits[place])
        precision = 100 * right / answered if answered else None
        of_class = float(found.area[place]), float(found.voc2007[place]), precision, 100 * right / images
        rows.append((classes[place], images, *of_class))
    header = ("class", "images", "average_precision", "average_precision_voc2007", "precision", "recall")
    write_csv(folder / "classes.csv", header, rows)
    worst = sorted(rows, key=lambda row: (row[2], -row[1], row[0]))[:LISTED_CLASSES]
    shown = [(name, images, values) for name, images, *values in worst]
    names = ("average precision", "VOC-2007's", "precision", "recall")
    return _page(names, shown, len(rows), counts, classes)


def _page(names: Sequence[str], rows: Sequence[tuple], tested: int, counts: np.ndarray, classes: Sequence[str]):
    return {
        "class_columns": list(names),
        "per_class": [(name, images, list(values)) for name, images, values in rows],
        "tested_classes": tested,
        "untested": [classes[place] for place in np.flatnonzero(counts == 0)[:LISTED_CLASSES]],
        "classes": len(classes),
    }


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table; None is an empty cell. A path or a folder's name need not be UTF-8."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        csv.writer(file).writerows([header, *rows])
