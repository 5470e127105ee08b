"""The report's most confident mistakes: images predicted to be of another class, or wrong decisions of a multi-label net."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgg_keras.evaluation import metrics, report_pictures
from vgg_keras.evaluation.image_rows import ImageRows
from vgg_keras.evaluation.rows import blocks

MISTAKES = 24


@dataclass(frozen=True)
class Score:
    """A net's output for a class: its name, how one is written, and from where on it is a multi-label decision for the class."""

    name: str
    text: Callable[[float], str]
    threshold: float


PROBABILITY = Score("probability", lambda value: f"{100 * value:.1f} %", 0.5)
DECISION_VALUE = Score("SVM's decision value", lambda value: f"{value:.2f}", 0.0)


@dataclass(frozen=True)
class Mistake:
    """An image whose predicted class is not its actual one, or a class that it wrongly has or lacks."""

    name: str
    label: str
    answer: str
    answer_score: str
    label_score: str  # empty where an image has any number of classes
    picture: str  # a data URL; empty without the image


def mistakes(final: ImageRows, source: Any | None, score: Score) -> list[Mistake]:
    """The surest ones, with the pictures of a split; None: without pictures."""
    found = []
    for image, place in surest_mistakes(final, score.threshold):
        of_label = "" if final.multi_label else score.text(float(final.rows[image, final.labels[image]]))
        missed = final.multi_label and final.labels[image, place] > 0
        found.append(
            Mistake(
                name=final.ids[image],
                label=final.label_text(image),
                answer=("not " if missed else "") + final.classes[place],
                answer_score=score.text(float(final.rows[image, place])),
                label_score=of_label,
                picture=report_pictures.photograph(source, image),
            )
        )
    return found


def surest_mistakes(final: ImageRows, threshold: float) -> list[tuple[int, int]]:
    """The places of the images, and of the class that each is predicted to be of, the surest first.

    Of a multi-label set the class is one that an image lacks with a score from the threshold on, or has with one below; the
    furthest from the threshold are the surest.
    """
    if not final.multi_label:
        predicted, scores = metrics.predictions(final.rows)
        wrong = np.flatnonzero(predicted != final.labels)
        chosen = wrong[np.argsort(-scores[wrong], kind="stable")[:MISTAKES]]
        return [(int(image), int(predicted[image])) for image in chosen]
    # how far from the threshold, negative; image; class. No more are kept: of a poor net every second pair is wrong
    surest: list[tuple[float, int, int]] = []
    for part, block in blocks(final.rows):
        labels, distances = final.labels[part], np.abs(block - threshold)
        wrong = ((block >= threshold) != (labels > 0)) & (labels >= 0)
        if len(surest) == MISTAKES:
            wrong &= distances > -surest[-1][0]
        images, places = np.nonzero(wrong)
        negative = -distances[images, places]
        order = np.argsort(negative, kind="stable")[:MISTAKES]
        surest += zip(*(one[order].tolist() for one in (negative, images + part.start, places)), strict=True)
        surest = sorted(surest)[:MISTAKES]
    return [(image, place) for _, image, place in surest]
