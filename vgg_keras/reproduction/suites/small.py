"""`small`: section 4 at a quarter of the width; docs/reproduce.md says why it is as it is.

The depths on CIFAR-10, with 10,000 test images; scales, crops and fusion on photographs, which are larger than the crop.
"""

import dataclasses

from vgg_keras.reproduction.suite import Cell, Claim, DataSet, Suite, Training
from vgg_keras.reproduction.tables import LONGER, Scales, Tables

SEEDS = (0, 1, 2)
CIFAR = Tables("cifar10", Scales(small=36, large=36, jitter=(32, 40), step=4), single="center")
PHOTOGRAPHS = Tables("photographs", Scales(small=128, large=192, jitter=(128, 256), step=16))
CENTER = "centre crop; the paper's is dense"
PROTOCOLS = ("dense", "multi_crop", "both")
# of photographs: with A's 60 epochs E had learned its training images less well than A; docs/reproduce.md has the pilot runs
DEEPER = ("training.epochs=120",)
# 3.1: S=384 and jitter begin at a tenth of the rate, and the decay follows it
LATER = (
    "training.learning_rate=5e-4",
    "training.weight_decay=2.5e-6",
    "training.epochs=15",
    "training.validation_epochs=5",
)


def suite() -> Suite:
    """The design; docs/reproduce.md has the pilot runs behind it."""
    beyond = _beyond()
    return Suite(
        name="small",
        title="Section 4 in small",
        about=(
            "CIFAR-10, S=36 for a crop of 32. Nets A and A-LRN start from random weights. B, C, D and E start from net A, as in "
            "3.1, and are then trained as long as it was. So they have had more epochs than A; what these alone give is measured "
            "by a net A that is trained on as long. D and E are also trained with S in [32, 40], from the same net A and as "
            "long, so that jitter is all that differs. The two nets of 4.1's control start from random weights.",
            "Photographs: the paper's chain at half of its sides. A is "
            "trained at S=128 for 60 epochs. C, D and E start from it and are trained for 120. Then they go on at S=192 and with "
            "S in [128, 256], 15 epochs each. So A's error is not comparable with theirs, and no claim compares depths there.",
            "No net has batch norm. Every schedule is fixed before, and the last net is the one that is tested.",
        ),
        sets=(
            DataSet("cifar10", "cifar10", "CIFAR-10, 32x32"),
            # with a slash, as a folder's: where there is none, nobody looks for it among TensorFlow's sets
            DataSet("photographs", "flowers17/", "17 Flowers, photographs with a smaller side of 500"),
        ),
        trainings=(*_cifar(), *_photographs(), *beyond[0]),
        cells=(*_cells(), *beyond[1]),
        claims=(*_claims(), *beyond[2]),
    )


def _of_cifar(net: str, kind: str, *settings: str, start: str = "") -> Training:
    return Training(
        CIFAR.training(net, kind), "cifar10", "section4_cifar10", (f"architecture.name={net}", *settings), SEEDS, start
    )


def _cifar() -> list[Training]:
    a, jitter = CIFAR.training("A", "small"), "data.scale=32,40"
    return [
        *(_of_cifar(net, "small") for net in ("A", "A-LRN")),
        *(_of_cifar(net, "small", start=a) for net in "BDEC"),
        # the first layers of B-5x5 cannot start from A's, so nor does B beside it
        *(_of_cifar(net, "random") for net in ("B", "B-5x5")),
        *(_of_cifar(net, "jitter", jitter, start=a) for net in "DE"),
        _of_cifar("A", "longer", start=a),
    ]


