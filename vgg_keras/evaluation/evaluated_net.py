"""A net and how it was evaluated: what posteriors carry along, reports print, and two evaluations are compared by."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from vgg_keras.config import Architecture
from vgg_keras.plain_values import difference, from_dict, to_dict

Net = TypeVar("Net")  # a dataclass: a net and how its rows were made, of which `MADE_BY` and `model` are fields
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


def from_json(kind: type[Net], values: dict[str, Any]) -> Net:
    """The net of `to_dict`'s values.

    Args:
        kind: a dataclass, such as `EvaluatedNet`.
        values: one for each of its fields.

    Raises:
        ValueError: fields that are missing or unknown.
        UserError: an architecture that is none.
    """
    if values.keys() != {field.name for field in dataclasses.fields(kind)}:
        raise ValueError("nets that are not described")
    return from_dict(kind, values)


def made_as(net: Net, other: Net) -> Net:
    """A net with the versions and the commit of another."""
    return dataclasses.replace(net, **{name: getattr(other, name) for name in MADE_BY})


def first_difference(old: Net, new: Net, may_differ: Collection[str] = ()) -> str | None:
    """The first field in which two evaluations differ, as `field: old, now new`; None where they are the same.

    Args:
        old, new: the two.
        may_differ: fields that are not compared, beside those that do not change the result.
    """
    skipped = {*_NOT_COMPARED, *may_differ}
    return difference(
        *({key: value for key, value in to_dict(net).items() if key not in skipped} for net in (old, new))
    )
