"""The charts: what is drawn is what results.json holds, and nothing where it does not suffice."""

import pytest

from vgg_keras.reproduction import charts


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A function of results.json's content that returns the lines of each chart, by the file and the panel's title."""

    def lines(found):
        kept = {}

        def save(figure, path, **_):
            for axes in figure.axes:
                solid = [line for line in axes.get_lines() if line.get_linestyle() != "None"]
                seeds = [line.get_ydata() for line in axes.get_lines() if line.get_linestyle() == "None"]
                of_panel = {line.get_label(): [line.get_xdata(), line.get_ydata()] for line in solid}
                kept[path.name, axes.get_title()] = of_panel, [value for ys in seeds for value in ys]
            charts.plots.pyplot().close(figure)

        monkeypatch.setattr(charts.plots, "save", save)
        titles = charts.draw(found, tmp_path)
        assert {name for name, _ in kept} == set(titles)
        return kept

    return lines


def cell(table, net, kind, errors, paper, method="dense"):
    top1 = sum(errors) / len(errors) if errors else None
    scale = {"small": "36", "jitter": "32-40"}[kind]
    name = f"set table{table} {net} {kind}"
    known = {"data": "set", "table": table, "net": net, "name": name, "method": method, "S": scale, "paper": paper}
    return known | {"top1_errors": {str(seed): error for seed, error in enumerate(errors)}, "top1_error": top1}


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
    found = drawn({"sets": {"set": {}, "other": {}}, "cells": cells, "passes": []})
    assert {name for name, _ in found} == {"set_depth.png"}
    lines, seeds = found["set_depth.png", HERE]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {"S=36": [[0, 4], [13.0, 9.0]]}
    assert sorted(seeds) == [8.0, 10.0, 12.0, 14.0]
    lines, _ = found["set_depth.png", PAPER]
    assert list(lines["S=256"][1]) == [29.6, 27.0]


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
    found = drawn({"sets": {"set": {}}, "cells": [], "passes": passes})
    assert set(found) == {("set_scales.png", "D, dense")}
    lines, seeds = found["set_scales.png", "D, dense"]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {
        "S=36": [[32, 36], [10.0, 8.0]],
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
    found = drawn({"sets": {"set": {}}, "cells": cells, "passes": []})
    lines, _ = found["set_methods.png", HERE]
    assert {label: [list(x), list(y)] for label, (x, y) in lines.items()} == {
        "D": [[0, 2], [8.0, 7.0]],
        "D + E": [[1], [5.0]],
    }
    lines, _ = found["set_methods.png", PAPER]
    assert list(lines["D"][1]) == [24.8, 24.4]
    assert drawn({"sets": {"set": {}}, "cells": cells[:1], "passes": []}) == {}
