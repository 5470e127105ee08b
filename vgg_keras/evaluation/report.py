"""report.html and report.md: every error in one table beside the paper's, classes, confusions, mistakes, settings.

The page is one file: its pictures are inside it. classes.csv and confusions.csv hold every class and every confusion, of
which the pages show the worst. Nothing here grows with the number of classes squared. A multi-label set has no confusions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from vgg_keras.evaluation import error_table, metrics, report_classes, report_pages, report_pictures
from vgg_keras.evaluation.error_table import Row
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.evaluation.report_mistakes import PROBABILITY, Score, mistakes
from vgg_keras.plain_values import to_dict

CONFUSIONS = 20  # the most frequent pairs
NAMED_CLASSES = 60  # with more, the confusion matrix has no room for all names
DRAWN_CLASSES = 30  # the most confused ones, where there is no room for all


def write(
    folder: Path,
    rows: Sequence[Row],
    final: ImageRows,
    result: dict[str, Any],
    source: Any | None,
    score: Score = PROBABILITY,
) -> list[Path]:
    """Writes report.html and report.md, and returns their paths; beside them classes.csv, and confusions.csv.

    Args:
        folder: where to.
        rows: of the table; the last is what the rest of the report is about.
        final: what the last row was measured on, (images, classes) of scores.
        result: of `evaluator.evaluate`, `evaluator.fuse` or `classification.classify`: the settings.
        source: the split that the images' pictures come from; None: the report has none.
        score: what `final` holds.
    """
    classes = final.classes
    figures = rows[-1].figures(len(classes))
    content = {
        "title": f"{rows[-1].net}: {' '.join(figures[0][:2])}",
        "final": rows[-1],
        "figures": figures,
        "summary": _summary(rows[-1], len(classes)),
        "multi_label": final.multi_label,
        "data": result["data"],
        "table": error_table.table(rows, len(classes)),
        "reasons": list(dict.fromkeys(row.paper for row in rows if isinstance(row.paper, str))),
        "mistakes": mistakes(final, source, score),
        "score": score.name,
        "threshold": f"{score.threshold:g}",
        "settings": {key: value for key, value in result.items() if key not in ("rows", "nets")},
        "nets": [_settings_of(to_dict(net)) for net in final.nets],
        **_classes_and_confusions(folder, final, score.threshold),
    }
    return report_pages.write(Path(__file__).parent, content, folder)


def _summary(row: Row, classes: int) -> str:
    """What a row reaches, in a line."""
    if row.multi_label:
        return row.text(classes)
    low, high = row.top1_interval
    name, value, _ = row.figures(classes)[0]
    rest = ", ".join(f"{name} {value}" for name, value, _ in row.figures(classes)[1:])
    return f"{name} {value} (95 % interval from {low:.1f} to {high:.1f}), {rest}"


def _classes_and_confusions(folder: Path, final: ImageRows, threshold: float) -> dict[str, Any]:
    """The page's content on classes and confusions; every one is written into classes.csv and confusions.csv."""
    classes = final.classes
    if final.multi_label:
        return report_classes.of_several_labels(folder, final.rows, final.labels, classes, threshold)
    predicted, _ = metrics.predictions(final.rows)
    matrix = metrics.confusion(predicted, final.labels, len(classes))
    confused = _confusions(matrix)
    named = ((classes[a], classes[b], count) for a, b, count in confused)
    report_classes.write_csv(folder / "confusions.csv", ("actual", "predicted", "images"), named)
    counts = matrix.sum(axis=1)
    chosen = _most_confused(confused, len(classes))
    return {
        **report_classes.of_one_label(folder, matrix, classes),
        "confusions": [(classes[a], classes[b], count, int(counts[a])) for a, b, count in confused[:CONFUSIONS]],
        "confused_pairs": len(confused),
        "drawn": len(chosen),
        "matrix": report_pictures.confusion_matrix(matrix, classes, chosen) if len(chosen) else "",
        "overview": report_pictures.overview(matrix) if len(chosen) < len(classes) else "",
    }


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


def _settings_of(settings: dict[str, Any]) -> dict[str, Any]:
    """A net's fields for the page; of its architecture those in which nets differ most."""
    shown = ("name", "num_classes", "multi_label", "width", "crop", "head", "batch_norm")
    return {**settings, "architecture": {field: settings["architecture"][field] for field in shown}}
