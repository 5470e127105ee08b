"""A net's classes and those of the images it is run on: their names must be the same, and their numbers are then the net's.

An evaluation takes images of some of the net's classes, in any order. What compares outputs with labels by their places needs as
many, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_keras.errors import UserError

if TYPE_CHECKING:  # a command line compares classes before a framework starts
    from vgg_keras.weights.formats.run_folder import LoadedModel

_CLASSES = Path(__file__).parent / "imagenet_classes.txt"  # WordNet's id and a name for each, in ILSVRC's order


def require_classes(net: LoadedModel, classes: Sequence[str], data: str) -> None:
    """Refuses labelled images of other classes than the net's. ImageNet's classes may go by their ids in the data.

    Args:
        net: whose outputs are compared with the images' labels.
        classes: of the data, in label order.
        data: what a message calls the data.

    Raises:
        UserError: another number of classes, another name, or another order.
    """
    if found := difference_of_classes(net.classes, net.config.architecture.num_classes, classes):
        raise UserError(f"--data must hold the classes that the net was trained on. Received: {data}{found}")


def places_of_some(net: Sequence[str], data: Sequence[str]) -> list[int] | None:
    """The places among a net's classes of those of the data, by name or by ImageNet's ids.

    None where the two are the same, or the data has a class that the net has not.

    Args:
        net: its classes' names; empty where they are unknown.
        data: the names of the data's.
    """
    net, data = tuple(net), tuple(data)
    ids, names = imagenet_classes()
    net = ids if net == names and set(data) <= set(ids) else net
    if net == data or not set(data) <= set(net):
        return None
    places = {name: place for place, name in enumerate(net)}
    return [places[name] for name in data]


def require_scores(net: LoadedModel, what: str) -> None:
    """Refuses a net of boxes (A) where scores of classes are needed.

    Args:
        net: that is given.
        what: needs the scores, as the message begins.

    Raises:
        UserError: its outputs are boxes.
    """
    if net.config.predicts_boxes:
        raise UserError(
            f"{what} needs a net that gives classes. Received: {net.path}, which gives boxes. python -m vgg_keras.localize draws "
            "them; evaluate --model=RUN, or --weights with --config=localisation, measures them."
        )


def difference_of_classes(net: Sequence[str], outputs: int, data: Sequence[str]) -> str | None:
    """The difference between a net's classes and the data's, the end of a sentence that begins with the data's name.

    Args:
        net: its classes' names; empty where they are unknown, so that their number alone counts.
        outputs: how many it has.
        data: the names of the data's.
    """
    net, data = tuple(net), tuple(data)
    if (data, net) == imagenet_classes() or (not net and len(data) == outputs):
        return None
    if not net:
        return f" with {len(data):,} classes, the net has {outputs:,}."
    if not (found := first_difference(net, data, none="missing")):
        return None
    place, ours, theirs = found
    counts = f" It has {len(data):,} classes, the net {outputs:,}." if len(data) != outputs else ""
    return f", whose class {place} is {theirs}, the net's {ours}.{counts}"


def first_difference(old: Sequence[str], new: Sequence[str], none: str = "none") -> tuple[int, str, str] | None:
    """The first place where two lists differ and the entry of each, quoted; `none` where one has ended."""
    for place in range(max(len(old), len(new))):
        words = [repr(names[place]) if place < len(names) else none for names in (old, new)]
        if words[0] != words[1]:
            return place, *words
    return None


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids and the names of ImageNet's thousand classes, in the order of every net that was trained on them."""
    ids, names = zip(*(line.split(" ", 1) for line in _CLASSES.read_text().splitlines()), strict=True)
    return ids, names
