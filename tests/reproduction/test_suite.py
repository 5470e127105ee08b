"""The suites as data: the paper's numbers in the right cells, what a table needs, and what the flags refuse."""

import json
from pathlib import Path

import pytest

from vgg_keras.errors import UserError
from vgg_keras.reproduction import suites
from vgg_keras.reproduction.options import Options, suite_of
from vgg_keras.reproduction.tables import METHODS

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


def test_every_cell_of_the_papers_tables_4_to_6_has_its_own_number():
    """By net, S, Q and protocol, so that two numbers cannot be exchanged."""
    suite, tables = suites.of("imagenet", {}), json.loads(PAPER.read_text())
    three = (256, 384, 512)

    def key(cell):
        trainings = [suite.training(part.training) for part in cell.parts]
        (method,) = {METHODS[part.protocol] for part in cell.parts}
        scales = {(training.scale, part.scales) for training, part in zip(trainings, cell.parts, strict=True)}
        return cell.table, "+".join(training.net for training in trainings), method, frozenset(scales)

    made = {key(cell): cell.paper for cell in suite.cells if cell.table in "456"}
    expected = {}
    for row in tables["table4_multi_scale"]:
        scale = "-".join(map(str, row["S"])) if isinstance(row["S"], list) else str(row["S"])
        expected["4", row["config"], "dense", frozenset([(scale, tuple(row["Q"]))])] = row["top1"], row["top5"]
    for row in tables["table5_dense_versus_crops_S256_512_Q256_384_512"]:
        expected["5", row["config"], row["method"], frozenset([("256-512", three)])] = row["top1"], row["top5"]
    pairs = {found: paper for found, paper in made.items() if found[0] == "6" and found[1] == "D+E"}
    assert {found[2]: paper for found, paper in pairs.items()} == {
        "dense": (24.0, 7.1),
        "multi-crop": (23.9, 7.2),
        "multi-crop & dense": (23.7, 6.8),
    }
    assert all(found[3] == {("256-512", three)} for found in pairs)
    assert {found: paper for found, paper in made.items() if found[0] != "6"} == expected
    assert [paper for found, paper in made.items() if len(found[1]) > 3] == [(24.7, 7.5)]


def test_small_suite_says_what_else_differs_from_the_paper():
    suite = suites.of("small", {})
    of_cifar = [cell for cell in suite.cells if cell.data == "cifar10" and cell.table == "3"]
    assert {cell.note for cell in of_cifar} == {"centre crop; the paper's is dense"} and suite.trained_out == 0.15
    longer = [one for one in suite.claims if one.first.startswith("photographs table3")]
    assert len(longer) == 9 and all("trained longer" in one.note for one in longer)
    # the paper's two C of S=256 and S=384 have the same error
    assert {one.first.split()[2] for one in longer if one.expected is None} == {"C"}


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
    """The page is of the whole suite, so `--only` never overwrites fuller results; the jobs are these."""
    asked = options(only=("table5",), data=("photographs=tests",))  # CIFAR-10 need not be there
    assert len(suite_of(asked).cells) == len(suites.of("small", {}).cells)
    suite = suite_of(asked).only(asked.only)
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
