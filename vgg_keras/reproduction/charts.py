"""The page's charts, from results.json alone: error against depth, error against Q, and dense against crops.

The lines of a panel are means over the seeds that all of its points have, and its title names these seeds where others are
there too: means over different seeds would differ by the seeds as well as by the nets. Every seed is a small dot. Given nets have
no seed, and the title says so.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import plots
from vgg_keras.reproduction.wording import of_given_nets

LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # with weights
COLORS = {"A": "tab:gray", "B": "tab:brown", "C": "tab:green", "D": "tab:blue", "E": "tab:red"}
KINDS = {"small": ("tab:blue", "o"), "large": ("tab:green", "s"), "jitter": ("tab:orange", "^")}


def draw(found: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draws what the results suffice for into `folder`; returns the titles by the names of the files.

    Args:
        found: of results.json.
        folder: for the pictures; one of earlier results that is not drawn again is removed.
    """
    drawn: dict[str, str] = {}

    def save(name: str, title: str, figure: Any) -> None:
        if figure is None:
            (folder / name).unlink(missing_ok=True)
            return
        figure.suptitle(title, fontsize=11)  # a picture is shown by itself, too
        plots.save(figure, folder / name, dpi=90)
        drawn[name] = title

    for data in found["sets"]:
        cells = [cell for cell in found["cells"] if cell["data"] == data and cell["top1_errors"]]
        # nets without a claim on depth may differ by their epochs too
        comparable = any(claim["data"] == data and claim["of_depth"] for claim in found["claims"])
        save(f"{data}_depth.png", f"{data}: error against depth", _depth(cells) if comparable else None)
        save(f"{data}_scales.png", f"{data}: error against Q, for fixed S and for jitter", _scales(found, data))
        save(f"{data}_methods.png", f"{data}: dense against crops", _methods(cells, of_given_nets(found)))
    return drawn


def _common_seeds(points: Sequence[dict[str, Any]]) -> tuple[list[str], str]:
    """The seeds that all of these cells or passes have, and how a title names them."""
    every = sorted({seed for one in points for seed in one["top1_errors"]}, key=int)
    common = [seed for seed in every if all(seed in one["top1_errors"] for one in points)]
    if len(common) == len(every):
        return common, "every seed and their mean" if len(every) > 1 else f"seed {every[0]} alone"
    if not common:
        return common, "every seed; none is of all points"
    return common, f"every seed; lines: {'mean of seeds' if len(common) > 1 else 'seed'} {', '.join(common)}"


def _mean(one: dict[str, Any], seeds: Sequence[str]) -> float:
    return statistics.fmean(one["top1_errors"][seed] for seed in seeds) if seeds else math.nan


def _depth(cells: list[dict[str, Any]]) -> Any | None:
    """Table 3, a line for each S: every seed, their mean, and the paper's."""
    by_kind = {kind: [c for c in cells if c["table"] == "3" and c["name"].endswith(f" {kind}")] for kind in KINDS}
    by_kind = {kind: sorted(found, key=_place) for kind, found in by_kind.items() if len(found) > 1}
    if not by_kind:
        return None
    seeds, which = _common_seeds([cell for found in by_kind.values() for cell in found])
    figure, (here, theirs) = plots.pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for kind, found in by_kind.items():
        color, marker = KINDS[kind]
        label = f"S={found[0]['S']}" if kind != "jitter" else f"S in [{found[0]['S'].replace('-', ', ')}]"
        _over_depth(here, found, lambda cell: _mean(cell, seeds), marker=marker, color=color, label=label)
        for cell in found:
            errors = list(cell["top1_errors"].values())
            here.plot([_place(cell)] * len(errors), errors, ".", color=color, alpha=0.5)
        label = {"small": "S=256", "large": "S=384", "jitter": "S in [256, 512]"}[kind]
        _over_depth(theirs, found, lambda cell: cell["paper"][0], marker=marker, color=color, label=label)
    nets = sorted({cell["net"] for found in by_kind.values() for cell in found}, key=lambda net: _place({"net": net}))
    for axes, title in ((here, f"here, {which}"), (theirs, "the paper, ILSVRC-2012")):
        names = [f"{net}\n{LAYERS[net]}" for net in nets]
        axes.set_xticks([_place({"net": net}) for net in nets], names)
        _label(axes, "net and its weight layers", title)
        axes.legend()
    return figure


