"""The suites by name."""

from collections.abc import Mapping

from vgg_keras.errors import UserError, nearest
from vgg_keras.reproduction.suite import Suite
from vgg_keras.reproduction.suites import imagenet, small, smoke

NAMES = ("small", "smoke", "imagenet")


def of(name: str, weights: Mapping[str, str]) -> Suite:
    """A suite.

    Args:
        name: one of `NAMES`.
        weights: of `imagenet`, those of given nets by Table 1's columns; none: the nets are trained.

    Raises:
        UserError: there is no such suite, or it takes no weights.
    """
    if name == "imagenet":
        return imagenet.suite(weights)
    if weights:
        raise UserError(f"--weights belongs to --suite=imagenet. Received: --suite={name}. Leave it out.")
    known = {"small": small.suite, "smoke": smoke.suite}
    if name not in known:
        raise UserError(f"--suite takes {', '.join(NAMES)}. Received: {name!r}. {nearest(name, NAMES)}")
    return known[name]()
