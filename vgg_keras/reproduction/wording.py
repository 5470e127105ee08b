"""results.json as rows of text: for the page, for docs/results.md and for the terminal."""

from typing import Any

from vgg_keras.reproduction.intervals import MARGIN

TABLES = {
    "3": "Table 3: a single test scale",
    "4.1": "Section 4.1: 3x3 layers against 5x5 layers",
    "4": "Table 4: several test scales",
    "5": "Table 5: dense, multi-crop and both",
    "6": "Table 6: fusion",
    "beyond": "Beyond the paper",
}
HEADER = ["data", "net", "S", "Q", "test", "top-1 error, %", "top-5 error, %", "seeds", "paper, %"]
CLAIMS_HEADER = [
    "section",
    "claim",
    "data",
    "points",
    "95 % interval",
    "mostly by",
    "each seed",
    "training losses",
    "paper",
    "verdict",
]

# How the claims are read, a paragraph each: of trained nets, and of given ones, of which no seed is chosen.
_FIRST = (
    "Each difference is the first net's top-1 error minus the second's, in points: below 0 the first net is better."
)
_MISSES = "Of many intervals of 95 %, about one in twenty misses the true difference."
_SHOWN = "A claim is shown where the interval lies on the claim's side of 0, and contradicted where it lies on the other side."
_OF_ILSVRC = "The paper's differences are of ILSVRC-2012."
_OF_TRAINED = (
    f"{_FIRST} The interval takes both the seeds and the images as samples. {_MISSES} "
    '"Mostly by" is the largest part of the interval\'s variance: the choice of seeds, the choice of images, or the rest, which '
    "is chance in single answers.",
    f'{_SHOWN} "No gain" is shown where the interval excludes a gain of {MARGIN} points or more, and contradicted where all of '
    f'it is such a gain. "Saturates" is shown where the interval lies within -{MARGIN} and {MARGIN}, and contradicted where '
    "all of it is below or above. "
    "Where a deeper net, or D beside C, has the higher training loss, nothing is decided against it. With one seed the "
    "interval is over images alone and too narrow. Where the verdict is -, the paper's two errors are equal or not printed, "
    f"and the difference alone is stated. {_OF_ILSVRC}",
    "The training losses are the first net's and the second's, of the last epoch, means over the seeds. Where the worse net has "
    "the higher one, it may only be trained too little. Of one net tested in two ways, and of fusions, there is -.",
)
_OF_GIVEN = (
    f"{_FIRST} The interval takes the images alone as samples: it is of these very nets, not of others that are trained in the "
    f"same way. {_MISSES}",
    f"{_SHOWN} {_OF_ILSVRC}",
)


def reading(found: dict[str, Any]) -> tuple[str, ...]:
    """How the claims of a results.json are read, a paragraph each."""
    return _OF_GIVEN if of_given_nets(found) else _OF_TRAINED


def of_given_nets(found: dict[str, Any]) -> bool:
    """Whether the nets of a results.json are given, and none was trained."""
    return bool(found["trainings"]) and all("weights" in one for one in found["trainings"])


def table(found: dict[str, Any], name: str) -> list[list[str]]:
    """A table of section 4 under its header; empty where the suite has none of its cells."""
    rows = [_row(cell) for cell in found["cells"] if cell["table"] == name]
    return [HEADER, *rows] if rows else []


def _row(cell: dict[str, Any]) -> list[str]:
    net = cell["note"] if cell["table"] == "beyond" else cell["net"]
    theirs = " / ".join(f"{error:.1f}" for error in cell["paper"]) if cell["paper"] else "-"
    errors = [_error(cell[f"{top}_error"], cell[f"{top}_deviation"]) for top in ("top1", "top5")]
    seeds = f"{len(cell['top1_errors'])} of {cell['seeds_planned']}"
    if cell["within"] is not None:
        theirs += ", within 0.1" if cell["within"] else ", not within 0.1"
    method = cell["method"] if cell["table"] == "beyond" or not cell["note"] else cell["note"]
    return [cell["data"], net, cell["S"], cell["Q"], method, *errors, seeds, theirs]


def _error(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "")


def claims(found: dict[str, Any], beyond: bool = False) -> list[list[str]]:
    """The paper's claims under their header, or the differences beyond it."""
    rows = [_claim(one) for one in found["claims"] if (one["section"] == "") == beyond]
    if of_given_nets(found):  # they were trained elsewhere
        return _without([CLAIMS_HEADER, *rows], "training losses") if rows else []
    return [CLAIMS_HEADER, *rows] if rows else []


def _without(rows: list[list[str]], column: str) -> list[list[str]]:
    place = rows[0].index(column)
    return [row[:place] + row[place + 1 :] for row in rows]


def measured(rows: list[list[str]], column: str) -> list[list[str]]:
    """A table without the rows that lack the value of a column; empty where only the header is left."""
    kept = [row for row in rows if row[rows[0].index(column)] != "-"]
    return kept if len(kept) > 1 else []


