"""Errors in percent, from logits or posteriors. `training/steps.py` counts both inside the graph."""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.stats import binomtest

from vgg_keras.evaluation.rows import blocks


def label_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The rank of the right class in each row: the number of classes before it; 0 is a right prediction.

    Of equal scores the lower index is first, as in argmax, so that equal scores for all classes are not right by a tie.
    A score of NaN is wrong.

    Args:
        scores: (images, classes).
        labels: (images,) integers.

    Returns:
        (images,) integers.
    """
    labels, ranks = np.asarray(labels), np.zeros(len(labels), np.int64)
    for part, block in blocks(scores):
        right = block[np.arange(len(block)), labels[part]][:, None]
        before = np.arange(block.shape[1])[None, :] < labels[part, None]
        ranks[part] = (~(block <= right) | ((block == right) & before)).sum(axis=1)
    return ranks


def top_k_error(scores: np.ndarray, labels: np.ndarray, k: int) -> float | None:
    """The share of images, in percent, whose class is not among the k first.

    None where there are k classes or fewer and k is above 1: no prediction could be wrong.
    """
    if k > 1 and scores.shape[1] <= k:
        return None
    return 100.0 * float(np.mean(label_ranks(scores, labels) >= k))


def balanced_error(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes with images of the share of their images that are predicted wrongly, in percent."""
    counts = np.bincount(labels)
    wrong = np.bincount(labels, weights=predicted != labels)
    return 100.0 * float(np.mean(wrong[counts > 0] / counts[counts > 0]))


def hamming_loss(scores: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """The share of wrong decisions in percent, one for each image and class.

    Args:
        scores: (images, classes).
        labels: (images, classes) of 1, 0, and -1 where a decision does not count.
        threshold: from which on a score is a decision for its class.
    """
    wrong = counted = 0
    for part, block in blocks(scores):
        known = labels[part] >= 0
        wrong += int(np.sum(((block >= threshold) != (labels[part] > 0)) & known))
        counted += int(np.sum(known))
    return 100.0 * wrong / max(counted, 1)


def interval(error: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an error in percent, from the number of images alone."""
    wrong = round(error / 100 * images)
    bounds = binomtest(wrong, images).proportion_ci(0.95, "wilson")
    return 100 * float(bounds.low), 100 * float(bounds.high)


def predictions(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first class of each image, (images,) int64, and its score, (images,)."""
    classes, best = np.zeros(len(scores), np.int64), np.zeros(len(scores), scores.dtype)
    for part, block in blocks(scores):
        classes[part] = block.argmax(axis=1)
        best[part] = block[np.arange(len(block)), classes[part]]
    return classes, best


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> csr_array:
    """The number of images of each class (row) by predicted class (column), (classes, classes) int64.

    Sparse, unlike scikit-learn's confusion_matrix, which takes 3.8 GB for 21,841 classes: it has at most one entry an image.

    Args:
        predicted: (images,) integers.
        labels: (images,) integers.
        classes: how many there are.
    """
    ones = np.ones(len(labels), np.int64)
    return coo_array((ones, (labels, predicted)), shape=(classes, classes)).tocsr()
