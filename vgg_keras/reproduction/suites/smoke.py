"""`smoke`: every table on the digits in minutes, to try the machinery."""

from vgg_keras.reproduction.suite import Claim, DataSet, Suite, Training
from vgg_keras.reproduction.tables import Scales, Tables

SEEDS = (0, 1)
TABLES = Tables("digits", Scales(small=36, large=40, jitter=(32, 64), step=4), single="center")


def suite() -> Suite:
    """Two seeds, and the fewest nets that fill a cell of every table."""

    def training(net: str, kind: str, *settings: str, start: str = "") -> Training:
        settings = (f"architecture.name={net}", *settings)
        start = TABLES.training(net, start) if start else ""
        return Training(TABLES.training(net, kind), "digits", "section4_digits", settings, SEEDS, start)

    jitter = "data.scale=32,64"
    return Suite(
        name="smoke",
        title="A trial of section 4 on digits",
        about=(
            "A trial of the machinery on 8x8 digits: the nets are tiny and hardly trained, so their errors mean little.",
        ),
        sets=(DataSet("digits", "digits", "scikit-learn's 1,797 digits of 8x8 pixels"),),
        trainings=(
            *(training(net, "small") for net in ("B", "B-5x5", "D")),
            training("D", "jitter", jitter, start="small"),
            training("E", "jitter", jitter),
        ),
        cells=(
            *(TABLES.table3(net, "small") for net in "BD"),
            TABLES.table3("D", "jitter"),
            TABLES.table4("D", "jitter"),
            *(TABLES.table5("D", protocol) for protocol in ("dense", "multi_crop", "both")),
            TABLES.table5("E", "dense"),
            TABLES.pair("dense"),
            *TABLES.control(),
        ),
        claims=(
            Claim("4.1", "depth lowers the error: D - B", *(TABLES.name("3", net, "small") for net in "DB"), "lower"),
            TABLES.control_claim(),
            *TABLES.jitter("D", ("small",)),
            *TABLES.multi_scale("D", ("jitter",)),
            *TABLES.methods("D"),
            *TABLES.fusion(("dense",), submission=False),
        ),
    )
