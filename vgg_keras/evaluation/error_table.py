"""One row for each evaluation: the nets, S, the protocol, Q, the errors, and the paper's beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vgg_keras.config import Architecture, label_of_test_scales, label_of_training_scale
from vgg_keras.evaluation import paper
from vgg_keras.evaluation.evaluated_net import EvaluatedNet
from vgg_keras.evaluation.measures import Measures, measure
from vgg_keras.evaluation.posteriors import Posteriors

PROTOCOLS = {
    "center": "centre crop",
    "dense": "dense",
    "multi_crop": "multi-crop",
    "both": "multi-crop & dense",
}


@dataclass(frozen=True, kw_only=True)
class Row(Measures):
    """A row of the table: which nets, how they were evaluated, and what they reach in percent."""

    net: str
    training_scale: str
    protocol: str
    scales: str
    images: int
    paper: paper.Cell | str


def row(posteriors: Posteriors) -> Row:
    """The errors of posteriors, and the paper's for the same nets."""
    nets = posteriors.nets

    def together(words):
        return " + ".join(dict.fromkeys(words)) if len(nets) > 1 else words[0]

    return Row(
        net=("fusion of " if len(nets) > 1 else "") + " + ".join(_name(net) for net in nets),
        training_scale=together([label_of_training_scale(net.training_scale) or "not known" for net in nets]),
        protocol=together([PROTOCOLS[net.protocol] + ("" if net.flip else ", no flip") for net in nets]),
        scales=together([label_of_test_scales(net.scales) for net in nets]),
        images=len(posteriors.labels),
        paper=paper.cell(nets, len(posteriors.labels)),
        **vars(measure(posteriors.probabilities, posteriors.labels)),
    )


def _name(net: EvaluatedNet) -> str:
    """The net's configuration, what differs from the paper's, and the folder it came from."""
    architecture = net.architecture
    variant = [f"width {architecture.width:g}"] if architecture.width != 1 else []
    variant += ["batch norm"] if architecture.batch_norm else []
    variant += {"fc": [], "gap": ["global average pooling"], "gmp": ["global max pooling"]}[architecture.head]
    if architecture.hidden_units != Architecture(head=architecture.head).hidden_units:
        variant += [f"hidden FC {'-'.join(map(str, architecture.hidden_units)) or 'none'}"]
    run = Path(net.model).resolve().name
    variant += [run] if run != architecture.name else []
    return architecture.name + (f" ({', '.join(variant)})" if variant else "")


def in_the_paper(row: Row) -> str:
    """The paper's errors as text, or a dash."""
    if isinstance(row.paper, str):
        return "-"
    return f"{row.paper.top1_error} / {row.paper.top5_error} % (Table {row.paper.table})"


def table(rows: Sequence[Row], classes: int) -> list[list[str]]:
    """The rows as text, under their header."""
    figures = [name for name, _, _ in rows[0].figures(classes)]
    if not rows[0].multi_label:
        figures.insert(1, "95 % interval")
    header = ["net", "S", "protocol", "Q", "images", *figures, "paper"]
    return [header] + [_cells(row, classes) for row in rows]


def _cells(row: Row, classes: int) -> list[str]:
    figures = [value for _, value, _ in row.figures(classes)]
    if row.top1_interval:
        figures.insert(1, f"{row.top1_interval[0]:.1f}-{row.top1_interval[1]:.1f}")
    return [row.net, row.training_scale, row.protocol, row.scales, f"{row.images:,}", *figures, in_the_paper(row)]
