"""What a suite's runs reached: results.json, from which the page and docs/results.md are made without any run.

It holds every cell with each seed's errors and mistakes, and every claim with its difference, interval and verdict. Of every
training it has the design, the last epoch, the hours and the command that repeats it.
"""

import dataclasses
import datetime
import itertools
import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras import processor, provenance
from vgg_keras.errors import UserError
from vgg_keras.evaluation import metrics, paper
from vgg_keras.evaluation.posteriors import Posteriors, load, mean
from vgg_keras.files import sha256_of_names, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import identity, merging
from vgg_keras.reproduction.hours import epochs
from vgg_keras.reproduction.intervals import Difference, difference, verdict
from vgg_keras.reproduction.plan import RESULTS, Run
from vgg_keras.reproduction.suite import Cell, Claim, DataSet, Suite, Training
from vgg_keras.reproduction.tables import METHODS
from vgg_keras.reproduction.tested import Tested
from vgg_keras.runs import read_config

NOT_YET = "not measured yet"  # the verdict where no seed has both cells


def collect(
    suite: Suite, runs: Sequence[Run], failed: Mapping[str, str], merged: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """What results.json holds, with the runs there are, the results of `merging.read`, and the jobs that failed."""
    elsewhere = merging.tests(merged, suite)
    found = {cell.name: dict(sorted((elsewhere[cell.name] | _tested(cell, runs)).items())) for cell in suite.cells}
    own = [_training(suite, run) for run in runs if run.training.weights or read_config(run.folder)]
    trainings = merging.trainings(merged, own, runs)
    begun = {one["name"] for one in trainings if "weights" not in one}
    return {
        "suite": suite.name,
        "title": suite.title,
        "about": list(suite.about),
        "sets": {one.name: _set(suite, one, runs, merged) for one in suite.sets},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": processor.description(),
        "versions": provenance.versions(),
        "designs": {
            run.training.name: identity.design(run.config, run.training.start)
            for run in runs
            if run.training.name in begun
        },
        "trainings": trainings,
        "cells": [_cell(suite, cell, found[cell.name]) for cell in suite.cells],
        "claims": [_claim(suite, trainings, claim, found) for claim in suite.claims],
        "passes": merging.passes(merged, _passes(suite, runs), suite),
        "failed": dict(failed),
    }


def write(
    suite: Suite,
    runs: Sequence[Run],
    folder: Path,
    failed: Mapping[str, str],
    merged: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Collects, and writes results.json; an earlier one with tests that are no longer there is kept beside it."""
    found = collect(suite, runs, failed, merged)
    lost = _measured(identity.earlier_results(folder / RESULTS)) - _measured(found)
    if lost:  # such as of runs that were removed, or of an earlier --merge
        kept = next(path for n in itertools.count(1) if not (path := folder / f"results-{n}.json").exists())
        (folder / RESULTS).rename(kept)
        print(f"{len(lost)} tests of {folder / RESULTS} are of no run here: it is kept as {kept}", flush=True)
    write_json(folder / RESULTS, found)
    return found


def _measured(found: dict[str, Any]) -> set[tuple[str, str]]:
    """The cells and seeds of results.json's content."""
    return {(cell["name"], seed) for cell in found.get("cells", ()) for seed in cell.get("tests", ())}


def _set(suite: Suite, data: DataSet, runs: Sequence[Run], merged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a set's images are, from its first run that has begun, here or elsewhere, or from the test of a given net."""
    of_set = [run for run in runs if run.training.data == data.name]
    images = identity.images_of(of_set)
    if not images and (elsewhere := next((one for one in merged if merging.images(one, data.name)), None)):
        return elsewhere["sets"][data.name]  # with its source: here they may have none
    images = images or _tested_images(suite, of_set)
    return {"about": data.about, "source": data.source, **images}


def _tested_images(suite: Suite, runs: Sequence[Run]) -> dict[str, Any]:
    """The split that given nets were tested on: they have no run that states it."""
    found = next(filter(None, (_first_pass(suite, run) for run in runs if run.training.weights)), None)
    if found is None:
        return {}
    names = sha256_of_names(found.ids)
    return {found.nets[0].split: {"images": len(found.ids), "sha256_of_names": names}}


def _first_pass(suite: Suite, run: Run) -> Posteriors | None:
    """The first complete pass of a net; None if there is none."""
    passes = suite.passes(run.training.name).items()
    files = (run.pass_file(protocol, side) for protocol, sides in passes for side in sides)
    path = next(filter(None, files), None)
    return load(path) if path else None


# ---- cells


def _tested(cell: Cell, runs: Sequence[Run]) -> dict[int, Tested]:
    """The cell's test by seed, of the seeds whose passes are all complete."""
    found = {}
    for seed in sorted({run.seed for run in runs}):
        of_parts = [_part(runs, seed, part) for part in cell.parts]
        if all(of_parts):
            fused = mean(of_parts, [part.training for part in cell.parts]) if len(of_parts) > 1 else of_parts[0]
            ranks = metrics.label_ranks(fused.probabilities, fused.labels)
            top5 = 100 * float(np.mean(ranks >= 5)) if len(fused.classes) > 5 else None
            found[seed] = Tested(ranks >= 1, top5, fused.images_sha256)
    return found


def _part(runs: Sequence[Run], seed: int, part) -> Posteriors | None:
    """The mean over a net's protocols and values of Q (4.2, 4.3); None if a pass is missing."""
    run = next((run for run in runs if run.seed == seed and run.training.name == part.training), None)
    if run is None:
        return None
    by_protocol: dict[str, list[Path]] = {}
    for protocol, side in part.passes:
        path = run.pass_file(protocol, side)
        if path is None:
            return None
        by_protocol.setdefault(protocol, []).append(path)
    of_protocols = [_one_net([load(path) for path in paths], paths) for paths in by_protocol.values()]
    return _one_net(of_protocols, list(by_protocol))


def _one_net(parts: Sequence[Posteriors], names: Sequence) -> Posteriors:
    """The mean of one net's posteriors, which still counts as one net in a fusion."""
    if len(parts) == 1:
        return parts[0]
    return dataclasses.replace(mean(parts, list(map(str, names))), nets=parts[0].nets)


def _cell(suite: Suite, cell: Cell, found: dict[int, Tested]) -> dict[str, Any]:
    trainings = [suite.training(part.training) for part in cell.parts]
    top1, top5 = ([getattr(one, name) for one in found.values()] for name in ("top1_error", "top5_error"))
    return {
        "table": cell.table,
        "data": cell.data,
        "name": cell.name,
        "net": " + ".join(training.net for training in trainings),
        "S": "; ".join(dict.fromkeys(training.scale for training in trainings)),
        "Q": cell.test_scales,
        "method": METHODS[cell.parts[0].protocol],
        "note": cell.note,
        "images": len(next(iter(found.values())).wrong) if found else 0,
        "top1_errors": {str(seed): round(one.top1_error, 4) for seed, one in found.items()},
        "tests": {str(seed): one.to_json() for seed, one in found.items()},
        "top1_error": _mean(top1),
        "top1_deviation": _deviation(top1),
        "top5_error": _mean(top5),
        "top5_deviation": _deviation(top5),
        "paper": list(cell.paper) if cell.paper else None,
        "seeds_planned": len(trainings[0].seeds),
        "within": _within(cell, list(found.values())) if all(one.weights for one in trainings) else None,
    }


def _within(cell: Cell, tests: Sequence[Tested]) -> bool | None:
    """Whether given nets reach the paper's errors to 0.1 points, the last digit that it prints.

    None where it prints none, and on other images than its 50,000, such as a part of them.
    """
    if not (cell.paper and tests) or any(len(one.wrong) != paper.IMAGES for one in tests):
        return None
    measured = [(one.top1_error, one.top5_error) for one in tests]
    return all(
        error is not None and abs(error - printed) <= 0.1 + 1e-9
        for errors in measured
        for error, printed in zip(errors, cell.paper, strict=True)
    )


def _passes(suite: Suite, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every pass by itself, as the charts over Q need it: a net, a protocol, one Q."""
    found = []
    for training in suite.trainings:
        of_training = [run for run in runs if run.training == training]
        for protocol, sides in suite.passes(training.name).items():
            for side in sides:
                files = {run.seed: run.pass_file(protocol, side) for run in of_training}
                errors = {str(seed): _top1_error(load(path)) for seed, path in files.items() if path}
                if errors:
                    named = {"training": training.name, "data": training.data, "net": training.net, "S": training.scale}
                    found.append({**named, "protocol": protocol, "Q": side, "top1_errors": errors})
    return found


def _top1_error(posteriors: Posteriors) -> float:
    return round(metrics.top_k_error(posteriors.probabilities, posteriors.labels, 1), 4)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 4) if known else None


def _deviation(values: Sequence[float | None]) -> float | None:
    """The standard deviation over seeds, n - 1 in its denominator."""
    known = [value for value in values if value is not None]
    return round(statistics.stdev(known), 4) if len(known) > 1 else None


# ---- claims


def _claim(
    suite: Suite, trained: Sequence[dict[str, Any]], claim: Claim, found: dict[str, dict[int, Tested]]
) -> dict[str, Any]:
    cells = [suite.cell(name) for name in (claim.first, claim.second)]
    printed = [cell.paper[0] for cell in cells if cell.paper]
    difference_there = round(printed[0] - printed[1], 2) if len(printed) == 2 else None
    result = {
        "section": claim.section,
        "text": claim.text,
        "data": cells[0].data,
        "first": claim.first,
        "second": claim.second,
        "expected": claim.expected,
        "of_depth": claim.of_depth,
        "note": claim.note,
        "paper": claim.paper if claim.paper is not None else difference_there,
        "difference": None,
        "training_losses": None,
        "verdict": NOT_YET if claim.expected else "",
    }
    first, second = found[claim.first], found[claim.second]
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return result
    if len({tests[seed].images_sha256 for tests in (first, second) for seed in seeds}) > 1:
        raise UserError(
            f"Two nets are compared on the same images. Received: {claim.first} and {claim.second}, tested on different images. "
            "Leave out the --merge of other images, or name another --out."
        )
    measured = difference(*(np.stack([tests[seed].wrong for seed in seeds]) for tests in (first, second)))
    result["difference"] = _rounded(measured, seeds)
    trainings = [suite.training(part.training) for cell in cells for part in cell.parts]
    losses = [_training_loss(trained, training) for training in trainings]
    # of two nets, each with its training: one net tested in two ways, or a fusion, has no second loss to compare
    if len(set(trainings)) == len(cells) == len(trainings) and None not in losses:
        result["training_losses"] = losses
    if claim.expected:
        given = all(training.weights for training in trainings)
        decided: str = verdict(measured, claim.expected, given)
        for_the_first = measured.mean < 0 and decided == ("shown" if claim.expected == "lower" else "contradicted")
        if given and decided == "not decided":
            decided += f": {measured.images:,} images"  # no number of seeds would decide about these very nets
        result["verdict"] = _undecided(claim, trainings, losses, seeds, for_the_first) or decided
    return result


def _rounded(measured: Difference, seeds: Sequence[int]) -> dict[str, Any]:
    """A difference as results.json has it."""
    numbers = {name: round(value, 4) for name, value in to_dict(measured).items() if isinstance(value, float)}
    of_seeds = {str(seed): round(value, 4) for seed, value in zip(seeds, measured.of_seeds, strict=True)}
    return {
        **numbers,
        "seeds": len(seeds),
        "images": measured.images,
        "of_seeds": of_seeds,
        "most": measured.most,
    }


def _undecided(
    claim: Claim,
    trainings: Sequence[Training],
    losses: Sequence[float | None],
    seeds: Sequence[int],
    for_the_first: bool,
) -> str:
    """Why a claim is not decided whatever its interval says; empty where it is.

    Args:
        claim: of the suite.
        trainings: of its two cells, the first one's before.
        losses: of these trainings.
        seeds: that both cells have.
        for_the_first: whether the interval decides that the first net is the better one.
    """
    planned = len(trainings[0].seeds)
    if len(seeds) < planned:  # those that diverged may be the ones that would contradict
        return f"not decided: {len(seeds)} of {planned} seeds"
    if claim.of_depth and not for_the_first:
        deeper, other = losses
        if deeper is not None and other is not None and deeper > other:
            return f"not decided: {trainings[0].net} has the higher training loss"
    return ""


def _training_loss(trained: Sequence[dict[str, Any]], training: Training) -> float | None:
    """The last epoch's mean over seeds."""
    known = [loss for one in trained if one["name"] == training.name and (loss := one.get("loss")) is not None]
    return statistics.fmean(known) if known else None


# ---- trainings


def _training(suite: Suite, run: Run) -> dict[str, Any]:
    """A run's state: its last epoch, the time of its epochs, and the command of its training. Of a given net the tests'."""
    if run.training.weights:
        tested = _first_pass(suite, run)
        return {
            "name": run.training.name,
            "seed": run.seed,
            "weights": run.training.weights,
            "finished": True,
            "precision": tested.nets[0].precision if tested else None,
        }
    stored, lines = read_config(run.folder), epochs(run)
    images = stored["data"]["train"]["images"]
    seconds = sum(images / line["images_per_second"] for line in lines if line.get("images_per_second"))
    last = lines[-1] if lines else {}
    return {
        "name": run.training.name,
        "seed": run.seed,
        "finished": run.trained,
        "epochs": len(lines),
        "loss": last.get("loss"),
        "top1_error": last.get("top1_error"),
        "val_top1_error": last.get("val_top1_error"),
        "hours": round(seconds / 3600, 3),
        "precision": last.get("precision"),
        "git_commit": stored.get("git_commit"),
        "hardware": stored.get("hardware"),
        "command": shlex.join(["python", *stored["command"][1:]]),
    }


def read(path: Path) -> dict[str, Any]:
    """A results.json."""
    return json.loads(path.read_text())
