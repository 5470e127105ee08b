"""Average precision as PASCAL VOC defines it, for each class of a multi-label set.

Images are ranked by a class's score. Precision and recall are taken behind each image of the ranking. VOC-2007's average
precision is the mean, over the recalls 0, 0.1, ..., 1, of the highest precision at that recall or above (VOCevalcls.m). From
VOC-2010 on it is the area under the curve, whose precision is the highest at that recall or above (VOCap.m).

Images of one score stand at one place of the ranking, as in scikit-learn; the devkit ranks them as they come in the list.
scikit-learn's average_precision_score is the area without "or above": it is lower wherever precision rises with recall.
"""

from typing import NamedTuple

import numpy as np

from vgg_keras.evaluation import rows


class AveragePrecisions(NamedTuple):
    """The average precision of each class in percent, (classes,) float64; NaN for a class that no image has."""

    area: np.ndarray
    voc2007: np.ndarray

    @property
    def mean(self) -> float | None:
        """The mean of the areas over the classes that some image has; None where no image has any."""
        return _mean(self.area)

    @property
    def mean_voc2007(self) -> float | None:
        """The mean of VOC-2007's average precisions over the same classes; None as in `mean`."""
        return _mean(self.voc2007)


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> AveragePrecisions:
    """The average precision of each class.

    Args:
        scores: (images, classes), a higher one for a class that is more likely.
        labels: (images, classes) of 1, 0, and -1 for images that are not ranked in a class, as the devkit's difficult ones.
    """
    found = []
    for place, block in rows.columns(scores):
        found += [_of_class(*columns) for columns in zip(block.T, labels[:, place].T, strict=True)]
    return AveragePrecisions(*np.array(found, np.float64).reshape(-1, 2).T)


def _of_class(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    counted = labels >= 0
    scores, present = scores[counted], labels[counted] > 0
    positives = int(present.sum())
    if not positives:
        return np.nan, np.nan
    order = np.argsort(-scores, kind="stable")
    places = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last image of each score
    found = np.cumsum(present[order])[places]
    precision = found / (places + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # the highest at this recall or above
    area = float(np.sum(np.diff(found, prepend=0) * precision) / positives)
    # recall >= tenth / 10 in integers: in floats 3 of 10 images are not a recall of 3 * 0.1
    at = np.searchsorted(10 * found, np.arange(11) * positives)
    return 100 * area, 100 * float(precision[at].mean())


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
