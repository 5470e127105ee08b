"""Cells and claims of results.json: a mean by hand, and what decides nothing."""

import dataclasses
import json

import numpy as np

from tests.reproduction.fake_start import FakeStart, options_of
from vgg_keras.reproduction import results, suites
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of
from vgg_keras.reproduction.suite import Claim


def test_a_net_that_is_not_trained_out_decides_nothing_of_depth(quick, tmp_path):
    smoke = suite_of(options_of(tmp_path)).only(("table3",))
    names = ("digits table3 D small", "digits table3 B small")
    claims = tuple(Claim("4.1", f"of depth: {deep}", *names, "lower", of_depth=deep) for deep in (True, False))
    suite = dataclasses.replace(smoke, claims=claims, trained_out=0.15)
    for loss, expected in ((0.2, "not decided: D not trained out"), (0.1, None)):
        out = tmp_path / str(loss)
        assert reproduce(suite, options_of(out), FakeStart(loss=loss)) == 0
        deep, other = (claim["verdict"] for claim in json.loads((out / "results.json").read_text())["claims"])
        assert deep == (expected or other) and "trained out" not in other


def test_given_nets_are_within_a_tenth_of_the_papers_errors():
    cell = suites.of("imagenet", {}).cell("imagenet table4 D jitter")  # 24.8 / 7.5

    def within(top1, top5):
        return results._within(cell, [results.Tested(np.zeros(1, bool), top1, top5, "")])

    assert [within(24.9, 7.4), within(24.91, 7.5), within(24.8, 7.39), within(24.8, None)] == [
        True,
        False,
        False,
        False,
    ]
    assert results._within(cell, []) is None
