"""Results from elsewhere: what they decide, what is still trained, and what does not fit."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.reproduction.fake_start import FakeStart, describe, options_of
from vgg_keras.errors import UserError
from vgg_keras.reproduction import hours, merging, plan, suites, tested
from vgg_keras.reproduction.hours import Pace
from vgg_keras.reproduction.job import reproduce
from vgg_keras.reproduction.options import suite_of
from vgg_keras.reproduction.suite import Cell, Part

SUITE = suite_of(options_of("unused"))
FIRST = SUITE.trainings[0].name


def run(folder, merge=(), only=(), start=None):
    """The content of results.json, and the names of the jobs that ran."""
    start = start or FakeStart()
    options = options_of(folder, merge=tuple(map(str, merge)), only=only)
    assert reproduce(suite_of(options), options, start) == 0
    return json.loads((folder / "results.json").read_text()), start.names


def test_two_machines_make_the_results_of_one(quick, tmp_path):
    whole, _ = run(tmp_path / "whole")
    first, names = run(tmp_path / "first", only=("table3",))
    second, others = run(tmp_path / "second", merge=[tmp_path / "first/results.json"])
    begun = {one["name"] for one in first["trainings"]}
    again = {name for name in others if name.endswith("_train")} & set(names)
    # what has tests that the first machine has not made, and what such a net starts from, is trained here too
    empty = {cell["name"] for cell in first["cells"] if not cell["tests"]}
    needed = {part.training for cell in SUITE.cells if cell.name in empty for part in cell.parts}
    needed |= {training.start for training in SUITE.trainings if training.name in needed}
    assert {name.rsplit("_", 2)[0].replace("_", "/") for name in again} == begun & needed
    assert begun & needed and begun - needed
    for name in ("cells", "claims", "passes", "sets"):
        assert second[name] == whole[name], name
    order = [[(one["name"], one["seed"]) for one in made["trainings"]] for made in (second, whole)]
    assert order[0] == order[1]


def test_other_images_than_a_files_are_refused_before_a_net_is_trained(quick, monkeypatch, tmp_path):
    """Its nets and those of the file would stand in one table, and after the last training the page refused them."""
    run(tmp_path / "first", only=("table3",))

    def measure(name):
        pace = Pace(240, 60, 60, 10, 1e-12, False, describe(name))
        monkeypatch.setattr(hours, "_in_a_process", lambda *_: pace)

    start, file = FakeStart(), tmp_path / "first/results.json"
    measure("other")
    words = r"first/results\.json, whose train images of digits are not those of --data: other names"
    with pytest.raises(UserError, match=words):
        run(tmp_path / "second", merge=[file], start=start)
    assert start.names == []
    measure("digits")
    run(tmp_path / "second", merge=[file])


def test_nothing_is_left_of_a_suite_that_was_finished_elsewhere(quick, tmp_path):
    whole, _ = run(tmp_path / "whole")
    copy, names = run(tmp_path / "copy", merge=[tmp_path / "whole/results.json"])
    assert names == []
    assert {name: copy[name] for name in ("cells", "claims", "trainings")} == {
        name: whole[name] for name in ("cells", "claims", "trainings")
    }


def test_the_page_names_the_images_that_a_files_nets_were_trained_on(quick, tmp_path):
    """Without --data it named the suite's own, of which no net was."""
    (tmp_path / "album").mkdir()
    options = options_of(tmp_path / "whole", data=(str(tmp_path / "album"),))
    assert reproduce(suite_of(options), options, FakeStart()) == 0
    copy, names = run(tmp_path / "copy", merge=[tmp_path / "whole/results.json"])
    album = copy["sets"]["digits"]
    assert (names, album["source"], album["about"]) == ([], str(tmp_path / "album"), "given by --data")


def test_a_net_with_a_test_that_the_file_lacks_is_trained_with_what_it_starts_from(quick, tmp_path):
    run(tmp_path / "whole")
    path = tmp_path / "whole/results.json"
    content = json.loads(path.read_text())
    training = next(one for one in SUITE.trainings if one.start)
    cell = next(cell for cell in content["cells"] if cell["name"] in cells_of(training.name))
    del cell["tests"]["1"]
    path.write_text(json.dumps(content))
    _, names = run(tmp_path / "other", merge=[path])
    trained = {name for name in names if name.endswith("_train")}
    flat = {name.replace("/", "_") + "_1_train" for name in (training.name, training.start)}
    assert flat <= trained and not any(name.endswith("_0_train") for name in trained)


def test_results_of_an_older_version_that_lacks_a_field_are_merged(quick, tmp_path):
    """Else a suite that takes days could not go on after a field was added, whose default is what it was before."""
    run(tmp_path / "whole")
    path = tmp_path / "whole/results.json"
    content = json.loads(path.read_text())
    for design in content["designs"].values():
        del design["training"]["label_smoothing"], design["evaluation"]["grid"]
    path.write_text(json.dumps(content))
    _, names = run(tmp_path / "copy", merge=[path])
    assert names == []