def _claim(one: dict[str, Any]) -> list[str]:
    measured, theirs = one["difference"], "-" if one["paper"] is None else f"{one['paper']:+.1f}"
    if measured is None:
        return [one["section"] or "-", _text(one), one["data"], *["-"] * 5, theirs, one["verdict"] or "-"]
    interval = f"{measured['low']:+.2f} to {measured['high']:+.2f}"
    seeds = ", ".join(f"{value:+.2f}" for value in measured["of_seeds"].values())
    losses = ", ".join(f"{loss:.3f}" for loss in one["training_losses"]) if one["training_losses"] else "-"
    decided = one["verdict"] or "-"
    if decided == "not decided":
        decided += f" by {measured['seeds']} seed{'s' if measured['seeds'] > 1 else ''}"
    return [
        one["section"] or "-",
        _text(one),
        one["data"],
        f"{measured['mean']:+.2f}",
        interval,
        measured["most"],
        seeds,
        losses,
        theirs,
        decided,
    ]


def _text(claim: dict[str, Any]) -> str:
    return claim["text"] + (f" ({claim['note']})" if claim["note"] else "")


def trainings(found: dict[str, Any]) -> list[list[str]]:
    """The nets that were trained: how far, and what they reached on their training images."""
    header = [
        "net",
        "seed",
        "epochs",
        "training loss",
        "training error, %",
        "validation error without mirror images, %",
        "hours",
        "precision",
    ]
    rows = []
    for one in found["trainings"]:
        if "weights" in one:
            rows.append([one["name"], f"given: {one['weights']}", "-", "-", "-", "-", "-", one["precision"] or "-"])
            continue
        numbers = [
            "-" if one[name] is None else f"{one[name]:.{digits}f}"
            for name, digits in (("loss", 3), ("top1_error", 2), ("val_top1_error", 2), ("hours", 2))
        ]
        epochs = str(one["epochs"]) + ("" if one["finished"] else ", unfinished")
        rows.append([one["name"], str(one["seed"]), epochs, *numbers, one["precision"] or "-"])
    return [header, *rows] if rows else []


def machines(found: dict[str, Any]) -> list[list[str]]:
    """The different machines and commits of a set's runs, and how many runs are of each; empty where no net was trained."""
    counted: dict[tuple[str, str, str], int] = {}
    for one in found["trainings"]:
        if hardware := one.get("hardware"):
            data = one["name"].partition("/")[0]
            devices = [device.rpartition("device:")[2] for device in hardware["devices"]]  # TensorFlow's names are long
            machine = ", ".join([hardware.get("processor", "unknown processor"), *devices])
            key = data, machine, one["git_commit"] or "unknown"
            counted[key] = counted.get(key, 0) + 1
    rows = [[*key, str(count)] for key, count in counted.items()]
    return [["data", "machine", "commit", "runs"], *rows] if rows else []


def mixed(found: dict[str, Any]) -> str:
    """A warning where runs of one set, which are compared, are of several machines or commits; else empty."""
    rows, warnings = machines(found)[1:], []
    for data in dict.fromkeys(row[0] for row in rows):
        _, of_machines, of_commits, _ = zip(*(row for row in rows if row[0] == data), strict=True)
        kinds = (("machines", of_machines), ("commits", of_commits))
        if several := [f"{len(set(values))} {name}" for name, values in kinds if len(set(values)) > 1]:
            warnings.append(
                f"The runs of {data} are of {' and '.join(several)}: differences between nets may be theirs."
            )
    return " ".join(warnings)


def within(found: dict[str, Any]) -> str:
    """How many cells of given nets are within 0.1 points of the paper's; empty where there are none."""
    known = [cell for cell in found["cells"] if cell["within"] is not None]
    if not known:
        return ""
    far = [cell["name"] for cell in known if not cell["within"]]
    return f"{len(known) - len(far)} of {len(known)} cells of given nets are within 0.1 points of the paper's" + (
        f"; not: {', '.join(far)}." if far else "."
    )


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
    """How many claims of the paper have each verdict; those that are decided are first."""
    counted: dict[str, int] = {"shown": 0, "contradicted": 0, "not decided": 0}
    for one in found["claims"]:
        if one["section"] and one["verdict"]:
            short = one["verdict"].partition(":")[0]
            counted[short] = counted.get(short, 0) + 1
    return {short: count for short, count in counted.items() if count}


def progress(found: dict[str, Any]) -> str:
    """How much of the suite there is."""
    cells, trained = found["cells"], [one for one in found["trainings"] if "weights" not in one]
    filled = sum(len(cell["top1_errors"]) >= cell["seeds_planned"] for cell in cells)
    finished = sum(one["finished"] for one in trained)
    runs = f"; runs trained: {finished}" if trained else ""
    begun = f", begun: {len(trained) - finished}" if finished < len(trained) else ""
    return f"{filled} of {len(cells)} cells have all their seeds{runs}{begun}."


def hours(found: dict[str, Any]) -> float:
    """The hours of the epochs of all runs."""
    return sum(one.get("hours", 0.0) for one in found["trainings"])


def markdown(rows: list[list[str]]) -> str:
    """Rows under their header as a table of Markdown."""
    head, *rest = [
        f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in row)} |" for row in rows
    ]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])
