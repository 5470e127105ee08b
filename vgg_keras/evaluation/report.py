"""Every number of an evaluation in one table, beside the paper's, and what stands behind it: report.html and report.md.

The page is one file: its pictures are inside it. classes.csv and confusions.csv hold every class and every confusion, of
which the pages show the worst. Nothing here grows with the number of classes squared.
"""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from scipy.sparse import coo_array, csr_array

from vgg_keras.errors import UserError
from vgg_keras.evaluation import metrics, paper, plots
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.evaluation.posteriors import Posteriors
from vgg_keras.files import replacing

MISTAKES = 24  # the most confident ones
CONFUSIONS = 20  # the most frequent pairs
LISTED_CLASSES = 100  # the worst ones
NAMED_CLASSES = 60  # with more, the confusion matrix has no room for all names
DRAWN_CLASSES = 30  # the most confused ones, where there is no room for all
BINS = 200  # of the overview's rows and columns, where there are more classes
LONGEST = 32  # characters of a class's name in a picture
PROTOCOLS = {
    "center": "centre crop",
    "dense": "dense",
    "multi_crop": "multi-crop",
    "both": "multi-crop & dense",
}


@dataclass(frozen=True)
class Row:
    """One number of the table: who was asked, how, and the errors in percent."""

    net: str
    training_scale: str
    protocol: str
    scales: str
    images: int
    top1_error: float
    top1_interval: tuple[float, float]  # Wilson's, 95 %
    top5_error: float | None  # None: meaningless among so few classes
    paper: paper.Cell | str


def row(posteriors: Posteriors) -> Row:
    """The errors of posteriors, and the paper's for the same nets."""
    nets = posteriors.nets
    top1_error = metrics.top_k_error(posteriors.probabilities, posteriors.labels, 1)

    def together(words):
        return " + ".join(dict.fromkeys(words)) if len(nets) > 1 else words[0]

    return Row(
        net=("fusion of " if len(nets) > 1 else "") + " + ".join(_name(net) for net in nets),
        training_scale=together(["-".join(map(str, dict.fromkeys(net["training_scale"]))) for net in nets]),
        protocol=together([PROTOCOLS[net["protocol"]] + ("" if net["flip"] else ", no flip") for net in nets]),
        scales=together([", ".join(map(str, net["scales"])) for net in nets]),
        images=len(posteriors.labels),
        top1_error=top1_error,
        top1_interval=metrics.interval(top1_error, len(posteriors.labels)),
        top5_error=metrics.top_k_error(posteriors.probabilities, posteriors.labels, 5),
        paper=paper.cell(nets, len(posteriors.labels)),
    )


def _name(net: dict[str, Any]) -> str:
    """The net's configuration, what differs from the paper's, and the folder it came from."""
    architecture = net["architecture"]
    variant = [f"width {architecture['width']:g}"] if architecture["width"] != 1 else []
    variant += ["batch norm"] if architecture["batch_norm"] else []
    variant += ["global average pooling"] if architecture["head"] == "gap" else []
    run = Path(net["model"]).resolve().name
    variant += [run] if run != architecture["name"] else []
    return architecture["name"] + (f" ({', '.join(variant)})" if variant else "")


def top5(error: float | None, classes: int) -> str:
    """The top-5 error in words."""
    return f"meaningless among {classes} classes" if error is None else f"{error:.2f} %"


def in_the_paper(row: Row) -> str:
    """The paper's errors in words, or a dash."""
    if isinstance(row.paper, str):
        return "-"
    return f"{row.paper.top1_error} / {row.paper.top5_error} % (Table {row.paper.table})"


def table(rows: Sequence[Row], classes: int) -> list[list[str]]:
    """The rows as words, under their header."""
    header = ["net", "S", "protocol", "Q", "images", "top-1 error", "95 % interval", "top-5 error", "paper"]
    return [header] + [
        [
            row.net,
            row.training_scale,
            row.protocol,
            row.scales,
            f"{row.images:,}",
            f"{row.top1_error:.2f} %",
            f"{row.top1_interval[0]:.1f}-{row.top1_interval[1]:.1f}",
            top5(row.top5_error, classes),
            in_the_paper(row),
        ]
        for row in rows
    ]


