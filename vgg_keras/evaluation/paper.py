"""Section 4's tables: the errors that the paper prints, and the cell that a measured number is compared with.

Errors on ILSVRC-2012's 50,000 validation images, in percent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vgg_keras.config import Architecture
from vgg_keras.evaluation.evaluated_net import EvaluatedNet

IMAGES = 50_000
JITTER, THREE = (256, 512), (256, 384, 512)

# 3.3: how long a training took
SPEED_UP = 3.75  # of four GPUs against one
GPUS = 4
TRAINING_IMAGES = 74 * 1_281_167  # 3.1: epochs of ILSVRC-2012's training images
TRAINING_SECONDS = 2.5 * 7 * 24 * 3600  # two to three weeks for a net

# fmt: off
# (configuration, S, Q): top-1 and top-5 error, dense. Table 3 has one scale, Table 4 three.
DENSE = {
    ("A",     (256,), (256,)): (29.6, 10.4),
    ("A-LRN", (256,), (256,)): (29.7, 10.5),
    ("B",     (256,), (256,)): (28.7,  9.9),
    ("C",     (256,), (256,)): (28.1,  9.4),
    ("C",     (384,), (384,)): (28.1,  9.3),
    ("C",     JITTER, (384,)): (27.3,  8.8),
    ("D",     (256,), (256,)): (27.0,  8.8),
    ("D",     (384,), (384,)): (26.8,  8.7),
    ("D",     JITTER, (384,)): (25.6,  8.1),
    ("E",     (256,), (256,)): (27.3,  9.0),
    ("E",     (384,), (384,)): (26.9,  8.7),
    ("E",     JITTER, (384,)): (25.5,  8.0),
    ("B",     (256,), (224, 256, 288)): (28.2, 9.6),
    ("C",     (256,), (224, 256, 288)): (27.7, 9.2),
    ("C",     (384,), (352, 384, 416)): (27.8, 9.2),
    ("C",     JITTER, THREE):           (26.3, 8.2),
    ("D",     (256,), (224, 256, 288)): (26.6, 8.6),
    ("D",     (384,), (352, 384, 416)): (26.5, 8.6),
    ("D",     JITTER, THREE):           (24.8, 7.5),
    ("E",     (256,), (224, 256, 288)): (26.9, 8.7),
    ("E",     (384,), (352, 384, 416)): (26.7, 8.6),
    ("E",     JITTER, THREE):           (24.8, 7.5),
}
# Table 5, the rest of it: S in [256, 512], Q of 256, 384 and 512.
CROPS = {
    ("D", "multi_crop"): (24.6, 7.5),
    ("D", "both"):       (24.4, 7.2),
    ("E", "multi_crop"): (24.6, 7.4),
    ("E", "both"):       (24.4, 7.1),
}
# Table 6: D and E, each as in Table 5, fused; and the seven nets of the ILSVRC submission, dense.
PAIR = {
    "dense":      (24.0, 7.1),
    "multi_crop": (23.9, 7.2),
    "both":       (23.7, 6.8),
}
SUBMISSION = (24.7, 7.5)
# fmt: on
_SEVEN = {
    ("D", (256,), (224, 256, 288)),
    ("D", (384,), (352, 384, 416)),
    ("D", JITTER, THREE),  # only its FC layers fine-tuned
    ("C", (256,), (224, 256, 288)),
    ("C", (384,), (352, 384, 416)),
    ("E", (256,), (224, 256, 288)),
    ("E", (384,), (352, 384, 416)),
}
# What makes a net the paper's, beside its configuration's name.
_AS_IN_THE_PAPER = {
    "num_classes": 1000,
    "multi_label": False,
    "width": 1.0,
    "crop": 224,
    "channels": 3,
    "head": "fc",
    "hidden_units": (4096, 4096),
    "batch_norm": False,
    "activation": "relu",
    "std": (),
}


@dataclass(frozen=True)
class Cell:
    """The paper's errors in percent, and the number of the table that prints them."""

    table: int
    top1_error: float
    top5_error: float


def difference_from_paper(architecture: Architecture, **more: Any) -> str:
    """The first field in which a net is not one of the paper's, whatever its configuration's name, as text; empty: none.

    Args:
        architecture: the net's.
        more: values of other properties that it must have, compared first.
    """
    for field, value in {**more, **_AS_IN_THE_PAPER}.items():
        if (own := getattr(architecture, field)) != value:
            return f"{field} is {own}, the paper's {value}"
    return ""


def cell(nets: Sequence[EvaluatedNet], images: int) -> Cell | str:
    """The paper's cell for these nets and their evaluations; where there is none, the reason.

    Args:
        nets: of `Posteriors`.
        images: how many they were evaluated on.
    """
    for net in nets:
        if net.split not in ("val", "test"):
            return f"the images of {net.split}, the paper's are of the validation set"
        if difference := difference_from_paper(net.architecture):
            return difference
        if not net.training_scale:
            return "S of these weights is not stated: --config=D --set=data.scale=256,512 beside them states it of the authors' D"
        if not net.flip:
            return "without mirror images"
        if net.protocol in ("multi_crop", "both") and net.grid != 5:
            return f"a grid of {net.grid}, the paper's 5"
    if images != IMAGES:
        return f"{images:,} images, the paper's {IMAGES:,}"
    # (configuration, S, Q)
    keys = [
        (net.architecture.name, tuple(dict.fromkeys(net.training_scale)), tuple(sorted(net.scales))) for net in nets
    ]
    protocols = {net.protocol for net in nets}
    protocol = protocols.pop() if len(protocols) == 1 else None
    found = None
    if len(nets) == 1 and protocol == "dense" and keys[0] in DENSE:
        found = Cell(3 if len(keys[0][2]) == 1 else 4, *DENSE[keys[0]])
    elif len(nets) == 1 and keys[0][1:] == (JITTER, THREE) and (keys[0][0], protocol) in CROPS:
        found = Cell(5, *CROPS[keys[0][0], protocol])
    elif sorted(keys) == [("D", JITTER, THREE), ("E", JITTER, THREE)] and protocol in PAIR:
        found = Cell(6, *PAIR[protocol])
    elif len(nets) == 7 and set(keys) == _SEVEN and protocol == "dense":
        found = Cell(6, *SUBMISSION)
    return found or "the paper prints none for this configuration, S, Q and protocol"
