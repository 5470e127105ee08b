"""The suites as data: the paper's numbers in the right cells, what a table needs, and what the flags refuse."""

import json
from pathlib import Path

import pytest

from vgg_keras.errors import UserError
from vgg_keras.reproduction import suites
from vgg_keras.reproduction.options import Options, suite_of

PAPER = Path(__file__).parent / "tables.json"


def options(**flags):
    return Options(
        **{"suite": "small", "data": (), "weights": (), "only": (), "jobs": 1, "dry_run": True, "out": "x"} | flags
    )


def test_imagenet_suite_has_every_cell_of_the_papers_tables():
    """Against the paper's tables as a person typed them from the PDF; `evaluation/paper.py` was typed by another."""
    suite, tables = suites.of("imagenet", {}), json.loads(PAPER.read_text())

    def printed(rows):
        return sorted((row["top1"], row["top5"]) for row in rows)

    def made(table):
        return sorted(cell.paper for cell in suite.cells if cell.table == table)

    assert made("3") == printed(tables["table3_single_scale"])
    assert made("4") == printed(tables["table4_multi_scale"])
    assert made("5") == printed(tables["table5_dense_versus_crops_S256_512_Q256_384_512"])
    assert made("6") == printed(tables["table6_fusion"])
    for row in tables["table3_single_scale"]:  # each with its net, S and Q
        scale = row["S"] if isinstance(row["S"], list) else [row["S"]]
        (cell,) = [
            cell
            for cell in suite.cells
            if cell.table == "3"
            and suite.training(cell.parts[0].training).net == row["config"]
            and suite.training(cell.parts[0].training).scale == "-".join(map(str, scale))
        ]
        assert (cell.paper, cell.parts[0].scales) == ((row["top1"], row["top5"]), (row["Q"],))


def test_imagenet_plan_is_3_1s_chain():
    suite = suites.of("imagenet", {})
    of = {name: suite.training(f"imagenet/{name}") for name in ("E-small", "E-large", "E-jitter", "D-jitter_fc")}
    assert [one.start for one in of.values()] == [
        "imagenet/A-small",
        "imagenet/E-small",
        "imagenet/E-large",
        "imagenet/D-large",
    ]
    small, large, jitter, fc = (one.configuration("imagenet2012", 0) for one in of.values())
    assert [one.training_scale for one in (small, large, jitter, fc)] == [(256,), (384,), (256, 512), (256, 512)]
    assert [one.training.learning_rate for one in (small, large, jitter)] == [1e-2, 1e-3, 1e-3]
    assert large.training.weight_decay == pytest.approx(small.training.weight_decay / 10)
    assert (fc.training.layers, small.stages) == ("fc", ())


def test_small_suites_chain_and_crops_fit_its_sides():
    suite = suites.of("small", {})
    for training in suite.trainings:
        config = training.configuration("digits", 0)
        for protocol, sides in suite.passes(training.name).items():
            assert min(sides) >= config.architecture.crop, (training.name, protocol)
    assert suite.passes("photographs/D-jitter") == {"dense": (128, 192, 256), "multi_crop": (128, 192, 256)}
    assert len(suite.trainings[0].seeds) >= 3


def test_a_table_keeps_what_its_nets_start_from():
    suite = suite_of(options(only=("table5",), data=("photographs=tests",)))
    assert [one.name for one in suite.trainings] == [
        "photographs/A-small",
        *(f"photographs/{net}-{kind}" for kind in ("small", "large", "jitter") for net in "DE"),
    ]
    assert {claim.section for claim in suite.claims} == {"4.3"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"suite": "smal"}, r"--suite takes small, smoke, imagenet\. Received: 'smal'\. Did you mean 'small'\?"),
        ({"only": ("table7",), "suite": "smoke"}, r"--only names tables of the suite\. Received: 'table7'\."),
        (
            {"data": ("tests",)},
            r"several sets: --data=cifar10=SOURCE and --data=photographs=SOURCE\. Received: --data=tests",
        ),
        ({"data": ("cifar10=./none",)}, r"'\./none', which is no folder.*--data=cifar10=SOURCE"),
        (
            {"suite": "smoke", "weights": ("imagenet",)},
            r"--weights belongs to --suite=imagenet\. Received: --suite=smoke",
        ),
        ({"suite": "imagenet", "weights": ("A=a.h5",)}, r"--weights gives nets of Tables 3 to 6.*Received: 'A'"),
        (
            {"suite": "imagenet", "weights": ("a.h5",)},
            r"--weights takes D=FILE, E=FILE or imagenet\. Received: 'a\.h5'",
        ),
        ({"settings": ("training.epochs=1",)}, r"design of a suite is fixed\. Received: --set=training\.epochs"),
        (
            {"settings": ("runtime.precision=float32",)},
            r"design of a suite is fixed\. Received: --set=runtime\.precision",
        ),
    ],
)
def test_flags_that_a_suite_does_not_take_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        suite_of(options(**flags))
