"""OverFeat's greedy merging of boxes (Sermanet et al. 2014, section 4.3), which appendix A takes over.

Repeatedly the pair of boxes with the lowest match score is replaced by its mean, until the lowest score exceeds a threshold. A
merged box has the sum of the two class scores. The best box is the one with the highest sum.

The match score of two boxes combines the distance of their centres and the area of their intersection. The paper states no
formula; here it does not depend on the image's size:

    distance of the centres / mean diagonal + 1 - intersection / mean area

It is 0 for equal boxes and 1 or more for boxes that do not meet.
"""

import numpy as np


def merge(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Merges boxes of one class.

    Time and memory grow with the square of the number of boxes: the match scores of all pairs are kept, and a pyramid of their
    minima, in which a merged box changes as many values as there are boxes. The lowest score is then found at once.

    Args:
        boxes: (n, 4), xmin, ymin, xmax, ymax.
        scores: (n,), of the class at each box's window.
        threshold: t: the highest match score at which two boxes are merged.

    Returns:
        The merged boxes (m, 4) float64 and the sums of their scores (m,), the highest first; of equal ones the earliest.
    """
    boxes, scores = np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64)
    alive = np.ones(len(boxes), bool)
    if len(boxes) > 1:
        pyramid = _Pyramid(_match_scores(boxes))
        while True:
            lowest, first, second = pyramid.lowest()
            if not lowest <= threshold or not np.isfinite(lowest):
                break
            boxes[first] = (boxes[first] + boxes[second]) / 2
            scores[first] += scores[second]
            alive[second] = False
            row = np.where(alive, match_score(boxes[first], boxes), np.inf)
            row[first] = np.inf
            pyramid.replace(first, row)
            pyramid.replace(second, np.full(len(boxes), np.inf))
    order = np.argsort(-scores[alive], kind="stable")
    return boxes[alive][order], scores[alive][order]


def match_score(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The match score of boxes (..., 4); the arguments broadcast."""
    size, other_size = box[..., 2:] - box[..., :2], others[..., 2:] - others[..., :2]
    apart = np.linalg.norm((box[..., :2] + box[..., 2:] - others[..., :2] - others[..., 2:]) / 2, axis=-1)
    diagonal = (np.linalg.norm(size, axis=-1) + np.linalg.norm(other_size, axis=-1)) / 2
    shared = np.minimum(box[..., 2:], others[..., 2:]) - np.maximum(box[..., :2], others[..., :2])
    intersection = np.maximum(shared, 0).prod(axis=-1)
    area = (size.prod(axis=-1) + other_size.prod(axis=-1)) / 2
    tiny = np.finfo(np.float64).tiny  # points have no size
    with np.errstate(over="ignore"):  # of points apart, infinite
        distance = np.where(apart > 0, apart / np.maximum(diagonal, tiny), 0)
    return distance + 1 - np.where(area > 0, intersection / np.maximum(area, tiny), 0)


def _match_scores(boxes: np.ndarray) -> np.ndarray:
    """The match scores of all pairs, (n, n); infinite on the diagonal."""
    found = match_score(boxes[:, np.newaxis], boxes[np.newaxis])
    np.fill_diagonal(found, np.inf)
    return found


class _Pyramid:
    """A symmetric matrix with the minima of its blocks of 2 x 2, of these again, and so on up to a single number."""

    def __init__(self, matrix: np.ndarray):
        side = 1 << (len(matrix) - 1).bit_length()
        level = np.full((side, side), np.inf)
        level[: len(matrix), : len(matrix)] = matrix
        self._levels = [level]
        while side > 1:
            side //= 2
            level = level.reshape(side, 2, side, 2).min(axis=(1, 3))
            self._levels.append(level)

    def lowest(self) -> tuple[float, int, int]:
        """The lowest number, its row and its column; the row is the smaller of the two."""
        row = column = 0
        for level in reversed(self._levels[:-1]):
            block = level[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            down, across = divmod(int(block.argmin()), 2)
            row, column = 2 * row + down, 2 * column + across
        return float(self._levels[-1][0, 0]), min(row, column), max(row, column)

    def replace(self, place: int, values: np.ndarray) -> None:
        """Other numbers in a row and in its column."""
        matrix = self._levels[0]
        matrix[place, : len(values)] = matrix[: len(values), place] = values
        for below, level in zip(self._levels, self._levels[1:], strict=False):
            pair = below[place & ~1 : (place & ~1) + 2].min(axis=0)
            place //= 2
            level[place] = level[:, place] = pair.reshape(-1, 2).min(axis=1)
