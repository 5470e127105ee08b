"""Every number of an evaluation in one table, beside the paper's, and what stands behind it: report.html and report.md.

The page is one file: its pictures are inside it.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from vgg_keras.config import UserError
from vgg_keras.evaluation import metrics, paper
from vgg_keras.evaluation.posteriors import Posteriors
from vgg_keras.files import replacing

MISTAKES = 24  # the most confident ones
CONFUSIONS = 20  # the most frequent pairs
NAMED_CLASSES = 60  # with more, the confusion matrix has no room for names
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
class Mistake:
    """An image that is taken for another class."""

    name: str
    label: str
    answer: str
    answer_probability: float
    label_probability: float
    picture: str  # a data URL; empty where the image is not at hand


def write(folder: Path, measured: Sequence[Posteriors], result: dict[str, Any], source: Any | None) -> list[Path]:
    """Writes report.html and report.md, and returns their paths.

    Args:
        folder: where to.
        measured: what the table shows, a row each; the last is what the rest of the report is about.
        result: of `folder.evaluate` or `folder.fuse`: the settings.
        source: the split that the images' pictures come from; None: the report has none.
    """
    final = measured[-1]
    classes = final.classes
    matrix = metrics.confusion(final.probabilities, final.labels)
    rows = [row(posteriors) for posteriors in measured]
    counts = matrix.sum(axis=1)
    per_class = [
        (name, int(count), 100 * (1 - matrix[index, index] / count))
        for index, (name, count) in enumerate(zip(classes, counts, strict=True))
        if count
    ]
    wrong = matrix - np.diag(np.diag(matrix))
    pairs = [divmod(int(place), len(classes)) for place in np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]]
    content = {
        "title": f"{rows[-1].net}: top-1 error {rows[-1].top1_error:.2f} %",
        "final": rows[-1],
        "top5": top5(rows[-1].top5_error, len(classes)),
        "data": result["data"],
        "table": table(rows, len(classes)),
        "reasons": list(dict.fromkeys(row.paper for row in rows if isinstance(row.paper, str))),
        "per_class": sorted(per_class, key=lambda entry: (-entry[2], entry[0])),
        "confusions": [(classes[a], classes[b], int(wrong[a, b]), int(counts[a])) for a, b in pairs if wrong[a, b]],
        "mistakes": _mistakes(final, source),
        "matrix": _draw(matrix, classes),
        "settings": {key: value for key, value in result.items() if key not in ("rows", "nets")},
        "nets": [{**net, "architecture": _differing(net["architecture"])} for net in final.nets],
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


def _differing(architecture: dict[str, Any]) -> dict[str, Any]:
    """The fields of a net that a reader of the report asks for."""
    return {key: architecture[key] for key in ("name", "num_classes", "width", "crop", "head", "batch_norm")}


def _mistakes(final: Posteriors, source: Any | None) -> list[Mistake]:
    """The images that the net is surest of and wrong about."""
    answers = final.probabilities.argmax(axis=1)
    sure = final.probabilities[np.arange(len(answers)), answers]
    wrong = np.flatnonzero(answers != final.labels)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")[:MISTAKES]]
    return [
        Mistake(
            name=final.ids[image],
            label=final.classes[final.labels[image]],
            answer=final.classes[answers[image]],
            answer_probability=float(sure[image]),
            label_probability=float(final.probabilities[image, final.labels[image]]),
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
    from vgg_keras.data.preprocessing import rescale

    original, _ = pipeline.picture(split, image)
    small = rescale(original, side, "bilinear")
    height, width = (min(size, 2 * side) for size in small.shape[:2])
    top, left = (small.shape[0] - height) // 2, (small.shape[1] - width) // 2
    window = tf.saturate_cast(tf.round(small[top : top + height, left : left + width]), tf.uint8)
    return tf.io.encode_jpeg(window, quality=85).numpy()


def _draw(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """The confusion matrix as a picture: each row's shares."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import colors, pyplot

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    named = len(classes) <= NAMED_CLASSES
    side = max(5.0, 0.32 * len(classes) + 2.5) if named else 9.0
    figure, axes = pyplot.subplots(figsize=(side + 1, side), layout="constrained")
    # of many classes each confusion is rare: the square root brings it out
    norm = colors.PowerNorm(1 if named else 0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest" if named else "antialiased")
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if named:
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, fontsize=8, parse_math=False)
        for (is_, taken_for), count in np.ndenumerate(matrix):
            if count:
                color = "white" if shares[is_, taken_for] > 0.5 else "black"
                axes.text(taken_for, is_, str(count), ha="center", va="center", fontsize=6.5, color=color)
    figure.colorbar(image, shrink=0.7, label="share of the class")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    pyplot.close(figure)
    return _data_url(buffer.getvalue(), "png")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