def _photographs() -> list[Training]:
    def training(net: str, kind: str, start: str, *settings: str) -> Training:
        settings = (f"architecture.name={net}", *settings)
        start = PHOTOGRAPHS.training(*start.split()) if start else ""
        return Training(PHOTOGRAPHS.training(net, kind), "photographs", "section4_photographs", settings, SEEDS, start)

    return [
        training("A", "small", ""),
        *(training(net, "small", "A small", *DEEPER) for net in "CDE"),
        *(training(net, "large", f"{net} small", "data.scale=192", *LATER) for net in "CDE"),
        *(training(net, "jitter", f"{net} large", "data.scale=128,256", *LATER) for net in "CDE"),
        # Table 6: of the submission's D only the FC layers were fine-tuned
        training("D", "jitter_fc", "D large", "data.scale=128,256", *LATER, "training.layers=fc"),
    ]


def _cells() -> list[Cell]:
    kinds = ("small", "large", "jitter")
    return [
        *(CIFAR.table3(net, "small", CENTER) for net in ("A", "A-LRN", "B", "C", "D", "E")),
        *(CIFAR.table3(net, "jitter", CENTER) for net in "DE"),
        *CIFAR.control("random"),
        PHOTOGRAPHS.table3("A", "small"),
        *(PHOTOGRAPHS.table3(net, kind) for net in "CDE" for kind in kinds),
        *(PHOTOGRAPHS.table4(net, kind) for net in "CDE" for kind in kinds),
        *(PHOTOGRAPHS.table5(net, protocol) for net in "DE" for protocol in PROTOCOLS),
        PHOTOGRAPHS.submission(),
        *(PHOTOGRAPHS.pair(protocol) for protocol in PROTOCOLS),
    ]


def _claims() -> list[Claim]:
    return [
        *CIFAR.depth(LONGER),
        CIFAR.control_claim("random"),
        *CIFAR.jitter("DE", ("small",)),
        *PHOTOGRAPHS.larger("CDE", LONGER),
        *PHOTOGRAPHS.jitter("CDE", ("small", "large"), LONGER),
        *PHOTOGRAPHS.multi_scale("CDE", ("small", "large", "jitter")),
        *PHOTOGRAPHS.jitter("CDE", ("small", "large"), LONGER, table="4"),
        *PHOTOGRAPHS.methods("DE"),
        *PHOTOGRAPHS.fusion(PROTOCOLS, submission=True),
    ]


def _beyond() -> tuple[list[Training], list[Cell], list[Claim]]:
    """What the package chose where the paper is silent or another choice is common; each beside the same net without it."""
    a = CIFAR.table3("A", "small", CENTER)
    rows = (
        # the cell beside it, what differs, text, settings
        (a, "l2", "the paper's coupled L2 instead of SGDW's decoupled decay, net A", "training.optimizer=l2"),
        (a, "bf16", "bf16 instead of float32, net A", "runtime.precision=mixed_bfloat16"),
        (
            PHOTOGRAPHS.table3("A", "small"),
            "full_jpeg",
            "full decoding of JPEG files instead of windows, net A",
            "data.jpeg_decoding=full",
        ),
    )
    trainings, cells, claims = [], [], []
    for plain, variant, text, setting in rows:
        data, name = plain.data, f"{plain.data}/A-{variant}"
        trainings.append(Training(name, data, f"section4_{data}", ("architecture.name=A", setting), SEEDS))
        part = dataclasses.replace(plain.parts[0], training=name)
        cells.append(Cell("beyond", data, f"{data} beyond A {variant}", (part,), None, text))
        claims.append(Claim("", f"{text}: with - without", cells[-1].name, plain.name, None))
    longer = dataclasses.replace(a.parts[0], training=CIFAR.training("A", "longer"))
    cells.append(
        Cell("beyond", "cifar10", "cifar10 beyond A longer", (longer,), None, "net A, trained on as long as E from it")
    )
    start = "the paper's start from net A instead of Glorot's, net B: with - without"
    b, random_b, e = CIFAR.name("3", "B", "small"), CIFAR.name("4.1", "B", "random"), CIFAR.name("3", "E", "small")
    equal = "depth at equal epochs, both from net A: E - A"
    claims.append(Claim("", start, b, random_b, None, note="the first net has the epochs of its net A besides"))
    claims.append(Claim("", equal, e, cells[-1].name, "lower", of_depth=True))
    return trainings, cells, claims
