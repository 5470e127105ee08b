"""What scores are worth on labelled images, in percent: errors where an image has one class, average precision where several."""

from dataclasses import dataclass

import numpy as np

from vgg_keras.evaluation import metrics
from vgg_keras.evaluation.average_precision import average_precisions

HALF = 0.5  # a multi-label net answers the classes of at least this probability


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a test measures on one set of images, in percent. Those of the other kind of set are None.

    Attributes:
        top1_error, top5_error: the second is None among five classes or fewer, where it means nothing.
        top1_interval: Wilson's of the top-1 error, 95 %.
        balanced_error: the mean of the classes' top-1 errors, of classes with images.
        mean_average_precision: of a multi-label set, by the area under the curve as from VOC-2010 on.
        mean_average_precision_voc2007: at VOC-2007's eleven recalls.
        hamming_loss: the share of wrong decisions, one for each image and class.
    """

    top1_error: float | None = None
    top1_interval: tuple[float, float] | None = None
    top5_error: float | None = None
    balanced_error: float | None = None
    mean_average_precision: float | None = None
    mean_average_precision_voc2007: float | None = None
    hamming_loss: float | None = None

    @property
    def multi_label(self) -> bool:
        """Whether the images have any number of classes."""
        return self.top1_error is None

    def figures(self, classes: int) -> list[tuple[str, str, str]]:
        """Name, value and a note of each, as text; `classes` is how many there are."""
        if self.multi_label:
            return [
                ("mAP", percent(self.mean_average_precision), "area under the curve, as from VOC-2010 on"),
                ("VOC-2007 mAP", percent(self.mean_average_precision_voc2007), "at eleven recalls"),
                ("Hamming loss", percent(self.hamming_loss), "wrong decisions, one for each image and class"),
            ]
        low, high = self.top1_interval or (0.0, 0.0)
        return [
            ("top-1 error", percent(self.top1_error), f"95 %: {low:.1f} to {high:.1f}"),
            ("top-5 error", top5(self.top5_error, classes), ""),
            ("balanced error", percent(self.balanced_error), "mean of the classes' errors"),
        ]

    def text(self, classes: int) -> str:
        """All in a line, the first one first."""
        return ", ".join(f"{name} {value}" for name, value, _ in self.figures(classes))


def measure(scores: np.ndarray, labels: np.ndarray, threshold: float = HALF) -> Measures:
    """What scores are worth.

    Args:
        scores: (images, classes).
        labels: (images,) integers; of a multi-label set (images, classes) of 1, 0 and -1.
        threshold: from which on a multi-label score is a decision for its class.
    """
    if labels.ndim == 2:
        found = average_precisions(scores, labels)
        return Measures(
            mean_average_precision=found.mean,
            mean_average_precision_voc2007=found.mean_voc2007,
            hamming_loss=metrics.hamming_loss(scores, labels, threshold),
        )
    top1_error = metrics.top_k_error(scores, labels, 1)
    predicted, _ = metrics.predictions(scores)
    return Measures(
        top1_error=top1_error,
        top1_interval=metrics.interval(top1_error, len(labels)),
        top5_error=metrics.top_k_error(scores, labels, 5),
        balanced_error=metrics.balanced_error(predicted, labels),
    )


def percent(value: float | None) -> str:
    """A number as text: `2.51 %`, or a dash where it means nothing."""
    return f"{value:.2f} %" if value is not None and np.isfinite(value) else "-"


def top5(error: float | None, classes: int) -> str:
    """The top-5 error as text."""
    return f"meaningless among {classes} classes" if error is None else f"{error:.2f} %"