def _over_depth(axes: Any, cells: list[dict[str, Any]], value: Callable, **style: Any) -> None:
    """A line of errors; that of A-LRN is a point beside it, since normalisation is no depth."""
    parts = [[cell for cell in cells if (cell["net"] == "A-LRN") == is_beside] for is_beside in (False, True)]
    for part, more in zip(parts, ({}, {"linestyle": "", "label": None}), strict=True):
        axes.plot([_place(cell) for cell in part], [value(cell) for cell in part], **style | more)


def _place(cell: dict[str, Any]) -> float:
    """Along the axis: C and D both have 16 layers, A-LRN as many as A."""
    return list(LAYERS).index(cell["net"])


def _scales(found: dict[str, Any], data: str) -> Any | None:
    """Dense at each Q, of each net trained at a fixed S and with jitter."""
    passes = [one for one in found["passes"] if one["data"] == data and one["protocol"] == "dense"]
    # without others, such as D with its FC layers alone fine-tuned
    passes = [one for one in passes if one["training"].rpartition("-")[2] in KINDS]
    nets = [net for net in LAYERS if sum(one["net"] == net for one in passes) > 1]
    if not nets:
        return None
    figure, panels = plots.pyplot().subplots(
        1, len(nets), figsize=(4 * len(nets) + 1, 4.4), squeeze=False, layout="constrained"
    )
    low = min(min(one["top1_errors"].values()) for one in passes if one["net"] in nets)
    high = max(max(one["top1_errors"].values()) for one in passes if one["net"] in nets)
    margin = 0.05 * (high - low) + 0.2
    lines: dict[str, Any] = {}  # by their labels: one legend beside the panels, whose points it would hide
    for axes, net in zip(panels[0], nets, strict=True):
        of_net = [one for one in passes if one["net"] == net]
        seeds, which = _common_seeds(of_net)
        which = "given" if of_given_nets(found) else which
        for training in dict.fromkeys(one["training"] for one in of_net):
            kind = training.rpartition("-")[2]
            color, marker = KINDS[kind]
            own = [one for one in of_net if one["training"] == training]
            label = f"S={own[0]['S']}" if kind != "jitter" else f"S in [{own[0]['S'].replace('-', ', ')}]"
            means = [_mean(one, seeds) for one in own]
            lines[label] = axes.plot([one["Q"] for one in own], means, marker=marker, color=color, label=label)[0]
            for one in own:
                errors = list(one["top1_errors"].values())
                axes.plot([one["Q"]] * len(errors), errors, ".", color=color, alpha=0.4)
        axes.set_ylim(low - margin, high + margin)
        _label(axes, "Q, pixels", f"{net}, dense, {which}")
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(lines))
    return figure


def _methods(cells: list[dict[str, Any]], given: bool) -> Any | None:
    """Table 5 and the pair of Table 6: the three methods of each net, and the paper's."""
    found = [cell for cell in cells if cell["table"] == "5" or (cell["table"] == "6" and cell["net"] == "D + E")]
    nets = list(dict.fromkeys(cell["net"] for cell in found))
    methods = ("dense", "multi-crop", "multi-crop & dense")
    if len({cell["method"] for cell in found}) < 2:
        return None
    seeds, which = _common_seeds(found)
    which = "given nets" if given else which
    figure, panels = plots.pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    colors = {**COLORS, "D + E": "tab:purple"}
    for axes, ours, title in ((panels[0], True, f"here, {which}"), (panels[1], False, "the paper, ILSVRC-2012")):
        for net in nets:
            own = {cell["method"]: cell for cell in found if cell["net"] == net}
            x = [place for place, method in enumerate(methods) if method in own]
            own = [own[methods[place]] for place in x]
            style = "o--" if net == "E" else "o-"  # the paper's D and E are equal
            means = [_mean(cell, seeds) if ours else cell["paper"][0] for cell in own]
            axes.plot(x, means, style, color=colors[net], label=net)
            if ours:
                for place, cell in zip(x, own, strict=True):
                    errors = list(cell["top1_errors"].values())
                    axes.plot([place] * len(errors), errors, ".", color=colors[net], alpha=0.4)
        axes.set_xticks(range(len(methods)), methods)
        axes.set_xlim(-0.3, len(methods) - 0.7)
        _label(axes, "", title)
        axes.legend()
    return figure


def _label(axes: Any, x: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel("top-1 error, %")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
