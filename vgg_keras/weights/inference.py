"""Which net of Table 1 a source holds, by its layers' names and shapes; and which fields of a net would fit it."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import LAST, layers, mean_of_channels
from vgg_keras.weights.classes import imagenet_classes
from vgg_keras.weights.convert import check_compatible, convert
from vgg_keras.weights.source_weights import (
    CAFFE,
    FIRST,
    TORCHVISION,
    Preprocessing,
    SourceWeights,
    flags_of_images,
    parsing,
)


def resolved(architecture: Architecture, source: SourceWeights) -> Architecture:
    """An architecture with the number of classes and the mean that it leaves to the source of its weights.

    Raises:
        UserError: it has no mean, and neither has the source.
    """
    mean = mean_of_channels(source.preprocessing.mean if source.preprocessing else (), architecture.channels)
    classes = source.num_classes(architecture)
    takes_scores = architecture.boxes == "none" and architecture.num_classes in (0, classes)
    architecture = architecture.resolved(classes, mean, source.multi_label and takes_scores)
    if not architecture.mean:
        raise UserError(
            "This file does not hold the mean that its net subtracts. "
            f"Received: {source.path}. Name it: {flags_of_images(architecture.channels, 'mean')}, and architecture.std likewise "
            "where it divides."
        )
    return architecture


def with_stated(source: SourceWeights, mean: Sequence[float], std: Sequence[float]) -> SourceWeights:
    """A source with the preprocessing that the user states, where the source does not hold its own: RGB, (x - mean) / std.

    Where one is assumed, both must be stated: a mean or a division alone is that of the net that takes the weights.
    """
    lacks = source.preprocessing is None or (source.assumed and std)
    if not mean or not lacks:
        return source
    stated = Preprocessing(tuple(mean), tuple(std) or (1.0,) * len(mean))
    return dataclasses.replace(source, preprocessing=stated, assumed="")


def _equal(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether two means or deviations are the same, of as many channels."""
    return len(ours) == len(theirs) and np.allclose(ours, theirs, atol=1e-3)


def class_names(source: SourceWeights, num_classes: int) -> tuple[str, ...]:
    """The source's names where they are as many, ImageNet's for a thousand; empty where they are not known."""
    if len(source.classes) == num_classes:
        return source.classes
    known = (
        num_classes == 1000
        and source.preprocessing is not None
        and any(
            source.preprocessing.bgr == one.bgr
            and _equal(source.preprocessing.mean, one.mean)
            and _equal(source.preprocessing.std, one.std)
            for one in (CAFFE, TORCHVISION)
        )
    )
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
    names = ["name", "width", "head", "fc_units", "fc_layers", "batch_norm", "activation"]
    if own.hidden_units == architecture.hidden_units:
        names = [name for name in names if not name.startswith("fc_")]
    if own.activation == "leaky_relu":
        names.append("negative_slope")
    if own.head == "fc" and own.crop // 32 != architecture.crop // 32:  # else fc1's kernel is the same
        names.insert(2, "crop")
    if own.channels != architecture.channels:  # of a net in other channels than RGB's, which are adapted
        names.append("channels")
    fields = {name: getattr(own, name) for name in names if getattr(own, name) != getattr(architecture, name)}
    mean = mean_of_channels(own.mean, own.channels)
    if mean and not _equal(mean, architecture.mean):
        fields["mean"] = ",".join(f"{value:g}" for value in mean)
    if not fields:
        return ""
    return f" It fits {' '.join(f'{prefix}{name}={_text(value)}' for name, value in fields.items())}"


