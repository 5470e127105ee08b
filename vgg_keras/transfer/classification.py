"""Appendix B's linear SVM on descriptors: C chosen on held-out training images, then the test's mean class recall."""

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from vgg_keras import provenance, stop
from vgg_keras.config import Config, Features
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Split, held_out
from vgg_keras.errors import UserError
from vgg_keras.evaluation import metrics, report
from vgg_keras.evaluation.error_table import Row
from vgg_keras.evaluation.image_rows import ImageRows, other_images, unknown
from vgg_keras.evaluation.images import Images
from vgg_keras.files import write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.transfer.descriptors import Descriptors, described, load, unit_norm

RESULT = "classification.json"
ITERATIONS = 10_000  # of the solver at most
NO_CELL = "appendix B's numbers are of other sets (Table 11: VOC-2007, VOC-2012, Caltech-101, Caltech-256)"


@dataclass(frozen=True)
class Division:
    """Which images train the SVM and which test it, by their places."""

    name: str
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Scores(ImageRows):
    """The SVM's decision values for each test image, (images, classes) float32."""

    NAME: ClassVar[str] = "scores"

    scores: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """The test of one division.

    Attributes:
        division: its images.
        c: the SVM's, chosen by `errors`.
        errors: 100 - mean class recall of the held-out training images for each C tried, in percent.
        scores: of its test images.
        recall: mean class recall of the test in percent.
        error: top-1 error in percent.
        converged: whether the solver did.
    """

    division: Division
    c: float
    errors: dict[float, float]
    scores: Scores
    recall: float
    error: float
    converged: bool


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
        print(_line(outcomes[-1], len(outcomes)), flush=True)
        stop.raise_if_requested()
    recalls = [outcome.recall for outcome in outcomes]
    final = outcomes[-1]
    result = {
        "descriptors": " + ".join(described(net) for net in found.nets),
        "columns": found.descriptors.shape[1],
        "data": found.nets[0].data,
        "images_of_training": len(final.division.train),
        "images_of_test": len(final.division.test),
        "mean_class_recall": float(np.mean(recalls)),
        "mean_class_recall_spread": float(np.std(recalls)) if len(recalls) > 1 else None,
        "top1_error": float(np.mean([outcome.error for outcome in outcomes])),
        "divisions": [
            {
                "name": outcome.division.name,
                "c": outcome.c,
                "held_out_errors": {f"{c:g}": round(error, 4) for c, error in outcome.errors.items()},
                "mean_class_recall": outcome.recall,
                "top1_error": outcome.error,
                "converged": outcome.converged,
            }
            for outcome in outcomes
        ],
        "features": to_dict(config.features),
        "seed": config.seed,
        "command": provenance.command(),
    }
    rows = [_row(found, outcome) for outcome in outcomes]
    report.write(folder, rows, final.scores, result, images.select(final.division.test), report.DECISION_VALUE)
    write_json(folder / RESULT, result)
    return result


def divisions(images: Images, classes: Sequence[str], config: Config) -> list[Division]:
    """The set's own division, or random ones where `features.per_class` is given.

    Args:
        images, classes: of `extraction.open_images`.
        config: `features` and `seed` have the random divisions, `data` the set's own.

    Raises:
        UserError: images of fewer than two classes, a set without a test of its own, or too few images of a class.
    """
    split, labels = images.split, images.split.labels
    present = np.unique(labels) if classes else []
    if len(present) < 2:
        raise UserError(
            "An SVM separates two classes or more, each a folder of images. "
            f"Received: {images.data} with {len(present)}."
        )
    rules = config.features
    if rules.per_class:
        return [_random_division(labels, rules, config.seed, place) for place in range(rules.splits)]
    # with a validation that is held out, `test` is the set's own, and None where it has none
    own = open_source(dataclasses.replace(config.data, validation="held_out")).test
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


