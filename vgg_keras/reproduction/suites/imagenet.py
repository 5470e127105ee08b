"""`imagenet`: the paper's own tables, from given nets or by its whole plan of trainings."""

from collections.abc import Mapping

from vgg_keras.errors import UserError
from vgg_keras.evaluation.paper import JITTER
from vgg_keras.reproduction.suite import Claim, DataSet, Suite, Training
from vgg_keras.reproduction.tables import LONGER, PAPER, Tables

TABLES = Tables("imagenet", PAPER)
IMAGES = DataSet("imagenet", "imagenet2012", "ILSVRC-2012, 1.28 million training and 50,000 validation images")
# A recipe of configs/ for each net; its chain is replaced by trainings of the suite, which share one net A.
RECIPES = {"A": "A", "A-LRN": "A_LRN", "B": "B", "B-5x5": "B_5x5", "C": "C", "D": "D", "E": "E"}
SEEDS = (0,)  # as in the paper: a net takes weeks
LATER = (
    "training.learning_rate=1e-3",
    "training.weight_decay=5e-6",
)  # 3.1: S=384 and jitter; the decay follows the rate
PROTOCOLS = ("dense", "multi_crop", "both")


def suite(weights: Mapping[str, str]) -> Suite:
    """The tests of the given nets, or the whole plan."""
    return _given(weights) if weights else _trained()


def _given(weights: Mapping[str, str]) -> Suite:
    """The authors' D and E are nets with jitter, so they fill those cells of Tables 3 to 6."""
    for net in weights:
        if net not in ("D", "E"):
            raise UserError(f"--weights gives nets of Tables 3 to 6 with jitter, D=FILE and E=FILE. Received: {net!r}.")
    nets = "".join(sorted(weights))
    cells = [table(net, "jitter") for table in (TABLES.table3, TABLES.table4) for net in nets]
    cells += [TABLES.table5(net, protocol) for net in nets for protocol in PROTOCOLS]
    claims: list[Claim] = [*TABLES.multi_scale(nets, ("jitter",)), *TABLES.methods(nets)]
    if len(nets) == 2:
        cells += [TABLES.pair(protocol) for protocol in PROTOCOLS]
        claims += TABLES.fusion(PROTOCOLS, submission=False)
    return Suite(
        name="imagenet",
        title="Section 4 on ILSVRC-2012 with given nets",
        about=("The given nets are tested as the paper tests its nets with S in [256, 512]; nothing is trained.",),
        sets=(IMAGES,),
        trainings=tuple(
            Training(
                TABLES.training(net, "jitter"),
                "imagenet",
                net,
                (f"data.scale={_text(JITTER)}",),
                SEEDS,
                "",
                weights[net],
            )
            for net in nets
        ),
        cells=tuple(cells),
        claims=tuple(claims),
    )


def _trained() -> Suite:
    """3.1: A and what has no start of its own from random weights; the others from A, at S=256, then 384, then [256, 512]."""

    def training(net: str, kind: str, start: str, *settings: str) -> Training:
        return Training(TABLES.training(net, kind), "imagenet", RECIPES[net], ("stages=", *settings), SEEDS, start)

    a = TABLES.training("A", "small")
    trainings = [training(net, "small", "") for net in ("A", "A-LRN", "B-5x5")]
    trainings += [training(net, "small", a) for net in "BCDE"]
    trainings += [
        training(net, "large", TABLES.training(net, "small"), f"data.scale={PAPER.large}", *LATER) for net in "CDE"
    ]
    jitter = (f"data.scale={_text(JITTER)}", *LATER)
    trainings += [training(net, "jitter", TABLES.training(net, "large"), *jitter) for net in "CDE"]
    trainings.append(training("D", "jitter_fc", TABLES.training("D", "large"), *jitter, "training.layers=fc"))
    kinds = ("small", "large", "jitter")
    return Suite(
        name="imagenet",
        title="Section 4 on ILSVRC-2012",
        about=(
            "The paper's whole plan: each net is trained as in 3.1, with one net A for all, and tested as in section 4.",
        ),
        sets=(IMAGES,),
        trainings=tuple(trainings),
        cells=(
            *(TABLES.table3(net, "small") for net in ("A", "A-LRN", "B", "C", "D", "E")),
            *(TABLES.table3(net, kind) for net in "CDE" for kind in kinds[1:]),
            TABLES.table4("B", "small"),
            *(TABLES.table4(net, kind) for net in "CDE" for kind in kinds),
            *(TABLES.table5(net, protocol) for net in "DE" for protocol in PROTOCOLS),
            TABLES.submission(),
            *(TABLES.pair(protocol) for protocol in PROTOCOLS),
            *TABLES.control(),
        ),
        claims=(
            *TABLES.depth(LONGER),
            TABLES.control_claim(note="B starts from net A, B-5x5 from random weights"),
            *TABLES.larger("CDE", LONGER),
            *TABLES.jitter("CDE", ("small", "large"), LONGER),
            *TABLES.multi_scale("B", ("small",)),
            *TABLES.multi_scale("CDE", kinds),
            *TABLES.jitter("CDE", ("small", "large"), LONGER, table="4"),
            *TABLES.methods("DE"),
            *TABLES.fusion(PROTOCOLS, submission=True),
        ),
    )


def _text(scale: tuple[int, ...]) -> str:
    return ",".join(map(str, scale))
