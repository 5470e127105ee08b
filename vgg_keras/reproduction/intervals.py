"""A 95 % interval of the difference of two nets over seeds and images, both taken as samples.

Both nets were trained with the same seeds and tested on the same images, so there is a table of differences d[seed, image], each
-1, 0 or 1: the first net's mistake minus the second's. Another seed would give other rows, other images other columns. The mean's
variance has both parts, and is estimated from the mean squares of the two-way layout, as for readers and cases in radiology:

    V = (max(MS_seeds, MS_rest) + max(MS_images - MS_rest, 0)) / (seeds x images)

MS_seeds holds the rest's variance too. By chance it can be less, and 0 where every seed gains one image: then MS_rest replaces
it. The interval is mean ± t sqrt(V), with the degrees of freedom of Hillis (2007, Statistics in Medicine 26:596-619), of the
mean square that was taken:

    df = (MS + max(MS_images - MS_rest, 0))^2 / (MS^2 / df_MS), with df_MS = seeds - 1, or (seeds - 1)(images - 1) of the rest

Where the seeds alone differ this is Student's interval over seeds; where the images decide, df is large. A bootstrap that draws
seeds and images anew would be the other way. With three seeds it is too narrow: three numbers drawn from three have two thirds
of their variance, and its quantiles do not allow for two degrees of freedom. With one seed the interval is over images alone,
which `Difference.seeds` says.
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
Source = Literal["seeds", "images", "rest"]


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
    most: Source


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """The difference of two nets with its interval.

    Args:
        first, second: (seeds, images) bool, whether each is a mistake; of the same seeds and images.
    """
    d = first.astype(np.int64) - second
    seeds, images = d.shape
    if seeds == 1:
        variance, freedom, most = d.var(ddof=1) / images, images - 1.0, "images"
    else:
        variance, freedom, most = _of_seeds_and_images(d)
    half = 100 * float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance) if variance else 0.0
    mean, of_seeds = 100 * float(d.mean()), tuple((100 * d.mean(axis=1)).tolist())
    return Difference(mean, mean - half, mean + half, seeds, images, of_seeds, most)


def _of_seeds_and_images(d: np.ndarray) -> tuple[float, float, Source]:
    """The variance of the mean of differences (seeds, images), its degrees of freedom, and what most of it comes from."""
    seeds, images = d.shape
    total, rows, columns = d.sum(), d.sum(axis=1), d.sum(axis=0)
    # Sums of squares, times d.size: in integers, because mean squares are often equal, and then rounding would choose between
    # them. Of two nets that differ in a single answer all three are.
    of_seeds, of_images = seeds * (rows**2).sum() - total**2, images * (columns**2).sum() - total**2
    of_rest = d.size * (d**2).sum() - total**2 - of_seeds - of_images
    free = (seeds - 1) * (images - 1)
    ms_seeds, ms_images, ms_rest = of_seeds / (seeds - 1), of_images / (images - 1), of_rest / free
    square, of_square = (ms_seeds, seeds - 1) if of_seeds * (images - 1) >= of_rest else (ms_rest, free)
    spread = square + max(ms_images - ms_rest, 0.0)
    parts: dict[Source, float] = {"seeds": ms_seeds - ms_rest, "images": ms_images - ms_rest, "rest": ms_rest}
    freedom = spread**2 * of_square / square**2 if square else math.inf
    return spread / d.size**2, freedom, max(parts, key=parts.__getitem__)


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
