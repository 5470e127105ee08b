"""A 95 % interval of the difference of two nets over seeds and images, both taken as samples.

Both nets were trained with the same seeds and tested on the same images, so there is a table of differences d[seed, image], each
-1, 0 or 1: the first net's mistake minus the second's. Another seed would give other rows, other images other columns. The mean's
variance has both parts, and is estimated from the mean squares of the two-way layout, as for readers and cases in radiology:

    V = (max(MS_seeds, MS_rest) + max(MS_images - MS_rest, 0)) / (seeds x images)

MS_seeds holds the rest's variance too. By chance it can be less, and 0 where every seed gains one image: then the rest stands
for it. The interval is mean ± t sqrt(V), with the degrees of freedom of Hillis (2007, Statistics in Medicine 26:596-619), of the
mean square that was taken:

    df = (MS + max(MS_images - MS_rest, 0))^2 / (MS^2 / df_MS), with df_MS = seeds - 1, or (seeds - 1)(images - 1) of the rest

Where the seeds alone differ this is Student's interval over seeds; where the images decide, df is large. A bootstrap that draws
seeds and images anew would be the other way. With three seeds it is too narrow: three numbers drawn from three have two thirds of
their variance, and its quantiles know no t. With one seed the interval is over images alone, which `Difference.seeds` says.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from vgg_keras.reproduction.suite import Expected

LEVEL = 0.95
# A difference of less than this many points counts as none, where the paper says that something does not help or is equal.
MARGIN = 0.5

Verdict = Literal["shown", "contradicted", "not decided"]


@dataclass(frozen=True)
class Difference:
    """In points of top-1 error.

    Attributes:
        mean: over seeds and images.
        low, high: the interval's ends.
        seeds, images: how many there are of each.
        of_seeds: the mean of each seed, in their order.
        most: what most of the variance comes from.
    """

    mean: float
    low: float
    high: float
    seeds: int
    images: int
    of_seeds: tuple[float, ...]
    most: Literal["seeds", "images", "rest"] = "images"


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of two nets with its interval.

    Args:
        first, second: (seeds, images) bool, whether each is a mistake; of the same seeds and images.
    """
    d = 100.0 * (first.astype(np.float64) - second.astype(np.float64))
    seeds, images = d.shape
    mean, rows, columns = d.mean(), d.mean(axis=1), d.mean(axis=0)
    most: Literal["seeds", "images", "rest"] = "images"
    if seeds == 1:
        variance, freedom = d.var(ddof=1) / images, images - 1.0
    else:
        of_seeds = images * rows.var(ddof=1)
        of_images = seeds * columns.var(ddof=1)
        rest = ((d - rows[:, None] - columns + mean) ** 2).sum() / ((seeds - 1) * (images - 1))
        square, of_square = max((of_seeds, seeds - 1), (rest, (seeds - 1) * (images - 1)))
        total = square + max(of_images - rest, 0.0)
        variance = total / (seeds * images)
        parts = {"seeds": of_seeds - rest, "images": of_images - rest, "rest": rest}
        most = max(parts, key=parts.__getitem__)  # type: ignore[assignment]
        freedom = total**2 * of_square / square**2 if square else math.inf
    half = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance) if variance else 0.0
    return Difference(float(mean), float(mean) - half, float(mean) + half, seeds, images, tuple(map(float, rows)), most)


def verdict(found: Difference, expected: Expected, given: bool = False) -> Verdict:
    """What the interval says of a claim.

    Args:
        found: the first net's error minus the second's.
        expected: lower: the first net is better. no_gain: it is not better by `MARGIN` points or more. equal: it is neither
            better nor worse by as much.
        given: whether the nets are given, so that a statement about these very nets needs no seeds.

    A single seed decides nothing about a net that is trained.
    """
    if found.seeds == 1 and not given:
        return "not decided"
    if expected == "lower":
        shown, contradicted = found.high < 0, found.low > 0
    elif expected == "no_gain":
        shown, contradicted = found.low > -MARGIN, found.high < -MARGIN
    else:
        shown = found.low > -MARGIN and found.high < MARGIN
        contradicted = found.high < -MARGIN or found.low > MARGIN
    return "shown" if shown else "contradicted" if contradicted else "not decided"
