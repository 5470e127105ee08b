"""Which net of Table 1 a source holds, by its layers' names and shapes; and which fields of a net would fit it."""

import itertools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.errors import UserError
from vgg_keras.weights.classes import imagenet_classes
from vgg_keras.weights.convert import check_compatible, convert
from vgg_keras.weights.source_weights import CAFFE, FIRST, HEAD, TORCHVISION, SourceWeights, parsing


def resolved(architecture: Architecture, source: SourceWeights) -> Architecture:
    """An architecture with the number of classes and the mean that it leaves to the source of its weights.

    Raises:
        UserError: it has no mean, and neither has the source.
    """
    mean = source.preprocessing.mean if source.preprocessing else ()
    architecture = architecture.resolved(source.num_classes(architecture), mean)
    if not architecture.mean:
        raise UserError(
            "A .weights.h5 file does not hold the mean that its net subtracts. "
            f"Received: {source.path} without one. Name it: --set=architecture.mean=R,G,B."
        )
    return architecture


def class_names(source: SourceWeights, num_classes: int) -> tuple[str, ...]:
    """The source's names where they are as many, ImageNet's for a thousand; empty where they are not known."""
    if len(source.classes) == num_classes:
        return source.classes
    known = num_classes == 1000 and source.preprocessing in (CAFFE, TORCHVISION)
    return imagenet_classes()[1] if known else ()


def convert_or_suggest(
    source: SourceWeights, architecture: Architecture, only: Collection[str] | None = None, prefix: str = ""
) -> dict[str, list[np.ndarray]]:
    """`convert`, whose refusal names the fields that would fit; `prefix` is put before each of them."""
    with parsing(source.path):
        try:
            return convert(source, architecture, only)
        except UserError as error:
            raise UserError(f"{error}{_suggestion(source, architecture, prefix)}") from None


def _suggestion(source: SourceWeights, architecture: Architecture, prefix: str) -> str:
    """A sentence with the fields of the source's own net that differ; empty where it is none, or none differs."""
    try:
        own = infer(source, like=architecture)
    except UserError:
        return ""
    names = ["name", "width", "head", "fc_units", "batch_norm", "activation"]
    if own.activation == "leaky_relu":
        names.append("negative_slope")
    if own.head == "fc" and own.crop // 32 != architecture.crop // 32:  # else fc1's kernel is the same
        names.insert(2, "crop")
    fields = {name: getattr(own, name) for name in names if getattr(own, name) != getattr(architecture, name)}
    if own.mean and not np.allclose(own.mean, architecture.mean, atol=1e-3):
        fields["mean"] = ",".join(f"{value:g}" for value in own.mean)
    if not fields:
        return ""
    assignments = (
        f"{prefix}{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in fields.items()
    )
    return f" It fits {' '.join(assignments)}"


def infer(source: SourceWeights, like: Architecture | None = None) -> Architecture:
    """The architecture whose layers and shapes a source holds, with its classes and its mean.

    Args:
        source: of `read.read`.
        like: has what the source may lack: the head of one without FC layers, the crop of one whose head is `gap`. Its width
            is taken where it gives the source's units.

    Raises:
        UserError: the source holds none of Table 1, or lacks what `like` would have.
    """
    problems: dict[bool, UserError] = {}  # by whether the source has the layers of the net that was tried
    for name in CONFIGURATIONS:
        if (name == "A-LRN") != source.lrn:  # its weights are A's
            continue
        for batch_norm in (False, True):
            try:
                return _infer_as(source, name, batch_norm, like)
            except UserError as error:
                same = set(source.names(Architecture(name, batch_norm=batch_norm)).values()) == set(source.tensors)
                if same not in problems or str(problems[same]).startswith("Shapes"):  # C's names are D's
                    problems[same] = error
    if not any(source.names(Architecture("D"))[name] in source.tensors for name in HEAD):
        raise UserError(
            f"A file without the FC layers is no whole net. Received: {source.path}. train --weights={source.path} trains a head "
            "for it; in Python load_weights fills a model of vgg_keras.build."
        )
    raise UserError(
        f"A file of weights holds a net of Table 1. Received: {source.path}, with the layers "
        f"{', '.join(list(source.tensors)[:6])}, ... {problems.get(True, '')}".rstrip()
    )


def _infer_as(source: SourceWeights, name: str, batch_norm: bool, like: Architecture | None) -> Architecture:
    """The architecture of a source that holds this configuration of Table 1.

    Raises:
        UserError: it holds another.
    """
    named = source.names(Architecture(name, num_classes=1, batch_norm=batch_norm))

    def kernel(layer: str) -> np.ndarray:
        if not source.tensors.get(named[layer]) or source.tensors[named[layer]][0].ndim < 2:
            raise UserError(f"{named[layer]} is missing")
        return source.tensors[named[layer]][0]

    fields = {
        "mean": source.preprocessing.mean if source.preprocessing else (),
        "batch_norm": batch_norm,
        "boxes": source.boxes or "none",
        "box_unit": source.box_unit or "crop",
        "activation": source.activation,
        **({} if source.negative_slope is None else {"negative_slope": source.negative_slope}),
        **_head(source, named, kernel, like),
    }
    # the layers with the most units give the width best, since each number of units is rounded
    widths = [source.units(kernel(FIRST)) / 64, source.units(kernel("block5_conv1")) / 512]
    units = [like.fc_units if like else Architecture.fc_units]  # of the hidden FC layers, before the width
    if fields["head"] == "fc" and named["fc2"] in source.tensors:
        of_fc2 = source.units(kernel("fc2"))
        widths += [of_fc2 / one for one in dict.fromkeys((*units, Architecture.fc_units))]
        units += [Architecture.fc_units, round(of_fc2 / widths[1])]
    if like:  # which of the widths that give the same units
        widths.append(like.width)
    for fc_units, width in itertools.product(dict.fromkeys(units), dict.fromkeys(reversed(widths))):
        architecture = Architecture(name, width=width, fc_units=fc_units, **fields)
        try:
            check_compatible(source, architecture)
        except UserError as error:
            problem = error
        else:
            return architecture
    raise problem


def _head(
    source: SourceWeights, named: dict[str, str], kernel: Callable[[str], np.ndarray], like: Architecture | None
) -> dict[str, Any]:
    """The fields of the head: of the source, and what it lacks of `like`."""
    if like and not any(named[name] in source.tensors for name in HEAD):
        return {"head": like.head, "crop": like.crop, "num_classes": like.num_classes or 1}
    kernel("predictions")
    classes = max(1, source.num_classes(Architecture("D")))
    if named["fc1"] not in source.tensors and named["fc2"] not in source.tensors:
        crop = source.crop or (like.crop if like else 0)
        if not crop:
            raise UserError(
                f"A file with one FC layer, behind global average pooling, does not hold the crop. Received: {source.path}. "
                "Give a model, or --config with --set=architecture.head=gap."
            )
        return {"head": "gap", "crop": crop, "num_classes": classes}
    positions = kernel("fc1").size // source.units(kernel("fc1")) // source.units(kernel("block5_conv1"))
    return {"head": "fc", "crop": source.crop or 32 * max(1, round(positions**0.5)), "num_classes": classes}
