"""report.html and report.md: every error in one table beside the paper's, classes, confusions, mistakes, settings.

The page is one file: its pictures are inside it. classes.csv and confusions.csv hold every class and every confusion, of
which the pages show the worst. Nothing here grows with the number of classes squared.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from scipy.sparse import csr_array

from vgg_keras.evaluation import error_table, metrics, report_pictures
from vgg_keras.evaluation.error_table import Row
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.files import replacing
from vgg_keras.plain_values import to_dict

MISTAKES = 24  # the most confident ones
CONFUSIONS = 20  # the most frequent pairs
LISTED_CLASSES = 100  # the worst ones
NAMED_CLASSES = 60  # with more, the confusion matrix has no room for all names
DRAWN_CLASSES = 30  # the most confused ones, where there is no room for all


@dataclass(frozen=True)
class Score:
    """A net's output for a class: its name, and how one is written."""

    name: str
    text: Callable[[float], str]


PROBABILITY = Score("probability", lambda value: f"{100 * value:.1f} %")
DECISION_VALUE = Score("SVM's decision value", lambda value: f"{value:.2f}")


@dataclass(frozen=True)
class Mistake:
    """An image whose predicted class is not its actual one."""

    name: str
    label: str
    answer: str
    answer_score: str
    label_score: str
    picture: str  # a data URL; empty without the image


def write(
    folder: Path,
    rows: Sequence[Row],
    final: ImageRows,
    result: dict[str, Any],
    source: Any | None,
    score: Score = PROBABILITY,
) -> list[Path]:
    """Writes report.html and report.md, and returns their paths; beside them classes.csv and confusions.csv.

    Args:
        folder: where to.
        rows: of the table; the last is what the rest of the report is about.
        final: what the last row was measured on, (images, classes) of scores.
        result: of `evaluator.evaluate`, `evaluator.fuse` or `classification.classify`: the settings.
        source: the split that the images' pictures come from; None: the report has none.
        score: what `final` holds.
    """
    classes = final.classes
    predicted, scores = metrics.predictions(final.rows)
    matrix = metrics.confusion(predicted, final.labels, len(classes))
    content = {
        "title": f"{rows[-1].net}: top-1 error {rows[-1].top1_error:.2f} %",
        "final": rows[-1],
        "top5": error_table.top5(rows[-1].top5_error, len(classes)),
        "data": result["data"],
        "table": error_table.table(rows, len(classes)),
        "reasons": list(dict.fromkeys(row.paper for row in rows if isinstance(row.paper, str))),
        "mistakes": _mistakes(final, predicted, scores, source, score),
        "score": score.name,
        "settings": {key: value for key, value in result.items() if key not in ("rows", "nets")},
        "nets": [_settings_of(to_dict(net)) for net in final.nets],
        **_classes_and_confusions(folder, matrix, classes),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=lambda name: name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    paths = []
    for name in ("report.html", "report.md"):
        with replacing(folder / name) as temporary:
            text = environment.get_template(f"{name}.j2").render(content)
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a path need not be UTF-8
        paths.append(folder / name)
    return paths


def _classes_and_confusions(folder: Path, matrix: csr_array, classes: Sequence[str]) -> dict[str, Any]:
    """The page's content on classes and confusions; every one is written into classes.csv and confusions.csv."""
    per_class, confused = _per_class(matrix, classes), _confusions(matrix)
    _write_csv(folder / "classes.csv", ("class", "images", "wrong", "top1_error"), per_class)
    named = ((classes[a], classes[b], count) for a, b, count in confused)
    _write_csv(folder / "confusions.csv", ("actual", "predicted", "images"), named)
    worst = sorted(per_class, key=lambda entry: (-entry[3], -entry[1], entry[0]))[:LISTED_CLASSES]
    counts = matrix.sum(axis=1)
    chosen = _most_confused(confused, len(classes))
    return {
        "per_class": [(name, images, error) for name, images, _, error in worst],
        "tested_classes": len(per_class),
        "untested": [classes[place] for place in np.flatnonzero(counts == 0)[:LISTED_CLASSES]],
        "confusions": [(classes[a], classes[b], count, int(counts[a])) for a, b, count in confused[:CONFUSIONS]],
        "confused_pairs": len(confused),
        "classes": len(classes),
        "drawn": len(chosen),
        "matrix": report_pictures.confusion_matrix(matrix, classes, chosen) if len(chosen) else "",
        "overview": report_pictures.overview(matrix) if len(chosen) < len(classes) else "",
    }


def _per_class(matrix: csr_array, classes: Sequence[str]) -> list[tuple[str, int, int, float]]:
    """Name, images, wrong ones and top-1 error in percent of every class with images, in order."""
    counts, right = matrix.sum(axis=1), matrix.diagonal()
    return [
        (name, int(count), int(count - hits), 100 * (1 - hits / count))
        for name, count, hits in zip(classes, counts, right, strict=True)
        if count
    ]


def _confusions(matrix: csr_array) -> list[tuple[int, int, int]]:
    """Actual class, predicted class, and how many images, the most frequent pair first."""
    pairs = matrix.tocoo()
    wrong = pairs.row != pairs.col
    rows, columns, counts = (values[wrong] for values in (pairs.row, pairs.col, pairs.data))
    order = np.lexsort((columns, rows, -counts))
    return list(zip(rows[order].tolist(), columns[order].tolist(), counts[order].tolist(), strict=True))


def _most_confused(confused: Sequence[tuple[int, int, int]], classes: int) -> list[int]:
    """The classes to draw: all in their order if they fit, else those of the most frequent confusions, neighbours."""
    if classes <= NAMED_CLASSES:
        return list(range(classes))
    chosen = {}
    for a, b, _ in confused:
        chosen |= {a: None, b: None}
        if len(chosen) >= DRAWN_CLASSES:
            break
    return list(chosen)[:DRAWN_CLASSES]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _settings_of(settings: dict[str, Any]) -> dict[str, Any]:
    """A net's fields for the page; of its architecture those in which nets differ most."""
    shown = ("name", "num_classes", "width", "crop", "head", "batch_norm")
    return {**settings, "architecture": {field: settings["architecture"][field] for field in shown}}


def _mistakes(
    final: ImageRows, predicted: np.ndarray, scores: np.ndarray, source: Any | None, score: Score
) -> list[Mistake]:
    """The wrong predictions with the highest probabilities."""
    return [
        Mistake(
            name=final.ids[image],
            label=final.classes[final.labels[image]],
            answer=final.classes[predicted[image]],
            answer_score=score.text(float(scores[image])),
            label_score=score.text(float(final.rows[image, final.labels[image]])),
            picture=report_pictures.photograph(source, int(image)),
        )
        for image in surest_mistakes(predicted, scores, final.labels)
    ]


def surest_mistakes(predicted: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The images of the report's mistakes, by their places: wrong, and of these the highest scores first."""
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-scores[wrong], kind="stable")[:MISTAKES]]
