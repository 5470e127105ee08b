"""The paper's own suite: its numbers in the right cells, and 3.1's chain."""

import json
from pathlib import Path

import pytest

from vgg_keras.reproduction import suites
from vgg_keras.reproduction.tables import METHODS

PAPER = Path(__file__).parents[1] / "tables.json"


@pytest.mark.slow
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


def test_claims_of_the_trained_nets_say_what_else_differs():
    """As those of the small suite: a net of the chain has the epochs of its starts besides."""
    suite = suites.of("imagenet", {})
    for claim in [claim for claim in suite.claims if claim.section != "4.4"]:  # of single nets
        starts, (first, second) = [], (suite.cell(name).parts[0].training for name in (claim.first, claim.second))
        while first := suite.training(first).start:
            starts.append(first)
        assert ("trained longer" in claim.note) == (second in starts), claim
    (control,) = [claim for claim in suite.claims if "5x5" in claim.text]
    assert control.note == "B starts from net A, B-5x5 from random weights"


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
