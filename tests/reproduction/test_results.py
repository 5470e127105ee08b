"""Cells and claims of results.json: a mean by hand, and what decides nothing."""

import dataclasses
import json
from itertools import starmap

import numpy as np
import pytest

from vgg_keras.errors import UserError
from vgg_keras.reproduction import plan, results, suites

SUITE = suites.of("smoke", {})
D_MINUS_B = SUITE.claims[0]  # of Table 3 at the small S, lower expected


def test_nothing_is_decided_against_a_deeper_net_with_the_higher_training_loss():
    deep, other = (SUITE.cell(name).parts[0].training for name in (D_MINUS_B.first, D_MINUS_B.second))

    def verdicts(of_deep, of_other, better, expected="lower", of_depth=True):
        trained = [{"name": name, "seed": 0, "loss": loss} for name, loss in ((deep, of_deep), (other, of_other))]
        claim = dataclasses.replace(D_MINUS_B, of_depth=of_depth, expected=expected)
        rows = ([[0] * 90 + [1] * 10] * 2, [[0] * 50 + [1] * 50] * 2)  # wrong: 10 and 50 of 100
        found = dict(zip((claim.first, claim.second), starmap(of_seeds, rows if better else rows[::-1]), strict=True))
        measured = results._claim(SUITE, trained, claim, found)
        assert measured["training_losses"] == [of_deep, of_other]
        return measured["verdict"]

    higher = "not decided: D has the higher training loss"
    assert verdicts(0.3, 0.2, better=False) == higher
    assert verdicts(0.3, 0.2, better=False, expected="equal") == higher
    # for it is decided although it has learned less: it is better, and its error does not saturate
    assert verdicts(0.3, 0.2, better=True) == "shown"
    assert verdicts(0.3, 0.2, better=True, expected="equal") == "contradicted"
    assert verdicts(0.2, 0.2, better=False) == verdicts(0.3, 0.2, better=False, of_depth=False) == "contradicted"


def test_given_nets_are_within_a_tenth_of_the_papers_errors():
    cell = suites.of("imagenet", {}).cell("imagenet table4 D jitter")  # 24.8 / 7.5

    def within(top1, top5, images=50_000):
        return results._within(cell, [results.Tested(np.arange(images) < images / 100 * top1, top5, "")])

    assert [within(24.9, 7.4), within(24.91, 7.5), within(24.8, 7.39), within(24.8, None)] == [
        True,
        False,
        False,
        False,
    ]
    assert results._within(cell, []) is None
    assert within(24.8, 7.5, images=10_000) is None  # a part of the paper's images, or others


def of_seeds(*rows, images="12"):
    """Seeds by number, from rows of right (0) and wrong (1) images."""
    wrong = [np.array(row, bool) for row in rows]
    return {seed: results.Tested(one, None, images) for seed, one in enumerate(wrong)}


def test_a_claim_is_the_first_cells_error_minus_the_seconds_by_hand():
    found = {
        D_MINUS_B.first: of_seeds([0, 0, 0, 1], [0, 1, 0, 0]),
        D_MINUS_B.second: of_seeds([1, 0, 0, 1], [0, 1, 1, 1]),
    }
    measured = results._claim(SUITE, [], D_MINUS_B, found)
    assert measured["difference"]["of_seeds"] == {"0": -25.0, "1": -50.0}
    assert (measured["difference"]["mean"], measured["difference"]["images"]) == (-37.5, 4)
    assert measured["paper"] == -1.7  # 27.0 - 28.7 of Table 3
    assert measured["difference"]["low"] < -37.5 < measured["difference"]["high"]
    assert measured["training_losses"] is None  # no training is known


def test_training_losses_are_of_two_nets_each_with_its_training():
    """Not of one net that is tested in two ways, nor of a fusion."""
    names = {part.training for cell in SUITE.cells for part in cell.parts}
    trained = [{"name": name, "seed": seed, "loss": 0.1 * (seed + 1)} for name in names for seed in (0, 1)]

    def losses(claim):
        found = {name: of_seeds([0, 1], [1, 1]) for name in (claim.first, claim.second)}
        return results._claim(SUITE, trained, claim, found)["training_losses"]

    assert losses(D_MINUS_B) == pytest.approx([0.15, 0.15])
    in_two_ways = [claim for claim in SUITE.claims if claim.section in ("4.3", "4.4")]
    assert in_two_ways and not any(map(losses, in_two_ways))