def test_nets_of_another_recipe_and_what_started_from_them_are_trained_again_and_no_others(quick, tmp_path, capsys):
    run(tmp_path / "whole")
    path = tmp_path / "whole/results.json"
    content = json.loads(path.read_text())
    content["designs"]["digits/D-small"]["training"]["epochs"] = 3
    path.write_text(json.dumps(content))
    capsys.readouterr()
    copy, names = run(tmp_path / "copy", merge=[path])
    trained = {name for name in names if name.endswith("_train")}
    # E too: the pair's posteriors must be of one machine
    nets = ("D-small", "D-jitter", "E-jitter")
    assert trained == {f"digits_{net}_{seed}_train" for net in nets for seed in (0, 1)}
    printed = capsys.readouterr().out
    assert "whose net digits/D-small was trained by another recipe, training.epochs: 3, now 2. Not counted: " in printed
    assert "Not counted: digits/D-small, digits/D-jitter." in printed
    assert all(list(cell["tests"]) == ["0", "1"] for cell in copy["cells"])


def cells_of(training):
    return [cell.name for cell in SUITE.cells if any(part.training == training for part in cell.parts)]


def test_a_fusion_of_nets_of_two_machines_is_trained_again(tmp_path):
    nets = [training.name for training in SUITE.trainings][:2]
    cell = Cell("6", "digits", "both", tuple(Part(net, "center", (36,)) for net in nets))
    suite = dataclasses.replace(SUITE, cells=(cell,), claims=())
    right = tested.Tested(np.zeros(3, bool), None, "ab").to_json()
    trained = [{"name": net, "seed": 0, "finished": True} for net in nets]
    content = {"cells": [{"name": "both", "images": 3, "tests": {"0": right}}], "trainings": trained}
    assert set(merging.tests([content], suite)["both"]) == {0}
    content["trainings"] = trained[:1]
    assert merging.tests([content], suite)["both"] == {}


def test_errors_over_q_are_of_nets_that_the_files_suite_trained_to_their_end():
    """As the tests are: a given net of the same name is another net, of which no cell counts either."""
    net = SUITE.trainings[0].name
    one = {"training": net, "data": "digits", "net": "B", "S": "36", "protocol": "center", "Q": 36}
    passes = [{**one, "top1_errors": {"0": 9.0, "1": 8.0}}]
    trained = [{"name": net, "seed": seed, "finished": seed == 0} for seed in (0, 1)]
    given = [{"name": net, "seed": 0, "finished": True, "weights": "imagenet"}]
    assert merging.passes([{"trainings": given, "passes": passes}], [], SUITE) == []
    (found,) = merging.passes([{"trainings": trained, "passes": passes}], [], SUITE)
    assert found == {**one, "top1_errors": {"0": 9.0}}


@pytest.mark.parametrize(
    ("change", "received"),
    [
        (lambda content: content.update(suite="small"), "of the suite 'small', not smoke"),
        (lambda content: content.pop("cells"), "which is none, or an older version's"),
        (lambda content: content.pop("passes"), "which is none, or an older version's"),
        (lambda content: content["cells"][0]["tests"]["0"].update(wrong="AA=="), "which is none, or an older"),
        (lambda content: content["cells"][0]["tests"]["0"].update(top5_error="5 %"), "which is none, or an older"),
        # without these the page ended in a traceback, after the last training
        (lambda content: content["trainings"][0].pop("epochs"), "which is none, or an older version's"),
        (lambda content: content["trainings"][0]["hardware"].pop("devices"), "which is none, or an older version's"),
        (lambda content: content["sets"]["digits"]["val"].pop("images"), "which is none, or an older version's"),
        (lambda content: content["passes"][0].pop("Q"), "which is none, or an older version's"),
        (lambda content: content.pop("designs"), "which is none, or an older version's"),
        (
            lambda content: [design["architecture"].update(width=0.5) for design in content["designs"].values()],
            f"whose net {FIRST} was trained by another recipe, architecture.width: 0.5, now ",
        ),
        (
            lambda content: [design.update(start="A") for design in content["designs"].values()],
            f"whose net {FIRST} was trained by another recipe, start: 'A', now ''",
        ),
        (
            lambda content: [design["architecture"].update(depth=20) for design in content["designs"].values()],
            f"whose net {FIRST} has another version's recipe. A configuration holds known fields only",
        ),
        (
            lambda content: content["sets"]["digits"]["train"].update(sha256_of_names="other"),
            "whose train images of digits are not those of this folder: other names",
        ),
        (
            lambda content: content["sets"]["digits"]["val"].update(sha256_of_contents="other"),
            "whose val images of digits are not those of this folder: other contents",
        ),
    ],
)
def test_results_that_do_not_fit_get_one_line_before_anything_runs(quick, tmp_path, change, received):
    content, _ = run(tmp_path / "out", only=("table3",))
    change(content)
    (tmp_path / "other.json").write_text(json.dumps(content))
    start = FakeStart()
    with pytest.raises(UserError, match=f"--merge takes results.json files .* {received}"):
        run(tmp_path / "out", merge=[tmp_path / "other.json"], start=start)
    assert start.names == []


def test_the_committed_results_are_of_the_suite_as_it_is(tmp_path):
    """Else a machine could not go on from them, and days of training would be lost unseen."""
    suite = suites.of("small", {})
    path = Path(__file__).parents[2] / "docs/results/small.json"
    runs = plan.runs_of(suite, tmp_path)
    (content,) = merging.read([path], suite, runs)
    known = merging.tests([content], suite)
    cells = [name for name, tests in known.items() if len(tests) == 3]
    print(f"{len(cells)} cells with three seeds")
    assert "cifar10 table4.1 B random" in cells
    left = {run.training.name for run in merging.needed(runs, suite, [content])}
    assert "cifar10/B-random" not in left


def test_a_file_of_results_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="missing.json: No such file"):
        merging.read([tmp_path / "missing.json"], SUITE, [])
