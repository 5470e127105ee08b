"""Appendix B's linear SVM, one class against the rest: C chosen on held-out training images, then all of them train it.

Where an image has one class, the measure is the mean class recall, as for Caltech. In a multi-label set it is the mean average
precision, as for VOC; an image whose label of a class is ignored neither trains nor tests that class.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from vgg_keras import stop
from vgg_keras.config import Features
from vgg_keras.data.splits import held_out, held_out_by_class
from vgg_keras.errors import UserError
from vgg_keras.evaluation import metrics
from vgg_keras.evaluation.average_precision import average_precisions
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.progress import progress
from vgg_keras.transfer.descriptors import Descriptors

ITERATIONS = 10_000  # of the solver at most


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
        errors: of the held-out training images for each C tried, in percent: 100 - mean class recall, or 100 - mean average
            precision. Empty where there is one C, which is not tried.
        scores: of its test images.
        reached: by the test, in percent, by name: mean class recall and top-1 error, or both mean average precisions.
        converged: whether the solver did.
    """

    division: Division
    c: float
    errors: dict[float, float]
    scores: Scores
    reached: dict[str, float]
    converged: bool

    @property
    def text(self) -> str:
        """What was reached, in a few words."""
        words = {
            "mean_class_recall": "mean class recall",
            "top1_error": "error",
            "mean_average_precision": "mAP",
            "mean_average_precision_voc2007": "VOC-2007 mAP",
        }
        return ", ".join(f"{words[name]} {value:.2f} %" for name, value in self.reached.items())


def test(found: Descriptors, division: Division, rules: Features, seed: int) -> Outcome:
    """Chooses C, trains on all of a division's training images and tests.

    Args:
        found: the descriptors of all images.
        division: of them.
        rules: values of C and the share of the training images that chooses one.
        seed: of the solver.

    Raises:
        UserError: too few images of a class to choose C, or a class that is tested and not trained.
        StoppedError: by a signal, between two values of C.
    """
    labels, train = found.labels, division.train
    require_possible(labels, found.classes, division, rules)
    chooses, measured = _choosing(labels[train], rules), _reached_by(labels)
    values_of = _values_of_several if found.multi_label else _values_of_one
    errors: dict[float, float] = {}
    if len(rules.svm_c) > 1:
        for c in progress(rules.svm_c, f"SVMs that choose C, {division.name}", unit="value"):
            values, _ = values_of(found, train[~chooses], train[chooses], c, seed)
            errors[c] = 100 - next(iter(measured(values, labels[train[chooses]]).values()))
    c = min(sorted(errors), key=lambda value: errors[value], default=rules.svm_c[0])  # of equal ones the smallest
    values, converged = values_of(found, train, division.test, c, seed)
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
    return Outcome(division, c, errors, scores, measured(values, scores.labels), converged)


def require_possible(labels: np.ndarray, classes: Sequence[str], division: Division, rules: Features) -> None:
    """Refuses a division that no SVM can be trained and tested on, which its labels show before any descriptor is there.

    Args:
        labels: of all images.
        classes: their names.
        division, rules: as in `test`.

    Raises:
        UserError: too few images of a class to choose C, or a class that is tested and not trained.
    """
    if missing := sorted(_classes_of(labels[division.test]) - _classes_of(labels[division.train])):
        raise UserError(f"Each class that is tested has training images. Received: {classes[missing[0]]!r} without.")
    if len(rules.svm_c) > 1 and not _choosing(labels[division.train], rules).any():
        raise UserError(
            f"A class needs {int(np.ceil(1 / rules.holdout))} training images to hold one out, which chooses C. "
            "Received: fewer in each. Name one value: --set=features.svm_c=1."
        )


def _classes_of(labels: np.ndarray) -> set[int]:
    return set(np.flatnonzero((labels > 0).any(axis=0)) if labels.ndim == 2 else np.unique(labels))


def _choosing(labels: np.ndarray, rules: Features) -> np.ndarray:
    """A mask of the training images that choose C: each (1/holdout)-th of a class, or of all multi-label images."""
    return held_out(len(labels), rules.holdout) if labels.ndim == 2 else held_out_by_class(labels, rules.holdout)


def _reached_by(labels: np.ndarray) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    """A function of decision values and labels to what they reach in percent, the first one being what chooses C."""

    def of_one(values, labels):
        recall = mean_class_recall(values.argmax(axis=1), labels)
        return {"mean_class_recall": recall, "top1_error": metrics.top_k_error(values, labels, 1)}

    def of_several(values, labels):
        precisions = average_precisions(values, labels)
        return {
            "mean_average_precision": precisions.mean or 0.0,
            "mean_average_precision_voc2007": precisions.mean_voc2007 or 0.0,
        }

    return of_several if labels.ndim == 2 else of_one


def _values_of_one(found: Descriptors, train: np.ndarray, test: np.ndarray, c: float, seed: int):
    """The decision values of test images, and whether the solver converged."""
    machine, converged = fit(found.descriptors[train], found.labels[train], c, seed)
    return decision_values(machine, found.descriptors[test], len(found.classes)), converged


def _values_of_several(found: Descriptors, train: np.ndarray, test: np.ndarray, c: float, seed: int):
    """The same of a multi-label set, a machine for each class.

    A class that all or none of the training images have has no machine: its values are 1, a decision for it, or -1.
    """
    values, all_converged = np.zeros((len(test), len(found.classes)), np.float32), True
    for place in range(len(found.classes)):
        counted = train[found.labels[train, place] >= 0]
        present = found.labels[counted, place] > 0
        values[:, place] = 1 if present.any() else -1
        if present.any() and not present.all():
            machine, converged = fit(found.descriptors[counted], present, c, seed)
            values[:, place] = machine.decision_function(np.asarray(found.descriptors[test]))
            all_converged &= converged
    return values, all_converged


def fit(descriptors: np.ndarray, labels: np.ndarray, c: float, seed: int) -> tuple[LinearSVC, bool]:
    """A linear SVM, one class against the rest, and whether its solver converged."""
    stop.raise_if_requested()  # of many classes and columns the solver takes hours
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
    return 100 - metrics.balanced_error(predicted, labels)
