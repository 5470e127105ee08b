"""One row for each evaluation: the nets, S, the protocol, Q, the errors, and the paper's beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vgg_keras.config import label_of_test_scales, label_of_training_scale
from vgg_keras.evaluation import metrics, paper
from vgg_keras.evaluation.evaluated_net import EvaluatedNet
from vgg_keras.evaluation.posteriors import Posteriors

PROTOCOLS = {
    "center": "centre crop",
    "dense": "dense",
    "multi_crop": "multi-crop",
    "both": "multi-crop & dense",
}


@dataclass(frozen=True)
class Row:
    """A row of the table: which nets, how they were evaluated, and the errors in percent."""

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
        training_scale=together([label_of_training_scale(net.training_scale) for net in nets]),
        protocol=together([PROTOCOLS[net.protocol] + ("" if net.flip else ", no flip") for net in nets]),
        scales=together([label_of_test_scales(net.scales) for net in nets]),
        images=len(posteriors.labels),
        top1_error=top1_error,
        top1_interval=metrics.interval(top1_error, len(posteriors.labels)),
        top5_error=metrics.top_k_error(posteriors.probabilities, posteriors.labels, 5),
        paper=paper.cell(nets, len(posteriors.labels)),
    )


def _name(net: EvaluatedNet) -> str:
    """The net's configuration, what differs from the paper's, and the folder it came from."""
    architecture = net.architecture
    variant = [f"width {architecture.width:g}"] if architecture.width != 1 else []
    variant += ["batch norm"] if architecture.batch_norm else []
    variant += ["global average pooling"] if architecture.head == "gap" else []
    run = Path(net.model).resolve().name
    variant += [run] if run != architecture.name else []
    return architecture.name + (f" ({', '.join(variant)})" if variant else "")


def top5(error: float | None, classes: int) -> str:
    """The top-5 error as text."""
    return f"meaningless among {classes} classes" if error is None else f"{error:.2f} %"


def in_the_paper(row: Row) -> str:
    """The paper's errors as text, or a dash."""
    if isinstance(row.paper, str):
        return "-"
    return f"{row.paper.top1_error} / {row.paper.top5_error} % (Table {row.paper.table})"


def table(rows: Sequence[Row], classes: int) -> list[list[str]]:
    """The rows as text, under their header."""
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
