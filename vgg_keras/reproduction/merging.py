"""Results of the same suite from elsewhere (`--merge`): their cells count, and their nets are not trained again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.errors import UserError
from vgg_keras.files import read_regular
from vgg_keras.reproduction import identity, wording
from vgg_keras.reproduction.plan import Run
from vgg_keras.reproduction.suite import Cell, Suite
from vgg_keras.reproduction.tested import Tested
from vgg_keras.runs import difference_of_images

_RULE = "--merge takes results.json files of the same suite. Received:"


def read(paths: Sequence[Path], suite: Suite, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The files' contents, of the images that the suite's runs have; without nets of another recipe, which are printed.

    Args:
        paths: of results.json files.
        suite, runs: the whole suite, and its runs in this folder.

    Raises:
        UserError: a file that cannot be read, or of another suite, other images or nothing but other recipes.
    """
    found = [_read(path, suite) for path in paths]
    for path, content in zip(paths, found, strict=True):
        _drop_other_designs(path, content, runs)
    for data in suite.sets:
        begun = identity.images_of([run for run in runs if run.training.data == data.name])
        known = [("this folder", begun)] if begun else []
        known += [(path, images(one, data.name)) for path, one in zip(paths, found, strict=True)]
        _require_same_images(data.name, known)
    return found


