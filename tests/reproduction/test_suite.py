"""A suite as data: what a table needs, which passes a net has, and what its parts must be."""

import pytest

from tests.reproduction.fake_start import options_of
from vgg_keras.reproduction import suites
from vgg_keras.reproduction.options import suite_of
from vgg_keras.reproduction.suite import Cell, DataSet, Part, Suite, Training


def test_a_table_keeps_what_its_nets_start_from():
    """The page is of the whole suite, so `--only` never overwrites fuller results; the jobs are these."""
    asked = options_of("x", "small", only=("table5",), data=("photographs=tests",))  # CIFAR-10 need not be there
    assert len(suite_of(asked).cells) == len(suites.of("small", {}).cells)
    suite = suite_of(asked).only(asked.only)
    assert [one.name for one in suite.trainings] == [
        "photographs/A-small",
        *(f"photographs/{net}-{kind}" for kind in ("small", "large", "jitter") for net in "DE"),
    ]
    assert {claim.section for claim in suite.claims} == {"4.3"}


def test_a_choice_beyond_the_paper_is_trained_beside_the_net_that_it_is_compared_with():
    """Else its difference would not be measured, and the choice alone says nothing."""
    whole = suites.of("small", {})
    suite = whole.only(("tablebeyond",))
    assert set(suite.claims) >= {claim for claim in whole.claims if not claim.section}
    trained = {one.name for one in suite.trainings}
    assert {"photographs/A-small", "cifar10/B-small", "cifar10/B-random", "cifar10/E-small"} < trained
    assert len(trained) == 9 and not {cell.table for cell in whole.only(("table3",)).cells} - {"3"}


def test_a_nets_passes_are_those_of_all_its_cells():
    """`both` is a dense and a multi-crop pass; a value of Q that two cells share is tested once."""
    one, other = (Training(f"set/{name}", "set", "section4_digits", (), (0,)) for name in "AB")
    cells = (
        Cell("3", "set", "one", (Part("set/A", "dense", (48,)),)),
        Cell("5", "set", "two", (Part("set/A", "both", (48, 32)), Part("set/B", "center", (36,)))),
    )
    suite = Suite("s", "S", (), (DataSet("set", "digits", ""),), (one, other), cells, ())
    assert suite.passes("set/A") == {"dense": (32, 48), "multi_crop": (32, 48)}
    assert suite.passes("set/B") == {"center": (36,)}
    assert cells[1].test_scales == "48, 32; 36" and cells[1].parts[0].passes[2:] == [
        ("multi_crop", 48),
        ("multi_crop", 32),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {
            "trainings": (Training("set/B", "set", "D", start="set/A"), Training("set/A", "set", "D"))
        },  # begins too early
        {"trainings": (Training("set/A", "set", "D"), Training("set/A", "set", "E"))},
        {"trainings": (Training("set/A", "other", "D"),)},
        {"cells": (Cell("3", "set", "one", (Part("set/E", "dense", (256,)),)),)},
    ],
)
def test_a_suite_that_cannot_be_run_is_no_suite(changes):
    cells = (Cell("3", "set", "one", (Part("set/A", "dense", (256,)),)),)
    fields = {"trainings": (Training("set/A", "set", "D"),), "cells": cells} | changes
    with pytest.raises(AssertionError):
        Suite("s", "S", (), (DataSet("set", "digits", ""),), claims=(), **fields)


def test_other_images_are_not_described_as_the_suites_own():
    suite = suites.of("small", {}).on({"photographs": "album"})
    known = {one.name: (one.source, one.about) for one in suite.sets}
    assert known["photographs"] == ("album", "given by --data") and known["cifar10"] == ("cifar10", "CIFAR-10, 32x32")
    assert suite.source(suite.training("photographs/A-small")) == "album"
