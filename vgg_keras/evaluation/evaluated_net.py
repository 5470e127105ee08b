"""A net and how it was evaluated: what posteriors carry along, reports print, and two evaluations are compared by."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from vgg_keras.config import Architecture
from vgg_keras.plain_values import difference, from_dict, to_dict

MADE_BY = ("versions", "git_commit")
# Evaluations that differ in these alone are one: a run's folder may move, and the images themselves are compared.
_NOT_COMPARED = ("model", "data", "bad_images", *MADE_BY)


@dataclass(frozen=True)
class EvaluatedNet:
    """A net and how it was evaluated.

    Attributes:
        model: the run's folder, or the source of the weights.
        weights_sha256: of the weights.
        architecture: the net's.
        training_scale: S, or Smin and Smax.
        protocol: center, dense, multi_crop or both.
        scales: the values of Q.
        flip: whether with mirror images.
        grid: crops along each side; None for protocols without a grid.
        interpolation, exif_orientation: of the data.
        precision: the Keras dtype policy.
        data: one line on the set.
        split: val, train, test or all.
        bad_images: those skipped, and why.
        versions: of the packages, by name; a list of these where several made the posteriors.
        git_commit: of the code; a list where there were several.
    """

    model: str
    weights_sha256: str
    architecture: Architecture
    training_scale: tuple[int, ...]
    protocol: str
    scales: tuple[int, ...]
    flip: bool
    grid: int | None
    interpolation: str
    exif_orientation: bool
    precision: str
    data: str
    split: str
    bad_images: tuple[str, ...]
    versions: Any
    git_commit: Any

    def __post_init__(self):
        for name in ("training_scale", "scales", "bad_images"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))


def from_json(values: dict[str, Any]) -> EvaluatedNet:
    """The net of `to_dict`'s values.

    Raises:
        ValueError: fields that are missing or unknown.
        UserError: an architecture that is none.
    """
    if values.keys() != {field.name for field in dataclasses.fields(EvaluatedNet)}:
        raise ValueError("nets that are not described")
    return from_dict(EvaluatedNet, values)


def plain(net: Any) -> dict[str, Any]:
    """A net's fields as JSON values."""
    return to_dict(net) if dataclasses.is_dataclass(net) else net


def made_as(net: Any, other: Any) -> Any:
    """A net with the versions and the commit of another."""
    made_by = {name: plain(other)[name] for name in MADE_BY}
    return dataclasses.replace(net, **made_by) if dataclasses.is_dataclass(net) else {**net, **made_by}


def first_difference(old: Any, new: Any, may_differ: Collection[str] = ()) -> str | None:
    """The first field in which two evaluations differ, as `field: old, now new`; None where they are the same.

    Args:
        old, new: the two.
        may_differ: fields that are not compared, beside those that do not change the result.
    """
    skipped = {*_NOT_COMPARED, *may_differ}
    return difference(*({key: value for key, value in plain(net).items() if key not in skipped} for net in (old, new)))
