"""results.json as rows of text: for the page, for docs/results.md and for the terminal."""

from typing import Any

TABLES = {
    "3": "Table 3: a single test scale",
    "4.1": "Section 4.1: 3x3 layers against 5x5 layers",
    "4": "Table 4: several test scales",
    "5": "Table 5: dense, multi-crop and both",
    "6": "Table 6: fusion",
    "beyond": "Beyond the paper",
}
HEADER = ["data", "net", "S", "Q", "test", "top-1 error, %", "top-5 error, %", "seeds", "paper, %"]
CLAIMS_HEADER = ["section", "claim", "data", "points", "95 % interval", "each seed", "paper", "verdict"]


def table(found: dict[str, Any], name: str) -> list[list[str]]:
    """A table of section 4 under its header; empty where the suite has none of its cells."""
    rows = [_row(cell) for cell in found["cells"] if cell["table"] == name]
    return [HEADER, *rows] if rows else []


def _row(cell: dict[str, Any]) -> list[str]:
    net = cell["note"] if cell["table"] == "beyond" else cell["net"]
    theirs = " / ".join(f"{error:.1f}" for error in cell["paper"]) if cell["paper"] else "-"
    errors = [_error(cell[f"{top}_error"], cell[f"{top}_deviation"]) for top in ("top1", "top5")]
    seeds = f"{len(cell['top1_errors'])} of {cell['seeds_planned']}"
    return [cell["data"], net, cell["S"], cell["Q"], cell["method"], *errors, seeds, theirs]


def _error(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "")


def claims(found: dict[str, Any], beyond: bool = False) -> list[list[str]]:
    """The paper's claims under their header, or the differences beyond it."""
    rows = [_claim(one) for one in found["claims"] if (one["section"] == "") == beyond]
    return [CLAIMS_HEADER, *rows] if rows else []


def _claim(one: dict[str, Any]) -> list[str]:
    measured, theirs = one["difference"], "-" if one["paper"] is None else f"{one['paper']:+.1f}"
    if measured is None:
        return [one["section"] or "-", one["text"], one["data"], "-", "-", "-", theirs, one["verdict"]]
    interval = f"{measured['low']:+.2f} to {measured['high']:+.2f}"
    seeds = ", ".join(f"{value:+.2f}" for value in measured["of_seeds"].values())
    decided = one["verdict"]
    if decided == "not decided":
        decided += f" by {measured['seeds']} seed{'s' if measured['seeds'] > 1 else ''}"
    return [
        one["section"] or "-",
        one["text"],
        one["data"],
        f"{measured['mean']:+.2f}",
        interval,
        seeds,
        theirs,
        decided,
    ]


def trainings(found: dict[str, Any]) -> list[list[str]]:
    """The nets that were trained: how far, and what they reached on their training images."""
    header = [
        "net",
        "seed",
        "epochs",
        "training loss",
        "training error, %",
        "validation error, %",
        "hours",
        "precision",
    ]
    rows = []
    for one in found["trainings"]:
        if "weights" in one:
            rows.append([one["name"], "given", "-", "-", "-", "-", "-", one["weights"]])
            continue
        numbers = [
            "-" if one[name] is None else f"{one[name]:.{digits}f}"
            for name, digits in (("loss", 3), ("top1_error", 2), ("val_top1_error", 2), ("hours", 2))
        ]
        epochs = str(one["epochs"]) + ("" if one["finished"] else ", unfinished")
        rows.append([one["name"], str(one["seed"]), epochs, *numbers, one["precision"] or "-"])
    return [header, *rows] if rows else []


def images(found: dict[str, Any]) -> list[list[str]]:
    """The sets of images: their source, how many they are, and a digest of the names."""
    rows = []
    for name, one in found["sets"].items():
        splits = [(split, one[split]) for split in ("train", "val", "test") if split in one]
        counts = ", ".join(f"{images['images']:,} {split}" for split, images in splits)
        digests = ", ".join(f"{split} {images['sha256_of_names'][:12]}" for split, images in splits)
        rows.append([name, one["about"], one["source"], counts or "-", digests or "-"])
    return [["data", "what", "source", "images", "sha256 of the names"], *rows]


def verdicts(found: dict[str, Any]) -> dict[str, int]:
    """How many claims of the paper have each verdict."""
    counted: dict[str, int] = {}
    for one in found["claims"]:
        if one["section"] and one["verdict"]:
            short = one["verdict"].partition(":")[0]
            counted[short] = counted.get(short, 0) + 1
    return counted


def hours(found: dict[str, Any]) -> float:
    """Of the epochs of all runs."""
    return sum(one.get("hours", 0.0) for one in found["trainings"])


def markdown(rows: list[list[str]]) -> str:
    """Rows under their header as a table of Markdown."""
    head, *rest = [
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |" for row in rows
    ]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])