def _text(value: Any) -> str:
    """A field's value as a command line takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def require_head(source: SourceWeights) -> None:
    """Refuses a source whose head could not be read.

    Raises:
        UserError: what it has, and what its convolutions are good for.
    """
    if not source.head_problem:
        return
    use = "Its convolutions can be used: train --weights trains a new head on them, features --weights describes images by them."
    if not _of_table_1(source):
        use = "Its convolutions are not those of a net of Table 1 either."
    raise UserError(
        "A head is a pooling and FC layers with one activation. "
        f"Received: {source.path}, another, with {source.head_problem}. {use}"
    )


def _of_table_1(source: SourceWeights) -> bool:
    """Whether the convolutions of a source are those of a net of Table 1."""
    try:
        infer(dataclasses.replace(source.without_head(), head_problem=""), like=Architecture(head="gap", num_classes=1))
    except UserError:
        return False
    return True


def head_of(source: SourceWeights, architecture: Architecture) -> str:
    """What a source's FC layers take; where it does not hold that, what they may take of this net's last map.

    One position is behind a pooling, or all of a map that has no more; hidden FC layers are the authors' where neither fits.
    """
    first = source.tensors[source.fc_layers[0]][0]
    channels = next(layer.units for layer in reversed(layers(architecture)) if layer.kind == "pool")
    if source.head or first.size // source.units(first) > channels:
        return source.head or "fc"
    if architecture.head != "fc" or architecture.crop // 32 == 1:
        return architecture.head
    return "fc" if len(source.fc_layers) > 1 else "gap"


def infer(
    source: SourceWeights, like: Architecture | None = None, stated: Mapping[str, Any] | None = None
) -> Architecture:
    """The architecture whose layers and shapes a source holds, with its classes and its mean.

    Args:
        source: of `read.read`.
        like: has what the source may lack: the head of one without FC layers, the crop of one that pools the last map. Its
            width is taken where it gives the source's units.
        stated: fields of the architecture that the user states, for what the source may lack: the crop, the head, the slope
            of leaky ReLU, the division.

    Raises:
        UserError: the source holds none of Table 1, or lacks what `like` or `stated` would have.
    """
    stated = stated or {}
    problems: dict[bool, UserError] = {}  # by whether the source has the layers of the net that was tried
    for name in CONFIGURATIONS:
        if (name == "A-LRN") != source.lrn:  # its weights are A's
            continue
        for batch_norm in (False, True):
            try:
                return _infer_as(source, name, batch_norm, like, stated)
            except UserError as error:
                named = set(source.names(_tried(source, name, batch_norm)).values())
                beside = named < set(source.tensors) and all(
                    array.ndim < 2 for layer in set(source.tensors) - named for array in source.tensors[layer]
                )
                same = named == set(source.tensors) or beside
                if same not in problems or str(problems[same]).startswith("Shapes"):  # C's names are D's
                    problems[same] = error
    require_head(source)
    if not source.fc_layers and like is None and _of_table_1(source):
        raise UserError(
            f"A file without the FC layers is no whole net. Received: {source.path}. train --weights={source.path} trains a head "
            "for it; in Python load_weights fills a model of vgg_keras.build."
        )
    raise UserError(
        f"A file of weights holds a net of Table 1. Received: {source.path}, with the layers "
        f"{', '.join(list(source.tensors)[:6])}, ... {problems.get(True, '')}".rstrip()
    )


def _tried(source: SourceWeights, name: str, batch_norm: bool) -> Architecture:
    """A net of as many layers as the source's, for its layers' names."""
    hidden = max(0, len(source.fc_layers) - 1)
    return Architecture(name, num_classes=1, batch_norm=batch_norm, fc_layers=hidden)


def _infer_as(
    source: SourceWeights, name: str, batch_norm: bool, like: Architecture | None, stated: Mapping[str, Any]
) -> Architecture:
    """The architecture of a source that holds this configuration of Table 1.

    Raises:
        UserError: it holds another.
    """
    named = source.names(_tried(source, name, batch_norm))

    def kernel(layer: str) -> np.ndarray:
        if not source.tensors.get(named[layer]) or source.tensors[named[layer]][0].ndim < 2:
            raise UserError(f"{named[layer]} is missing")
        return source.tensors[named[layer]][0]

    slope = stated.get("negative_slope") if source.negative_slope is None else source.negative_slope
    kernel(FIRST)  # that it is there
    theirs = source.channels() or 3
    channels = (like.channels if like else stated.get("channels", 3)) if theirs == 3 else theirs  # RGB's are adapted
    fields = {
        "channels": channels,
        "mean": mean_of_channels(source.preprocessing.mean if source.preprocessing else (), channels),
        "std": mean_of_channels(stated.get("std", ()), channels),
        "batch_norm": batch_norm,
        "multi_label": source.multi_label or stated.get("multi_label", False),
        "boxes": source.boxes or stated.get("boxes", "none"),
        "box_unit": source.box_unit or stated.get("box_unit", "crop"),
        "activation": source.activation,
        **({} if slope is None else {"negative_slope": slope}),
        **_head(source, kernel, like, stated),
    }
    # the layers with the most units give the width best, since each number of units is rounded
    widths = [source.units(kernel(FIRST)) / 64, source.units(kernel("block5_conv1")) / 512]
    hidden, defaults = source.hidden_units(), (like.fc_units if like else Architecture.fc_units, Architecture.fc_units)
    if hidden and len(set(hidden)) == 1:
        widths += [hidden[-1] / units[0] for units in dict.fromkeys(defaults) if len(units) == 1]
    units = list(dict.fromkeys((*defaults, tuple(max(1, round(one / widths[1])) for one in hidden) or defaults[0])))
    if like:  # which of the widths that give the same units
        widths.append(like.width)
    problem = UserError("no hidden FC layers of these units")
    for fc_units, width in itertools.product(units, dict.fromkeys(reversed(widths))):
        if len(fc_units) > 1 and source.fc_layers and len(fc_units) != len(hidden):
            continue
        fc_layers = like.fc_layers if like and not source.fc_layers else len(hidden)
        architecture = _plain(Architecture(name, width=width, fc_units=fc_units, fc_layers=fc_layers, **fields))
        try:
            check_compatible(source, architecture)
        except UserError as error:
            problem = error
        else:
            return architecture
    raise problem


def _plain(architecture: Architecture) -> Architecture:
    """The same net by fewer numbers: one for hidden FC layers of the same units, no number of layers where it is the usual."""
    if len(set(architecture.fc_units)) == 1:
        architecture = dataclasses.replace(
            architecture, fc_layers=len(architecture.hidden_units), fc_units=architecture.fc_units[:1]
        )
    usual = dataclasses.replace(architecture, fc_layers=-1)
    return usual if usual.hidden_units == architecture.hidden_units else architecture


def _head(
    source: SourceWeights, kernel: Callable[[str], np.ndarray], like: Architecture | None, stated: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of the head: of the source, and what it lacks of `like` and `stated`."""
    if like and not source.fc_layers:
        return {"head": like.head, "crop": like.crop, "num_classes": like.num_classes or 1}
    kernel(LAST)
    task = Architecture("D", boxes=source.boxes or stated.get("boxes", "none"))
    classes = source.num_classes(task) or stated.get("num_classes") or 1
    hidden = len(source.fc_layers) - 1
    first = kernel("fc1" if hidden else LAST)
    positions = first.size // source.units(first) // source.units(kernel("block5_conv1"))
    crop = source.crop or stated.get("crop", like.crop if like else 0)
    head = source.head or stated.get("head") or ("fc" if positions > 1 else "")
    if not head and not crop:
        raise UserError(
            "FC layers that take one position are behind a global pooling, or on images of 32 pixels; a file of weights does not "
            f"hold the crop. Received: {source.path}. Name it: --set=architecture.crop=224, or the side of the images it was "
            "trained on, which is taken for --set=architecture.head=gap; or --set=architecture.crop=32."
        )
    if not head:
        head = like.head if like and like.head != "fc" else "fc" if crop // 32 == 1 else "gap"
    if head != "fc":
        if not crop:
            raise UserError(
                "A file whose FC layers are behind a global pooling does not hold the crop. "
                f"Received: {source.path}. Name it: --set=architecture.crop=224, or the side of the images it was trained on."
            )
        return {"head": head, "crop": crop, "num_classes": classes}
    side = max(1, round(positions**0.5))
    return {"head": "fc", "crop": crop if crop // 32 == side else source.crop or 32 * side, "num_classes": classes}
