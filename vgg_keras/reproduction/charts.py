"""The page's charts, from results.json alone: error against depth, error against Q, and dense against crops."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import plots

LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}  # with weights
COLORS = {"A": "tab:gray", "B": "tab:brown", "C": "tab:green", "D": "tab:blue", "E": "tab:red"}
KINDS = {"small": ("tab:blue", "o"), "large": ("tab:green", "s"), "jitter": ("tab:orange", "^")}


def draw(found: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draws what the results suffice for into `folder`; returns the titles by the names of the files.

    Args:
        found: of results.json.
        folder: for the pictures.
    """
    drawn: dict[str, str] = {}

    def save(name: str, title: str, figure: Any) -> None:
        if figure is not None:
            plots.save(figure, folder / name, dpi=90)
            drawn[name] = title

    for data in found["sets"]:
        cells = [cell for cell in found["cells"] if cell["data"] == data and cell["top1_errors"]]
        save(f"{data}_depth.png", f"{data}: error against depth", _depth(cells))
        save(f"{data}_scales.png", f"{data}: error against Q, for fixed S and for jitter", _scales(found, data))
        save(f"{data}_methods.png", f"{data}: dense against crops", _methods(cells))
    return drawn


def _depth(cells: list[dict[str, Any]]) -> Any | None:
    """Table 3 at the smallest S and with jitter: every seed, their mean, and the paper's."""
    by_kind = {kind: [c for c in cells if c["table"] == "3" and c["name"].endswith(f" {kind}")] for kind in KINDS}
    by_kind = {kind: sorted(found, key=_place) for kind, found in by_kind.items() if len(found) > 1}
    if not by_kind:
        return None
    figure, (here, theirs) = plots.pyplot().subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for kind, found in by_kind.items():
        color, marker = KINDS[kind]
        label = f"S={found[0]['S']}" if kind != "jitter" else f"S in [{found[0]['S'].replace('-', ', ')}]"
        x = [_place(cell) for cell in found]
        here.plot(x, [cell["top1_error"] for cell in found], marker=marker, color=color, label=label)
        for place, cell in zip(x, found, strict=True):
            errors = list(cell["top1_errors"].values())
            here.plot([place] * len(errors), errors, ".", color=color, alpha=0.5)
        label = {"small": "S=256", "large": "S=384", "jitter": "S in [256, 512]"}[kind]
        theirs.plot(x, [cell["paper"][0] for cell in found], marker=marker, color=color, label=label)
    nets = sorted({cell["net"] for found in by_kind.values() for cell in found}, key=lambda net: _place({"net": net}))
    for axes, title in ((here, "here, every seed and their mean"), (theirs, "the paper, ILSVRC-2012")):
        names = [f"{net}\n{LAYERS[net]}" for net in nets]
        axes.set_xticks([_place({"net": net}) for net in nets], names)
        _label(axes, "net and its weight layers", title)
    return figure


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
        1, len(nets), figsize=(4 * len(nets) + 1, 4.2), squeeze=False, layout="constrained"
    )
    low = min(min(one["top1_errors"].values()) for one in passes if one["net"] in nets)
    high = max(max(one["top1_errors"].values()) for one in passes if one["net"] in nets)
    margin = 0.05 * (high - low) + 0.2
    for axes, net in zip(panels[0], nets, strict=True):
        for training in dict.fromkeys(one["training"] for one in passes if one["net"] == net):
            kind = training.rpartition("-")[2]
            color, marker = KINDS[kind]
            own = [one for one in passes if one["training"] == training]
            label = f"S={own[0]['S']}" if kind != "jitter" else f"S in [{own[0]['S'].replace('-', ', ')}]"
            means = [statistics.fmean(one["top1_errors"].values()) for one in own]
            axes.plot([one["Q"] for one in own], means, marker=marker, color=color, label=label)
            for one in own:
                errors = list(one["top1_errors"].values())
                axes.plot([one["Q"]] * len(errors), errors, ".", color=color, alpha=0.4)
        axes.set_ylim(low - margin, high + margin)
        _label(axes, "Q, pixels", f"{net}, dense")
    return figure


def _methods(cells: list[dict[str, Any]]) -> Any | None:
    """Table 5 and the pair of Table 6: the three methods of each net, and the paper's."""
    found = [cell for cell in cells if cell["table"] == "5" or (cell["table"] == "6" and cell["net"] == "D + E")]
    nets = list(dict.fromkeys(cell["net"] for cell in found))
    methods = ("dense", "multi-crop", "multi-crop & dense")
    if len({cell["method"] for cell in found}) < 2:
        return None
    figure, panels = plots.pyplot().subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    of_here: Callable = lambda cell: cell["top1_error"]  # noqa: E731
    of_paper: Callable = lambda cell: cell["paper"][0]  # noqa: E731
    colors = {**COLORS, "D + E": "tab:purple"}
    for axes, value, title in (
        (panels[0], of_here, "here, every seed and their mean"),
        (panels[1], of_paper, "the paper, ILSVRC-2012"),
    ):
        for net in nets:
            own = {cell["method"]: cell for cell in found if cell["net"] == net}
            x = [place for place, method in enumerate(methods) if method in own]
            own = [own[methods[place]] for place in x]
            style = "o--" if net == "E" else "o-"  # the paper's D and E are equal
            axes.plot(x, [value(cell) for cell in own], style, color=colors[net], label=net)
            if value is of_here:
                for place, cell in zip(x, own, strict=True):
                    errors = list(cell["top1_errors"].values())
                    axes.plot([place] * len(errors), errors, ".", color=colors[net], alpha=0.4)
        axes.set_xticks(range(len(methods)), methods)
        axes.set_xlim(-0.3, len(methods) - 0.7)
        _label(axes, "", title)
    return figure


def _label(axes: Any, x: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel("top-1 error, %")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