def _read(path: Path, suite: Suite) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(path))
        name = content["suite"]
        if name == suite.name:
            _tests(content, suite), passes([content], [], suite)  # that they can be parsed
            for of_page in (wording.trainings, wording.machines, wording.images, wording.progress, wording.hours):
                of_page(content)  # else the page would fail, after the last training
            of_sets = [images(content, data.name) for data in suite.sets]
            assert all("sha256_of_names" in part for one in of_sets for part in one.values())
            assert all("start" in content["designs"][one["name"]] for one in _trained(content))
    except OSError as error:
        raise UserError(f"{_RULE} {path}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
        raise UserError(f"{_RULE} {path}, which is none, or an older version's.") from None
    if name != suite.name:
        raise UserError(f"{_RULE} {path}, of the suite {name!r:.50}, not {suite.name}.")
    return content


def _drop_other_designs(path: Path, content: dict[str, Any], runs: Sequence[Run]) -> None:
    """Removes the nets of a file that were trained by another recipe than this suite's, and those that started from them."""
    others: dict[str, str] = {}
    # the seeds of a net have one design; a start comes before what starts from it
    for run in {run.training.name: run for run in runs}.values():
        name, start = run.training.name, run.training.start
        if stated := content["designs"].get(name):
            try:
                differs = identity.difference_of_designs(stated, run.config, start)
            except UserError as error:  # a field that only a newer version knows
                others[name] = f"whose net {name} has another version's recipe. {error}"
                continue
            if differs:
                others[name] = f"whose net {name} was trained by another recipe, {differs}."
            elif start in others:
                others[name] = f"whose net {name} started from {start}."
    if not others:
        return
    reason = next(iter(others.values()))
    if others.keys() >= {one["name"] for one in _trained(content)}:
        raise UserError(f"{_RULE} {path}, {reason}")
    print(f"--merge={path}, {reason} Not counted: {', '.join(others)}.", flush=True)
    content["trainings"] = [one for one in content["trainings"] if one["name"] not in others]


def images(content: dict[str, Any], data: str) -> dict[str, Any]:
    """The splits of a set in a file, as `identity.images_of` returns those of runs."""
    found = content["sets"][data]
    return {split: found[split] for split in identity.SPLITS if split in found}


def require_images(paths: Sequence[Path], merged: Sequence[dict[str, Any]], here: Mapping[str, dict[str, Any]]) -> None:
    """Refuses files of other images than those that the first run here will have; `read` compares those of runs.

    Args:
        paths, merged: of `read`, and what it returned.
        here: the splits of each set of images, by its name.

    Raises:
        UserError: it names the set and the file.
    """
    for data, splits in here.items():
        _require_same_images(
            data, [("--data", splits), *((path, images(one, data)) for path, one in zip(paths, merged, strict=True))]
        )


def _require_same_images(data: str, known: Sequence[tuple[Any, dict[str, Any]]]) -> None:
    for split in identity.SPLITS:
        stated = [(where, one[split]) for where, one in known if split in one]
        for where, other in stated[1:]:
            if differ := difference_of_images(stated[0][1], other):
                raise UserError(
                    f"{_RULE} {where}, whose {split} images of {data} are not those of {stated[0][0]}: other {differ}."
                )


def tests(merged: Sequence[dict[str, Any]], suite: Suite) -> dict[str, dict[int, Tested]]:
    """The tests in the files by cell and seed; the first file that has one decides."""
    found: dict[str, dict[int, Tested]] = {cell.name: {} for cell in suite.cells}
    for content in merged:
        for name, of_seeds in _tests(content, suite).items():
            found[name] = of_seeds | found[name]
    return found


def _tests(content: dict[str, Any], suite: Suite) -> dict[str, dict[int, Tested]]:
    """Of one file: the tests of nets that it trained to their end."""
    finished = _finished(content)
    cells: dict[str, Cell] = {cell.name: cell for cell in suite.cells}
    found = {}
    for one in content["cells"]:
        if one["name"] in cells:
            nets = [part.training for part in cells[one["name"]].parts]
            of_seeds = {int(seed): Tested.from_json(test, one["images"]) for seed, test in one["tests"].items()}
            found[one["name"]] = {
                seed: test for seed, test in of_seeds.items() if all((net, seed) in finished for net in nets)
            }
    return found


def _trained(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The trainings of a file, without given nets."""
    return [one for one in content["trainings"] if "weights" not in one]


def _finished(content: dict[str, Any]) -> set[tuple[str, int]]:
    """The nets and seeds that a file's suite trained to their end."""
    return {(one["name"], one["seed"]) for one in _trained(content) if one["finished"]}


def needed(runs: Sequence[Run], suite: Suite, merged: Sequence[dict[str, Any]]) -> list[Run]:
    """The runs whose tests are not all in the files, and the runs that these start from, if they are not trained here.

    Args:
        runs: in an order in which a start comes before what starts from it.
        suite: whose cells are wanted.
        merged: of `read`.
    """
    known = tests(merged, suite)
    found: set[tuple[str, int]] = set()
    for run in reversed(runs):
        name, seed = run.training.name, run.seed
        cells = [cell for cell in suite.cells if any(part.training == name for part in cell.parts)]
        # a net without a cell of its own is there for what starts from it
        if (name, seed) in found or any(seed not in known[cell.name] for cell in cells):
            found.add((name, seed))
            if run.training.start and not run.trained:
                found.add((run.training.start, seed))
    return [run for run in runs if (run.training.name, run.seed) in found]


def trainings(
    merged: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]], runs: Sequence[Run]
) -> list[dict[str, Any]]:
    """The trainings of this folder and of the files, each once: the finished one of two. In the order of the runs."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for one in [*own, *(one for content in merged for one in _trained(content))]:
        key = one["name"], one["seed"]
        if key not in found or (one["finished"] and not found[key]["finished"]):
            found[key] = one
    return [found[key] for run in runs if (key := (run.training.name, run.seed)) in found]


def passes(merged: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]], suite: Suite) -> list[dict[str, Any]]:
    """The passes of this folder, and those of the nets that the files' suites trained, each seed once, in the suite's order."""
    found: dict[tuple, dict[str, Any]] = {}
    for one in [*own, *(one for content in merged for one in _passes(content))]:
        key = one["training"], one["protocol"], one["Q"]
        known = found.setdefault(key, {**one, "top1_errors": {}})
        known["top1_errors"] = one["top1_errors"] | known["top1_errors"]
    order = [
        (training.name, protocol, side)
        for training in suite.trainings
        for protocol, sides in suite.passes(training.name).items()
        for side in sides
    ]
    return [found[key] for key in order if key in found]


def _passes(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Of one file: the passes of nets that it trained to their end, as its tests are."""
    finished, found = _finished(content), []
    for one in content["passes"]:
        errors = {seed: error for seed, error in one["top1_errors"].items() if (one["training"], int(seed)) in finished}
        if errors:
            found.append({**one, "top1_errors": errors})
    return found
