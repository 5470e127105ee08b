"""Which layers of a net are trained, and the rates of their own that some have. No framework is imported here.

training.layers=block5                             block 5 and the head
training.rate_factors=predictions:10,block5:0.1    10 times the rate in the last layer, a tenth in block 5
"""

import dataclasses
import math
from collections.abc import Sequence

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError, nearest
from vgg_keras.nets.architectures import Layer, layers

ALL, FC, NEW = "all", "fc", "new"


def trained_layers(architecture: Architecture, chosen: str) -> tuple[str, ...]:
    """The names of the trained layers, in their order; batch norm is trained with its convolution.

    Args:
        architecture: of any number of classes.
        chosen: `training.layers`: all, fc, or a layer or a block from which on. `new`, until `resolved` has replaced it, is fc.

    Raises:
        UserError: no such layer or block; the nearest is named.
    """
    net = _with_weights(architecture)
    names = [layer.name for layer in net]
    if chosen in (FC, NEW):
        return tuple(layer.name for layer in net if layer.kind == "fc")
    if chosen == ALL:
        return tuple(names)
    first = next((place for place, name in enumerate(names) if chosen in (name, _block(name))), None)
    if first is None:
        known = [ALL, FC, NEW, *_blocks(names), *names]
        raise UserError(
            "training.layers is all, fc, new, or the block or layer from which on the net is trained. "
            f"Received: {chosen!r}. {nearest(chosen, known)}"
        )
    return tuple(names[first:])


def resolved(architecture: Architecture, chosen: str, given: Sequence[str]) -> str:
    """`training.layers` without `new`: the first layer that a start has no weights for, or the last layer.

    Args:
        architecture: of any number of classes.
        chosen: `training.layers`.
        given: the layers that the start has weights for.
    """
    if chosen != NEW:
        return chosen
    names = trained_layers(architecture, ALL)
    return next((name for name in names if name not in given), names[-1])


def rate_factors(architecture: Architecture, assignments: Sequence[str]) -> dict[str, float]:
    """The factor of each layer whose rate has one, by its name; a layer's own goes before its block's.

    Args:
        architecture: of any number of classes. A recipe for any head may name fc1 and fc2 where the net has none.
        assignments: `training.rate_factors`, each a layer's or a block's name, or fc, a colon and a factor.

    Raises:
        UserError: another form, no such layer or block, one that is named twice, or a factor that is not above 0.
    """
    of_the_paper = dataclasses.replace(architecture, head="fc", fc_units=(1,), fc_layers=-1)
    of_any_head = [*trained_layers(architecture, ALL), *trained_layers(of_the_paper, FC)]
    names = list(dict.fromkeys(of_any_head))
    groups = {block: [name for name in names if _block(name) == block] for block in _blocks(names)}
    groups[FC] = list(trained_layers(architecture, FC))
    found: dict[str, float] = {}
    for text in assignments:
        name, colon, number = text.partition(":")
        if not colon or name not in (*groups, *names):
            raise UserError(
                "training.rate_factors is LAYER:FACTOR, BLOCK:FACTOR or fc:FACTOR, with commas between them. "
                f"Received: {text!r}. {nearest(name, [*groups, *names])}"
            )
        if name in found:
            raise UserError(f"training.rate_factors names a layer or a block once. Received: {name!r} twice.")
        found[name] = _factor(text, number)
    of_groups = {layer: found[group] for group, inside in groups.items() if group in found for layer in inside}
    return {
        name: factor for name in trained_layers(architecture, ALL) if (factor := found.get(name, of_groups.get(name)))
    }


def _factor(text: str, number: str) -> float:
    try:
        factor = float(number)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise UserError(
            f"A factor of training.rate_factors is a number above 0. Received: {text!r}. "
            "Layers that are not trained are left out by training.layers."
        )
    return factor


def _with_weights(architecture: Architecture) -> list[Layer]:
    return [layer for layer in layers(architecture) if layer.kind in ("conv", "fc")]


def _block(name: str) -> str:
    """The block of a convolution; a FC layer's own name."""
    return name.partition("_")[0]


def _blocks(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(_block(name) for name in names if "_" in name))