@dataclass(frozen=True)
class Score:
    """What a net's output for a class is called, and how one is written."""

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
    picture: str  # a data URL; empty where the image is not at hand


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
    per_class = _per_class(matrix, classes)
    worst = sorted(per_class, key=lambda entry: (-entry[3], -entry[1], entry[0]))[:LISTED_CLASSES]
    confused = _confusions(matrix)
    counts = matrix.sum(axis=1)
    chosen = _most_confused(confused, len(classes))
    content = {
        "title": f"{rows[-1].net}: top-1 error {rows[-1].top1_error:.2f} %",
        "final": rows[-1],
        "top5": top5(rows[-1].top5_error, len(classes)),
        "data": result["data"],
        "table": table(rows, len(classes)),
        "reasons": list(dict.fromkeys(row.paper for row in rows if isinstance(row.paper, str))),
        "per_class": [(name, images, error) for name, images, _, error in worst],
        "tested_classes": len(per_class),
        "untested": [classes[place] for place in np.flatnonzero(counts == 0)[:LISTED_CLASSES]],
        "confusions": [(classes[a], classes[b], count, int(counts[a])) for a, b, count in confused[:CONFUSIONS]],
        "confused_pairs": len(confused),
        "mistakes": _mistakes(final, predicted, scores, source, score),
        "score": score.name,
        "classes": len(classes),
        "drawn": len(chosen),
        "matrix": _draw_matrix(matrix, classes, chosen) if len(chosen) else "",
        "overview": _draw_overview(matrix) if len(chosen) < len(classes) else "",
        "settings": {key: value for key, value in result.items() if key not in ("rows", "nets")},
        "nets": [{**net, "architecture": _differing(net["architecture"])} for net in final.nets],
    }
    _write_csv(folder / "classes.csv", ("class", "images", "wrong", "top1_error"), per_class)
    named = ((classes[a], classes[b], count) for a, b, count in confused)
    _write_csv(folder / "confusions.csv", ("class", "taken_for", "images"), named)
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
    """The classes to draw: all in their order where there is room, else those of the most frequent confusions, side by side."""
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


def _differing(architecture: dict[str, Any]) -> dict[str, Any]:
    """The fields of a net that a reader of the report asks for."""
    return {key: architecture[key] for key in ("name", "num_classes", "width", "crop", "head", "batch_norm")}


def _mistakes(
    final: ImageRows, predicted: np.ndarray, scores: np.ndarray, source: Any | None, score: Score
) -> list[Mistake]:
    """The images that the net is surest of and wrong about."""
    wrong = np.flatnonzero(predicted != final.labels)
    chosen = wrong[np.argsort(-scores[wrong], kind="stable")[:MISTAKES]]
    return [
        Mistake(
            name=final.ids[image],
            label=final.classes[final.labels[image]],
            answer=final.classes[predicted[image]],
            answer_score=score.text(float(scores[image])),
            label_score=score.text(float(final.rows[image, final.labels[image]])),
            picture=_picture(source, int(image)),
        )
        for image in chosen
    ]


def _picture(split: Any | None, image: int) -> str:
    """The image as a data URL; empty where it is not at hand any more, for which no report is given up."""
    if split is None:
        return ""
    try:
        return _data_url(_thumbnail(split, image), "jpeg")
    except UserError:
        return ""


def _thumbnail(split: Any, image: int, side: int = 160) -> bytes:
    """The image as a JPEG file with its smaller side at `side`, its longer one cut to twice that."""
    import tensorflow as tf

    from vgg_keras.data import pipeline
    from vgg_keras.data.rescaling import rescale_and_crop, rescaled_size

    original, _ = pipeline.picture(split, image)
    rescaled = rescaled_size(*original.shape[:2], side)
    height, width = (min(int(size), 2 * side) for size in rescaled)
    top, left = (int(rescaled[0]) - height) // 2, (int(rescaled[1]) - width) // 2
    window = rescale_and_crop(original, rescaled, top, left, (height, width), "bilinear")
    return tf.io.encode_jpeg(tf.saturate_cast(tf.round(window), tf.uint8), quality=85).numpy()


def _draw_matrix(matrix: csr_array, classes: Sequence[str], chosen: Sequence[int]) -> str:
    """The rows and columns of these classes as a picture: shares of each class, with a column for all other predictions."""

    totals = matrix[chosen].sum(axis=1)
    counts = matrix[chosen][:, chosen].toarray()
    names = [_short(classes[place]) for place in chosen]
    columns = names
    if len(chosen) < len(classes):
        counts = np.column_stack([counts, totals - counts.sum(axis=1)])
        columns = [*names, f"{len(classes) - len(chosen):,} others"]
    shares = counts / np.maximum(totals, 1)[:, None]
    side = max(5.0, 0.32 * len(chosen) + 2.5)
    figure, axes = plots.pyplot().subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    for (actual, predicted), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[actual, predicted] > 0.5 else "black"
            axes.text(predicted, actual, str(count), ha="center", va="center", fontsize=6.5, color=color)
    figure.colorbar(image, shrink=0.7, label="share of the class")
    return _png(figure)


def _draw_overview(matrix: csr_array) -> str:
    """The whole matrix as a picture, neighbouring classes put together: shares of the images of each row."""
    from matplotlib import colors

    classes = matrix.shape[0]
    bins, pairs = min(classes, BINS), matrix.tocoo()
    places = pairs.row.astype(np.int64) * bins // classes, pairs.col.astype(np.int64) * bins // classes
    counts = coo_array((pairs.data, places), shape=(bins, bins)).toarray()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plots.pyplot().subplots(figsize=(9, 8), layout="constrained")
    # of many classes each confusion is rare: the square root brings it out
    norm = colors.PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest", extent=(0, classes, classes, 0))
    axes.set_xlabel("predicted class, by its number")
    axes.set_ylabel("actual class, by its number")
    figure.colorbar(image, shrink=0.7, label="share of the row's images")
    return _png(figure)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _png(figure: Any) -> str:

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plots.pyplot().close(figure)
    return _data_url(buffer.getvalue(), "png")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