def test(found: Descriptors, division: Division, rules: Features, seed: int) -> Outcome:
    """Chooses C, trains on all of a division's training images and tests.

    Args:
        found: the descriptors of all images.
        division: of them.
        rules: values of C and the share of the training images that chooses one.
        seed: of the solver.
    """
    labels, train = found.labels, division.train
    if missing := sorted(set(labels[division.test]) - set(labels[train])):
        raise UserError(
            f"Each class that is tested has training images. Received: {found.classes[missing[0]]!r} without."
        )
    chooses = np.zeros(len(train), np.bool_)
    for label in np.unique(labels[train]):  # each (1/holdout)-th of a class
        places = np.flatnonzero(labels[train] == label)
        chooses[places] = held_out(len(places), rules.holdout)
    errors = {rules.svm_c[0]: 0.0}
    if len(rules.svm_c) > 1:
        if not chooses.any():
            raise UserError(
                f"A class needs {int(np.ceil(1 / rules.holdout))} training images to hold one out, which chooses C. "
                "Received: fewer in each. Name one value: --set=features.svm_c=1."
            )
        for c in rules.svm_c:
            fitted, _ = fit(found.descriptors[train[~chooses]], labels[train[~chooses]], c, seed)
            predicted = fitted.predict(found.descriptors[train[chooses]])
            errors[c] = 100 - mean_class_recall(predicted, labels[train[chooses]])
    c = min(sorted(errors), key=lambda value: errors[value])  # of equal ones the smallest
    fitted, converged = fit(found.descriptors[train], labels[train], c, seed)
    values = decision_values(fitted, found.descriptors[division.test], len(found.classes))
    scores = Scores(
        scores=values,
        labels=labels[division.test],
        ids=tuple(found.ids[image] for image in division.test),
        fingerprints=found.fingerprints[division.test],
        classes=found.classes,
        nets=found.nets,
        done=np.ones(len(division.test), np.bool_),
        seconds=found.seconds,
    )
    recall = mean_class_recall(values.argmax(axis=1), scores.labels)
    error = metrics.top_k_error(values, scores.labels, 1)
    return Outcome(division, c, errors, scores, recall, error, converged)


def fit(descriptors: np.ndarray, labels: np.ndarray, c: float, seed: int) -> tuple[LinearSVC, bool]:
    """A linear SVM, one class against the rest, and whether its solver converged."""
    machine = LinearSVC(C=c, dual="auto", max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        machine.fit(np.asarray(descriptors), labels)
    return machine, not any(issubclass(one.category, ConvergenceWarning) for one in caught)


def decision_values(machine: LinearSVC, descriptors: np.ndarray, classes: int) -> np.ndarray:
    """(images, classes) float32; a class without training images has the lowest value of all."""
    values = machine.decision_function(np.asarray(descriptors))
    if values.ndim == 1:  # of two classes
        values = np.stack([-values, values], axis=1)
    found = np.full((len(values), classes), values.min() - 1, np.float32)
    found[:, machine.classes_] = values
    return found


def mean_class_recall(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of the share of their images that are predicted right, in percent."""
    return 100 * float(np.mean([np.mean(predicted[labels == label] == label) for label in np.unique(labels)]))


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
        if (other.labels != found.labels).any():
            image = found.ids[int(np.argmax(other.labels != found.labels))]
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
        top1_error=outcome.error,
        top1_interval=metrics.interval(outcome.error, images),
        top5_error=metrics.top_k_error(outcome.scores.scores, outcome.scores.labels, 5),
        paper=NO_CELL,
    )


def _line(outcome: Outcome, place: int) -> str:
    note = "" if outcome.converged else f"; the solver stopped after {ITERATIONS:,} iterations"
    return (
        f"{outcome.division.name}: mean class recall {outcome.recall:.2f} %, error {outcome.error:.2f} %, "
        f"{len(outcome.division.train):,} training and {len(outcome.division.test):,} test images, C={outcome.c:g}{note}"
    )
