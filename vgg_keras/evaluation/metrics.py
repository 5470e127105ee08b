"""Errors in percent, from scores of any kind that grow with belief: logits or posteriors."""

import numpy as np
from scipy.stats import binomtest


def label_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes stand before the right one in each row; 0 is a right answer.

    Of classes with equal scores the lower index stands first, as in argmax, so a net that says nothing is not right by
    a tie; scores that are not numbers are wrong.

    Args:
        scores: (images, classes).
        labels: (images,) integers.

    Returns:
        (images,) integers.
    """
    right = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1])[None, :] < np.asarray(labels)[:, None]
    return (~(scores <= right) | ((scores == right) & before)).sum(axis=1)


def top_k_error(scores: np.ndarray, labels: np.ndarray, k: int) -> float | None:
    """The share of images, in percent, whose class is not among the k first.

    None where there are k classes or fewer and k is above 1: no answer could be wrong.
    """
    if k > 1 and scores.shape[1] <= k:
        return None
    return 100.0 * float(np.mean(label_ranks(scores, labels) >= k))


def interval(error: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an error in percent, from the number of images alone."""
    wrong = round(error / 100 * images)
    bounds = binomtest(wrong, images).proportion_ci(0.95, "wilson")
    return 100 * float(bounds.low), 100 * float(bounds.high)


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images of each class (row) are taken for each class (column), (classes, classes)."""
    classes = scores.shape[1]
    places = labels.astype(np.int64) * classes + scores.argmax(axis=1)
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)