def test_a_claim_of_given_nets_is_not_decided_by_its_images():
    """More seeds would change nothing about them."""
    suite = suites.of("imagenet", {"D": "d.h5"})
    claim = suite.claims[0]
    found = {claim.first: of_seeds([0, 1, 0, 1]), claim.second: of_seeds([1, 0, 0, 1])}
    assert results._claim(suite, [], claim, found)["verdict"] == "not decided: 4 images"


def test_a_claim_is_of_the_seeds_that_both_nets_have():
    found = {D_MINUS_B.first: of_seeds([0, 0, 0, 1]), D_MINUS_B.second: of_seeds([1, 0, 0, 1], [0, 1, 1, 1])}
    measured = results._claim(SUITE, [], D_MINUS_B, found)
    assert measured["difference"]["of_seeds"] == {"0": -25.0} and measured["verdict"] == "not decided: 1 of 2 seeds"
    found[D_MINUS_B.first] = {}
    measured = results._claim(SUITE, [], D_MINUS_B, found)
    assert (measured["difference"], measured["verdict"]) == (None, "not measured yet")


def test_nets_that_were_tested_on_other_images_are_not_compared():
    found = {D_MINUS_B.first: of_seeds([0, 1]), D_MINUS_B.second: of_seeds([0, 1], images="34")}
    with pytest.raises(
        UserError,
        match="same images. Received: digits table3 D small and digits table3 B.* Leave out the --merge of other",
    ):
        results._claim(SUITE, [], D_MINUS_B, found)


def test_a_cell_has_its_seeds_mean_and_deviation_by_hand():
    cell = SUITE.cell(D_MINUS_B.first)
    made = results._cell(SUITE, cell, of_seeds([0, 0, 0, 1], [0, 1, 1, 1]))
    assert made["top1_errors"] == {"0": 25.0, "1": 75.0} and made["top1_error"] == 50.0
    assert made["top1_deviation"] == pytest.approx(50 / np.sqrt(2), abs=1e-4)  # n - 1 in its denominator
    assert (made["top5_error"], made["top5_deviation"], made["images"], made["within"]) == (None, None, 4, None)
    assert (made["net"], made["S"], made["Q"], made["method"]) == ("D", "36", "36", "centre crop")
    alone = results._cell(SUITE, cell, of_seeds([0, 1]))
    assert (alone["top1_error"], alone["top1_deviation"], alone["seeds_planned"]) == (50.0, None, 2)


def test_results_of_a_suite_that_has_not_begun(tmp_path):
    found = results.write(SUITE, plan.runs_of(SUITE, tmp_path), tmp_path, {})
    assert results.read(tmp_path / "results.json") == found
    assert {claim["verdict"] for claim in found["claims"]} == {"not measured yet"}
    assert {cell["top1_error"] for cell in found["cells"]} == {None}
    assert found["trainings"] == found["passes"] == [] and set(found["sets"]["digits"]) == {"about", "source"}


def test_results_of_which_no_run_is_left_are_kept(tmp_path, capsys):
    """As of runs that were removed to have their room, or of --merge, which the second command leaves out."""
    runs = plan.runs_of(SUITE, tmp_path)
    found = results.write(SUITE, runs, tmp_path, {})
    results.write(SUITE, runs, tmp_path, {})
    assert capsys.readouterr().out == "" and [path.name for path in tmp_path.iterdir()] == ["results.json"]
    found["cells"][0]["tests"] = {"0": "a test"}
    for number in (1, 2):
        (tmp_path / "results.json").write_text(json.dumps(found))
        results.write(SUITE, runs, tmp_path, {})
        kept = tmp_path / f"results-{number}.json"
        assert json.loads(kept.read_text()) == found
        assert f"1 tests of {tmp_path}/results.json are of no run here: it is kept as {kept}" in capsys.readouterr().out
