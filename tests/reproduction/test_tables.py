"""Section 4's cells on other sides than the paper's: S and Q by hand, and beside each the paper's number."""

import json
from pathlib import Path

import pytest

from vgg_keras.evaluation import paper
from vgg_keras.reproduction.suite import Part
from vgg_keras.reproduction.tables import PAPER, Scales, Tables

PHOTOS = Tables("photos", Scales(small=128, large=192, jitter=(128, 256), step=16), single="center")


def test_the_sides_of_a_test_follow_from_s():
    sides = PHOTOS.scales
    assert (sides.middle, sides.three, sides.around(192)) == (192, (128, 192, 256), (176, 192, 208))
    assert (PAPER.middle, PAPER.three, PAPER.around(256)) == (384, paper.THREE, (224, 256, 288))


@pytest.mark.parametrize(
    ("cell", "training", "protocol", "scales", "printed"),
    [
        (PHOTOS.table3("A-LRN", "small"), "A-LRN-small", "center", (128,), (29.7, 10.5)),
        (PHOTOS.table3("C", "large"), "C-large", "center", (192,), (28.1, 9.3)),
        (PHOTOS.table3("E", "jitter"), "E-jitter", "center", (192,), (25.5, 8.0)),
        (PHOTOS.table3("B-5x5", "small"), "B-5x5-small", "center", (128,), None),
        (PHOTOS.table4("C", "small"), "C-small", "dense", (112, 128, 144), (27.7, 9.2)),
        (PHOTOS.table4("E", "large"), "E-large", "dense", (176, 192, 208), (26.7, 8.6)),
        (PHOTOS.table4("D", "jitter"), "D-jitter", "dense", (128, 192, 256), (24.8, 7.5)),
        (PHOTOS.table4("A", "small"), "A-small", "dense", (112, 128, 144), None),
        (PHOTOS.table5("E", "dense"), "E-jitter", "dense", (128, 192, 256), (24.8, 7.5)),
        (PHOTOS.table5("D", "multi_crop"), "D-jitter", "multi_crop", (128, 192, 256), (24.6, 7.5)),
        (PHOTOS.table5("E", "both"), "E-jitter", "both", (128, 192, 256), (24.4, 7.1)),
        (PHOTOS.control()[1], "B-5x5-small", "center", (128,), None),
    ],
)
def test_a_cell_is_the_papers_with_its_own_sides(cell, training, protocol, scales, printed):
    assert cell.parts == (Part(f"photos/{training}", protocol, scales),) and cell.data == "photos"
    assert cell.paper == printed


def test_the_submission_is_the_papers_seven_nets():
    """Each net with its own S and Q, against the table as a person typed it from the PDF."""
    tables = json.loads((Path(__file__).parent / "tables.json").read_text())
    (row,) = [row for row in tables["table6_fusion"] if len(row["nets"]) == 7]
    kinds = {"256": "small", "384": "large", "[256;512]": "jitter"}
    expected = set()
    for words in row["nets"]:
        net, training, test = words.split(" (")[0].split("/")
        kind = kinds[training] + ("_fc" if "(" in words else "")  # 4.4: only the FC layers of that D were fine-tuned
        expected.add((f"imagenet/{net}-{kind}", tuple(map(int, test.split(",")))))
    cell = Tables("imagenet", PAPER).submission()
    assert {(part.training, part.scales) for part in cell.parts} == expected and len(expected) == 7
    assert {part.protocol for part in cell.parts} == {"dense"} and cell.paper == (row["top1"], row["top5"])


def test_claims_state_the_first_cell_minus_the_second():
    assert [claim.expected for claim in PHOTOS.depth()] == ["no_gain", "lower", "lower", "lower", "lower", "equal"]
    pairs = {tuple(name.split()[2] for name in (claim.first, claim.second)) for claim in PHOTOS.depth()}
    assert pairs == {("A-LRN", "A"), ("B", "A"), ("C", "B"), ("D", "C"), ("E", "A"), ("E", "D")}
    (jitter, _) = PHOTOS.jitter("D", ("small", "large"), "trained longer")
    assert (jitter.first, jitter.second) == ("photos table3 D jitter", "photos table3 D small")
    assert (
        jitter.text == "scale jitter in training helps: D, S in [128, 256] - S=128" and jitter.note == "trained longer"
    )
    (at_three,) = PHOTOS.jitter("D", ("large",), table="4")
    assert (at_three.section, at_three.first, at_three.second) == (
        "4.2",
        "photos table4 D jitter",
        "photos table4 D large",
    )
    assert at_three.text == "scale jitter in training helps: D, three Q, S in [128, 256] - S=192"
    (three,) = PHOTOS.multi_scale("E", ("jitter",))
    assert three.text == "scale jitter in testing helps: E, S in [128, 256], three Q - one"
    assert (three.first, three.second) == ("photos table4 E jitter", "photos table3 E jitter")
    assert PHOTOS.control_claim().paper == -7.0
    fused = PHOTOS.fusion(("dense",), submission=True)
    assert [claim.second for claim in fused] == [
        "photos table5 D jitter dense",
        "photos table5 E jitter dense",
        "photos table6 seven dense",
    ]
