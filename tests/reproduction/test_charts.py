"""The charts: what is drawn is what results.json holds, and nothing where it does not suffice."""

import numpy as np
import pytest

from vgg_keras.reproduction import charts


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A function of results.json's content that returns the lines of each chart, by the file and the panel's title."""

    def lines(found):
        kept = {}

        def save(figure, path, **_):
            assert figure.get_suptitle().startswith("set: ")  # the set's name: a picture is shown by itself, too
            for axes in figure.axes:
                solid = [line for line in axes.get_lines() if line.get_linestyle() != "None"]
                seeds = [line.get_ydata() for line in axes.get_lines() if line.get_linestyle() == "None"]
                of_panel = {line.get_label(): [line.get_xdata(), line.get_ydata()] for line in solid}
                kept[path.name, axes.get_title()] = of_panel, [value for ys in seeds for value in ys]
            charts.plots.pyplot().close(figure)

        monkeypatch.setattr(charts.plots, "save", save)
        titles = charts.draw({"trainings": []} | found, tmp_path)
        assert {name for name, _ in kept} == set(titles)
        return kept

    return lines


def cell(table, net, kind, errors, paper, method="dense"):
    top1 = sum(errors) / len(errors) if errors else None
    scale = {"small": "36", "jitter": "32-40"}[kind]
    name = f"set table{table} {net} {kind}"
    known = {"data": "set", "table": table, "net": net, "name": name, "method": method, "S": scale, "paper": paper}
    return known | {"top1_errors": {str(seed): error for seed, error in enumerate(errors)}, "top1_error": top1}


CLAIMS = [{"data": "set", "of_depth": False}, {"data": "set", "of_depth": True}]
HERE = "here, every seed and their mean"
PAPER = "the paper, ILSVRC-2012"


def test_error_against_depth(drawn):
    """In the order of the layers, whatever that of the cells; a net without runs, and a kind of one net, make no point."""
    cells = [
        cell("3", "D", "small", [8.0, 10.0], [27.0, 8.8]),
        cell("3", "A", "small", [12.0, 14.0], [29.6, 10.4]),
        cell("3", "E", "small", [], [27.3, 9.0]),
        cell("3", "D", "jitter", [7.0], [25.6, 8.1]),
        cell("4", "A", "small", [1.0], [28.0, 9.0]),
    ]
    found = drawn({"sets": {"set": {}, "other": {}}, "cells": cells, "passes": [], "claims": CLAIMS})
    assert {name for name, _ in found} == {"set_depth.png"}
    # where no claim is on depth, as of the small suite's photographs, the nets may differ by their epochs too
    for claims in (CLAIMS[:1], [{"data": "other", "of_depth": True}]):
        assert drawn({"sets": {"set": {}, "other": {}}, "cells": cells, "passes": [], "claims": claims}) == {}
    lines, seeds = found["set_depth.png", HERE]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {"S=36": [[0, 4], [13.0, 9.0]]}
    assert sorted(seeds) == [8.0, 10.0, 12.0, 14.0]
    lines, _ = found["set_depth.png", PAPER]
    assert list(lines["S=256"][1]) == [29.6, 27.0]


def test_a_net_with_normalisation_is_a_point_beside_the_line_of_depth(drawn):
    nets = (("A", 12.0), ("A-LRN", 5.0), ("B", 10.0))
    cells = [cell("3", net, "small", [error], [29.6, 10.4]) for net, error in nets]
    found = drawn({"sets": {"set": {}}, "cells": cells, "passes": [], "claims": CLAIMS})
    lines, points = found["set_depth.png", "here, seed 0 alone"]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {"S=36": [[0, 2], [12.0, 10.0]]}
    assert points.count(5.0) == 2  # its mean and its seed


def test_lines_are_means_over_the_seeds_that_all_nets_have(drawn):
    """Of A with three seeds and E with one the line would go from the mean of three to one: from seeds, not from depth."""

    def depth(of_a, of_e):
        cells = [cell("3", "A", "small", [], [29.6, 10.4]), cell("3", "E", "small", [], [27.3, 9.0])]
        for one, errors in zip(cells, (of_a, of_e), strict=True):
            one["top1_errors"] = errors
        found = drawn({"sets": {"set": {}}, "cells": cells, "passes": [], "claims": CLAIMS})
        ((title, panel),) = [(title, panel) for (_, title), panel in found.items() if title.startswith("here")]
        return title.removeprefix("here, "), list(panel[0]["S=36"][1]), len(panel[1])

    of_a = {"0": 12.0, "1": 16.0, "2": 14.0}
    assert depth(of_a, {"1": 9.0}) == ("every seed; lines: seed 1", [16.0, 9.0], 4)
    assert depth(of_a, {"2": 10.0, "0": 8.0}) == ("every seed; lines: mean of seeds 0, 2", [13.0, 9.0], 5)
    assert depth({"0": 12.0}, {"0": 8.0}) == ("seed 0 alone", [12.0, 8.0], 2)
    title, means, count = depth({"0": 12.0}, {"1": 8.0})
    assert title == "every seed; none is of all points" and np.isnan(means).all() and count == 2


def test_a_chart_of_earlier_results_is_removed_and_no_other_picture(tmp_path):
    for name in ("set_depth.png", "cat.png"):
        (tmp_path / name).touch()
    assert (
        charts.draw({"sets": {"set": {}}, "cells": [], "passes": [], "claims": CLAIMS, "trainings": []}, tmp_path) == {}
    )
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def test_error_against_q(drawn):
    """Of each net a panel; a training that is neither small, large nor jitter is left out."""

    def one(net, kind, scale, side, *errors, protocol="dense"):
        known = {
            "training": f"set/{net}-{kind}",
            "data": "set",
            "net": net,
            "S": scale,
            "protocol": protocol,
            "Q": side,
        }
        return known | {"top1_errors": {str(seed): error for seed, error in enumerate(errors)}}

    passes = [
        one("D", "small", "36", 32, 9.0, 11.0),
        one("D", "small", "36", 36, 8.0),
        one("D", "jitter", "32-40", 32, 7.0),
        one("D", "jitter_fc", "32-40", 32, 50.0),
        one("D", "small", "36", 40, 60.0, protocol="multi_crop"),
        one("E", "small", "36", 32, 5.0),  # one pass is no curve
    ]
    found = drawn({"sets": {"set": {}}, "cells": [], "passes": passes, "claims": CLAIMS})
    title = "D, dense, every seed; lines: seed 0"
    assert set(found) == {("set_scales.png", title)}
    lines, seeds = found["set_scales.png", title]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {
        "S=36": [[32, 36], [9.0, 8.0]],
        "S in [32, 40]": [[32], [7.0]],
    }
    assert sorted(seeds) == [7.0, 8.0, 9.0, 11.0]


def test_dense_against_crops(drawn):
    """A method without runs is left out of a net's line, not drawn as another one's error."""
    cells = [
        cell("5", "D", "jitter", [8.0], [24.8, 7.5], "dense"),
        cell("5", "D", "jitter", [6.0, 8.0], [24.4, 7.2], "multi-crop & dense"),
        cell("6", "D + E", "jitter", [5.0], [23.9, 7.2], "multi-crop"),
        cell("6", "C + D", "jitter", [4.0], [24.7, 7.5], "dense"),
    ]
    found = drawn({"sets": {"set": {}}, "cells": cells, "passes": [], "claims": CLAIMS})
    lines, _ = found["set_methods.png", "here, every seed; lines: seed 0"]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {
        "D": [[0, 2], [8.0, 6.0]],
        "D + E": [[1], [5.0]],
    }
    lines, _ = found["set_methods.png", PAPER]
    assert list(lines["D"][1]) == [24.8, 24.4]
    assert drawn({"sets": {"set": {}}, "cells": cells[:1], "passes": [], "claims": CLAIMS}) == {}


def test_given_nets_have_no_seed(drawn):
    cells = [cell("5", "D", "jitter", [8.0], [24.8, 7.5], method) for method in ("dense", "multi-crop")]
    one = {"training": "set/D-jitter", "data": "set", "net": "D", "S": "32-40", "protocol": "dense"}
    passes = [one | {"Q": side, "top1_errors": {"0": 8.0}} for side in (32, 36)]
    given = [{"name": "set/D-jitter", "seed": 0, "weights": "d.h5", "finished": True}]
    found = {"sets": {"set": {}}, "cells": cells, "passes": passes, "claims": []}
    titles = {title for _, title in drawn(found | {"trainings": given})}
    assert titles == {"D, dense, given", "here, given nets", PAPER}
