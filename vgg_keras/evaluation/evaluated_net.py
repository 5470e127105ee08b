"""A net and how it was evaluated: what posteriors carry along, reports print, and two evaluations are compared by."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from vgg_keras import provenance
from vgg_keras.config import Architecture, Config
from vgg_keras.plain_values import difference, from_dict, to_dict

Net = TypeVar("Net", bound="NetOnImages")
MADE_BY = ("versions", "git_commit")
# Evaluations that differ in these alone are one: a run's folder may move, and the images themselves are compared.
_NOT_COMPARED = ("model", "data", "bad_images", *MADE_BY)


@dataclass(frozen=True, kw_only=True)
class NetOnImages:
    """A net and the images it was run on. A subclass adds what was computed.

    Attributes:
        model: the run's folder, or the source of the weights.
        weights_sha256: of the weights.
        architecture: the net's.
        scales: the values of Q.
        flip: whether with mirror images.
        interpolation, exif_orientation: of the data.
        precision: the Keras dtype policy.
        data: one line on the set.
        split: val, train, test or all.
        bad_images: those skipped, and why.
        versions: of the packages, by name; a list of these where several made the rows.
        git_commit: of the code; a list where there were several.
    """

    model: str
    weights_sha256: str
    architecture: Architecture
    scales: tuple[int, ...]
    flip: bool
    interpolation: str
    exif_orientation: bool
    precision: str
    data: str
    split: str
    bad_images: tuple[str, ...]
    versions: Any
    git_commit: Any

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list) and field.name not in MADE_BY:  # JSON has no tuples
                object.__setattr__(self, field.name, tuple(value))

    @classmethod
    def of(cls, net, config: Config, images, precision: str, scales: Sequence[int], **computed: Any) -> Self:
        """A net that is run now, by this code.

        Args:
            net: a `LoadedModel` in `precision`.
            config: its `evaluation` and `data` are read.
            images: the `Images` that it is run on.
            precision: the Keras dtype policy.
            scales: the values of Q.
            computed: the fields of the subclass.
        """
        return cls(
            model=str(net.path),
            weights_sha256=net.weights_sha256,
            architecture=net.config.architecture,
            scales=tuple(scales),
            flip=config.evaluation.flip,
            interpolation=config.data.interpolation,
            exif_orientation=config.data.exif_orientation,
            precision=precision,
            data=images.data,
            split=images.name,
            bad_images=images.bad,
            versions=provenance.versions(),
            git_commit=provenance.git_commit(),
            **computed,
        )


@dataclass(frozen=True, kw_only=True)
class EvaluatedNet(NetOnImages):
    """A net and how it was evaluated.

    Attributes:
        training_scale: S, or Smin and Smax; empty where it is not known.
        protocol: center, dense, multi_crop or both.
        grid: crops along each side; None for protocols without a grid.
    """

    training_scale: tuple[int, ...]
    protocol: str
    grid: int | None


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


def made_as_all(net: Net, others: Sequence[Net]) -> Net:
    """A net with the versions and the commits of several; where these differ, with every one."""
    made_by = {name: one_or_all([getattr(other, name) for other in others]) for name in MADE_BY}
    return dataclasses.replace(net, **made_by)


def one_or_all(values: Sequence[Any]) -> Any:
    """The value if all are equal, else every one."""
    return values[0] if all(value == values[0] for value in values) else list(values)


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
