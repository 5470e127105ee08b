"""Appendix B's test of descriptors by a linear SVM: mean class recall, or mean average precision of a multi-label set as VOC."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras import provenance, stop
from vgg_keras.config import Config, Features
from vgg_keras.data.sources import open_own_test
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import report
from vgg_keras.evaluation.error_table import Row
from vgg_keras.evaluation.image_rows import other_images, unknown
from vgg_keras.evaluation.images import Images
from vgg_keras.evaluation.measures import measure
from vgg_keras.evaluation.report_mistakes import DECISION_VALUE
from vgg_keras.files import write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.transfer.descriptors import Descriptors, described, load, unit_norm
from vgg_keras.transfer.linear_svm import ITERATIONS, Division, Outcome, require_possible, test

RESULT = "classification.json"
NO_CELL = "appendix B's numbers are of other sets (Table 11: VOC-2007, VOC-2012, Caltech-101, Caltech-256)"


def classify(
    found: Descriptors, parts: Sequence[Division], config: Config, images: Split, folder: Path
) -> dict[str, Any]:
    """Trains and tests a linear SVM, and writes its report and classification.json to `folder`.

    Args:
        found: descriptors with labels.
        parts: of `divisions`.
        config: its `features` has the values of C.
        images: those of the descriptors, for the report's pictures.
        folder: of the report.

    Returns:
        What classification.json holds.

    Raises:
        UserError: too few images of a class to choose C.
    """
    outcomes = []
    for division in parts:
        outcomes.append(test(found, division, config.features, config.seed))
        print(_line(outcomes[-1]), flush=True)
        stop.raise_if_requested()
    final, names = outcomes[-1], list(outcomes[-1].reached)
    reached = [[outcome.reached[name] for outcome in outcomes] for name in names]
    result = {
        "descriptors": " + ".join(described(net) for net in found.nets),
        "columns": found.descriptors.shape[1],
        "data": found.nets[0].data,
        "images_of_training": len(final.division.train),
        "images_of_test": len(final.division.test),
        f"{names[0]}_spread": float(np.std(reached[0])) if len(outcomes) > 1 else None,
        **{name: float(np.mean(values)) for name, values in zip(names, reached, strict=True)},
        "divisions": [
            {
                "name": outcome.division.name,
                "c": outcome.c,
                "held_out_errors": {f"{c:g}": round(error, 4) for c, error in outcome.errors.items()},
                **outcome.reached,
                "converged": outcome.converged,
            }
            for outcome in outcomes
        ],
        "features": to_dict(config.features),
        "seed": config.seed,
        "command": provenance.command(),
    }
    rows = [_row(found, outcome) for outcome in outcomes]
    report.write(folder, rows, final.scores, result, images.select(final.division.test), DECISION_VALUE)
    write_json(folder / RESULT, result)
    return result


def divisions(images: Images, classes: Sequence[str], config: Config) -> list[Division]:
    """The set's own division, or random ones where `features.per_class` is given.

    Args:
        images, classes: of `extraction.open_images`.
        config: `features` and `seed` have the random divisions, `data` the set's own.

    Raises:
        UserError: images of fewer than two classes, a set without a test of its own, or too few images of a class to train,
            to test or to choose C.
    """
    parts = _divisions(images, classes, config)
    for part in parts:  # before the passes, which may take hours
        require_possible(images.split.labels, classes, part, config.features)
    return parts


def _divisions(images: Images, classes: Sequence[str], config: Config) -> list[Division]:
    split, labels = images.split, images.split.labels
    present = np.flatnonzero(split.class_counts) if classes else []
    if len(present) < 2:
        raise UserError(
            "An SVM separates two classes or more, each a folder of images. "
            f"Received: {images.data} with {len(present)}."
        )
    rules = config.features
    if rules.per_class and split.multi_label:
        raise UserError(
            "Random divisions have images of each class, of one class per image. "
            f"Received: --per_class={rules.per_class} for {images.data}. Leave it out: such a set has its own test."
        )
    if rules.per_class:
        return [_random_division(labels, rules, config.seed, place) for place in range(rules.splits)]
    own = open_own_test(config.data)
    names = {own.name(image) for image in range(own.size)} if own else set()
    tested = np.array([split.name(image) in names for image in range(split.size)])
    if tested.all() or not tested.any():
        raise UserError(
            "An SVM is trained on one part of a set and tested on another. Received: "
            f"{images.data}, split {images.name}, without a test of its own. "
            "Name --per_class=30 for random divisions, or --split=all of a set with train/ and val/."
        )
    return [Division("the set's own division", np.flatnonzero(~tested), np.flatnonzero(tested))]


def _random_division(labels: np.ndarray, rules: Features, seed: int, place: int) -> Division:
    """Division number `place`: `per_class` images of each class train, at most `test_per_class` of the rest test."""
    generator = np.random.default_rng([seed, place])
    train, test = [], []
    for label in np.unique(labels):
        images = generator.permutation(np.flatnonzero(labels == label))
        if len(images) <= rules.per_class:
            raise UserError(
                f"Each class needs more images than --per_class={rules.per_class}, to train and to test. "
                f"Received: a class with {len(images)}. Name fewer."
            )
        train.append(images[: rules.per_class])
        test.append(images[rules.per_class :][: rules.test_per_class or None])
    return Division(f"random division {place + 1} of {rules.splits}", np.concatenate(train), np.concatenate(test))


def open_others(paths: Sequence[Path], split: Split, classes: tuple[str, ...], layer: str) -> list[Descriptors]:
    """The descriptors of other nets, read before this net's passes: what is wrong with them costs no pass.

    Args:
        paths: of features.npz files.
        split, classes: of the images whose descriptors they must hold.
        layer: of this net's descriptors.

    Raises:
        UserError: a damaged file, or one of other images, classes or layers; the first difference is named.
    """
    found = []
    for path in paths:
        other = load(path)
        different = other_images(unknown(Descriptors, split, classes, 0, None), other)
        theirs = next((net.layers[0] for net in other.nets if net.layers != (layer,)), None)
        if not different and theirs:
            different = f"the layer is {layer} in the first and {theirs} in the other"
        if different:
            raise UserError(
                f"--with takes descriptors of the same images and layer. Received: {path}, where {different}."
            )
        found.append(other)
    return found


def stack_nets(found: Descriptors, others: Sequence[Descriptors]) -> Descriptors:
    """Descriptors with those of other nets beside them, of L2 norm 1 (B).

    Args:
        found: of one net.
        others: of `open_others`.

    Raises:
        UserError: another label.
    """
    for other in others:
        if not np.array_equal(other.labels, found.labels):
            same = other.labels.shape == found.labels.shape
            differ = (other.labels != found.labels).reshape(len(found.ids), -1).any(axis=1) if same else [True]
            image = found.ids[int(np.argmax(differ))]
            raise UserError(f"--with takes descriptors of the same images. Received: {image!r} with another label.")
    parts = [found.descriptors, *(other.descriptors for other in others)]
    stacked = unit_norm(np.concatenate(parts, axis=1)).astype(np.float32)
    return dataclasses.replace(
        found, descriptors=stacked, nets=(*found.nets, *(net for one in others for net in one.nets))
    )


def _row(found: Descriptors, outcome: Outcome) -> Row:
    """The report's row of a division."""
    images = len(outcome.division.test)
    return Row(
        net=" + ".join(net.architecture.name for net in found.nets),
        training_scale="-",
        protocol=f"{found.nets[0].layers[0]}, {found.nets[0].pooling}, SVM with C={outcome.c:g}, {outcome.division.name}",
        scales=" + ".join(", ".join(map(str, net.scales)) for net in found.nets),
        images=images,
        paper=NO_CELL,
        **vars(measure(outcome.scores.scores, outcome.scores.labels, DECISION_VALUE.threshold)),
    )


def _line(outcome: Outcome) -> str:
    note = "" if outcome.converged else f"; the solver stopped after {ITERATIONS:,} iterations"
    return (
        f"{outcome.division.name}: {outcome.text}, "
        f"{len(outcome.division.train):,} training and {len(outcome.division.test):,} test images, C={outcome.c:g}{note}"
    )
