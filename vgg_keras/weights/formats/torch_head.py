"""The FC layers of a torch net's state dict, by their order and shapes: it holds no activations and no class of a layer."""

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

_MOST_PARTS = 5


def read(
    layers: Mapping[str, tuple[np.ndarray, ...]], ordered: bool
) -> tuple[dict[str, tuple[np.ndarray, ...]], tuple[str, ...], str]:
    """The FC layers of a head.

    Between two of a `Sequential` there is something without weights, which is taken for the activation; so is what may be
    between others.

    Args:
        layers: the arrays of each layer that is no convolution of the five blocks, by its name.
        ordered: whether they are in the order of the model, else in the alphabet's.

    Returns:
        All arrays, of FC layers a kernel (out, in) or (out, in, height, width) and a bias; the FC layers' names in order; and
        why they cannot be read, then without any.
    """
    if not layers:
        return {}, (), ""
    parts: dict[str, list[str]] = {}
    for name in layers if ordered else sorted(layers, key=_natural):
        arrays = layers[name]
        if len(arrays) == 4 or not arrays:
            what = "batch norm" if arrays else "arrays of no FC layer"
            return {}, (), f"{what} at {name or 'the model itself'}"
        if arrays[0].ndim not in (2, 4):
            continue  # left over
        parts.setdefault(name.rpartition(".")[0], []).append(name)
    if not parts:
        return dict(layers), (), ""
    every = [name for part in parts.values() for name in part]
    as_stored = [[name for name in layers if name in every]] if ordered else list(parts.values())
    tried = (as_stored, list(parts.values()), [[name] for name in every])
    order = next((found for one in tried if (found := _in_order(one, layers)) is not None), None)
    if order is None and len(parts) == 1:
        (order,) = parts.values()  # whose shapes are compared with a net's
    if order is None:
        return {}, (), f"FC layers that do not follow each other: {', '.join(list(layers)[:4])}"
    for one, following in itertools.pairwise(order):
        if (
            _place(following) is not None
            and _place(one) is not None
            and _parent(one) == _parent(following)
            and _place(following) == _place(one) + 1
        ):
            return {}, (), f"{one} and {following} without an activation between them"
    return dict(layers), tuple(order), ""


def _in_order(parts: Sequence[Sequence[str]], layers: Mapping[str, tuple]) -> list[str] | None:
    """The layers of several modules so that each takes what the one before it makes; None: in no order of the modules."""
    if len(parts) > _MOST_PARTS:
        return None
    for order in itertools.permutations(parts):
        names = [name for part in order for name in part]
        kernels = [layers[name][0] for name in names]
        if all(one.shape[0] == following.shape[1] for one, following in itertools.pairwise(kernels)):
            return names
    return None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"\.", name)]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _place(name: str) -> int | None:
    last = name.rpartition(".")[2]
    return int(last) if last.isdecimal() else None
