"""Ratios of rows that are timed in turn, by hand."""

import pytest

from vgg_keras.benchmarks import rounds
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.errors import UserError


def test_ratios_are_taken_inside_a_round_and_their_median_is_reported():
    rows = [Row("ours", 10, None, 4e9), Row("theirs", 20, None, 4e9), Row("decoding", 5, None)]
    found = [{"ours": 1.0, "theirs": 2.0, "decoding": 1.0}, {"ours": 2.0, "theirs": 12.0, "decoding": 2.0}]
    found += [{"ours": 4.0, "theirs": 4.0, "decoding": 1.0}]
    ours, theirs, decoding = rounds.summary(rows, found, ("theirs", "decoding"))
    assert ours["images_per_second"] == 5 and ours["images_per_second_range"] == [2.5, 10]
    assert ours["gflops"] == 2 and decoding["gflops"] is None
    assert ours["beside"]["theirs"] == {
        "median": 2.0,
        "range": [1.0, 6.0],
        "fastest": 2.0,
    }  # of operations, which both have
    assert ours["beside"]["decoding"] == {
        "median": 2.0,
        "range": [0.5, 2.0],
        "fastest": 2.0,
    }  # of images: 2/1, 2/1, 2/4
    assert rounds.ratios(ours)["theirs"] == "2.00 (1.00-6.00), 2.00"
    assert "theirs" not in theirs["beside"]


def test_rows_are_named_by_their_beginnings():
    rows = [Row(name, 1, None) for name in ("vgg_keras", "Keras", "Keras, bf16")]
    assert [row.name for row in rounds.chosen(rows, ["Keras"])] == ["Keras", "Keras, bf16"]
    with pytest.raises(UserError, match="Received: 'keras'. There are 'vgg_keras', 'Keras'"):
        rounds.chosen(rows, ["keras"])
