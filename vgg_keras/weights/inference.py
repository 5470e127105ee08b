"""Which net of Table 1 a file holds, told by its layers' names and shapes."""

from collections.abc import Mapping
from typing import Any

from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import FC_UNITS
from vgg_keras.weights.foreign import FIRST, TOP, Foreign, fit, outputs_of


def infer(source: Foreign, like: Architecture | None = None) -> Architecture:
    """The architecture whose layers and shapes a file holds, with its classes and its mean.

    Args:
        source: of a loader.
        like: has what the file may lack: the head of one without FC layers, the crop of one whose head is `gap`. Its width
            is taken where it gives the file's units.

    Raises:
        UserError: it holds none of Table 1, or lacks what `like` would have.
    """
    problems = {}
    for name in CONFIGURATIONS:
        if (name == "A-LRN") != source.lrn:  # its weights are A's
            continue
        for batch_norm in (False, True):
            try:
                return _inferred(source, name, batch_norm, like)
            except UserError as error:
                same = set(source.names(Architecture(name, batch_norm=batch_norm)).values()) == set(source.tensors)
                if same not in problems or str(problems[same]).startswith("Shapes"):  # C's names are D's
                    problems[same] = error
    if not any(source.names(Architecture("D"))[name] in source.tensors for name in TOP):
        raise UserError(
            f"A file without the FC layers is no whole net. Received: {source.path}. train --weights={source.path} trains a head "
            "for it; in Python load_weights fills a model of vgg_keras.build."
        )
    raise UserError(
        f"A file of weights holds a net of Table 1. Received: {source.path}, with the layers "
        f"{', '.join(list(source.tensors)[:6])}, ... {problems.get(True, '')}".rstrip()
    )


def _inferred(source: Foreign, name: str, batch_norm: bool, like: Architecture | None) -> Architecture:
    named = source.names(Architecture(name, num_classes=1, batch_norm=batch_norm))

    def kernel(layer):
        if not source.tensors.get(named[layer]) or source.tensors[named[layer]][0].ndim < 2:
            raise UserError(f"{named[layer]} is missing")
        return source.tensors[named[layer]][0]

    def units(layer):
        return outputs_of(source, kernel(layer))

    found = {
        "mean": source.preprocessing.mean if source.preprocessing else (),
        "batch_norm": batch_norm,
        "activation": source.activation,
        **({} if source.negative_slope is None else {"negative_slope": source.negative_slope}),
        **_head(source, named, kernel, like),
    }
    # the layers with the most units tell the width best, since each number of units is rounded
    widths = [units(FIRST) / 64, units("block5_conv1") / 512]
    if found["head"] == "fc" and named["fc2"] in source.tensors:
        widths.append(units("fc2") / FC_UNITS)
    if like:  # which of the widths that give the same units
        widths.append(like.width)
    for width in dict.fromkeys(reversed(widths)):
        architecture = Architecture(name, width=width, **found)
        try:
            fit(source, architecture)
        except UserError as error:
            problem = error
        else:
            return architecture
    raise problem


def _head(source: Foreign, named: Mapping[str, str], kernel, like: Architecture | None) -> dict[str, Any]:
    """The fields of the head: of the file, and what it lacks of `like`."""
    if like and not any(named[name] in source.tensors for name in TOP):
        return {"head": like.head, "crop": like.crop, "num_classes": like.num_classes or 1}
    classes = outputs_of(source, kernel("predictions"))
    if named["fc1"] not in source.tensors and named["fc2"] not in source.tensors:
        crop = source.crop or (like.crop if like else 0)
        if not crop:
            raise UserError(
                f"A file with one FC layer, behind global average pooling, does not hold the crop. Received: {source.path}. "
                "Give a model, or --config with --set=architecture.head=gap."
            )
        return {"head": "gap", "crop": crop, "num_classes": classes}
    positions = kernel("fc1").size // outputs_of(source, kernel("fc1")) // outputs_of(source, kernel("block5_conv1"))
    return {"head": "fc", "crop": source.crop or 32 * max(1, round(positions**0.5)), "num_classes": classes}
