"""torchvision's and timm's VGG state dicts, with or without batch norm: of `torch.save` and in `.safetensors`.

Both libraries number the modules of `features`; torchvision numbers the head's too, timm names them. Their nets take RGB
in 0-1, normalised by ImageNet's mean and standard deviation.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import layers
from vgg_keras.weights.formats import torch_files, torch_head
from vgg_keras.weights.source_weights import (
    CAFFE,
    TORCHVISION,
    TORCHVISION_WORDS,
    Preprocessing,
    SourceWeights,
    assumed_of_head,
    named_head,
    two_classes,
)

_ORDER = ("weight", "bias", "running_mean", "running_var")
EPSILON = 1e-5  # of torch's batch norm
# github.com/jcjohnson/pytorch-vgg's files: the authors' D and E in torchvision's layout with Caffe's images. These are the
# first digits of their sha256. A file that has them in its name must have them in its digest.
CAFFES = ("00b39a1b", "d01eb7cb")
_FEATURES_NAME = re.compile(
    r"vgg16_features-amdegroot-[0-9a-f]{8}\.pth"
)  # torchvision's VGG16_Weights.IMAGENET1K_FEATURES
# Its classifier is not a number. Its images are in 0-1 minus a mean, divided by 1/255.
FEATURES = Preprocessing((0.48235 * 255, 0.45882 * 255, 0.40784 * 255))
FEATURES_WORDS = "RGB in 0-1, normalised by the mean 0.48235, 0.45882, 0.40784 and the deviation 1/255"
_OF_IMAGES = re.compile(r"(?!running_)(?:\w+_)?(mean|std)")  # the name of a buffer
_CAFFE_NAME = re.compile(rf"vgg(16|19)-({'|'.join(CAFFES)})\.pth")


def read(path: Path) -> SourceWeights:
    """The state dict in a file of `torch.save` or a `.safetensors`. A pickle is unpickled by torch, tensors only.

    The convolutions may lie under any name, and the FC layers beside them; the names `module.` and `_orig_mod.` are left out.

    Raises:
        UserError: not such a file, or one of `torch.save` where torch is not installed.
    """
    grouped = _by_layer(torch_files.tensors_of(path))
    features = _features(grouped, path)
    dropped, normalization = _drop_numbers(grouped), _drop_normalization(grouped)
    convolutions, head = _parted(grouped, features, path)
    _require_first(convolutions, head, path)
    found, names, problem = torch_head.read(head, ordered=not torch_files.is_safetensors(path))
    notes: tuple[str, ...] = ()
    if names and found[names[-1]][0].shape[0] == 1:
        two, note = two_classes(found[names[-1]][0].reshape(1, -1).T, found[names[-1]][1])
        found[names[-1]], notes = (np.ascontiguousarray(two[0].T), two[1]), (note,)
    features_alone = bool(names) and all(np.isnan(array).all() for name in names for array in found[name])
    if features_alone:
        found, names = {}, ()
    preprocessing, words = _preprocessing(path, features_alone)
    if normalization:
        preprocessing, words = _stored_preprocessing(normalization), ""
        shown = "; ".join(f"{name} = {', '.join(f'{x:g}' for x in value)}" for name, value in normalization.items())
        notes += (f"it normalises its images by {shown}",)
    return SourceWeights(
        str(path),
        convolutions | found,
        lambda architecture: _names(architecture, names),
        channels_first=True,
        preprocessing=preprocessing,
        own_preprocessing=preprocessing is None,
        epsilon=EPSILON,
        assumed=words,
        fc_layers=names,
        assumed_head=_assumed_of_head(convolutions, [found[name] for name in names], bool(notes)),
        head_problem=problem,
        notes=(*notes, *[f"{', '.join(dropped)} is left out: numbers beside the net"] * bool(dropped)),
    )


def _by_layer(tensors) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by the names of their layers and of their parts, such as `weight`."""
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for key, array in tensors.items():
        layer, _, part = key.rpartition(".")
        if part != "num_batches_tracked":  # batch norm's counter, which nothing reads
            grouped.setdefault(layer, {})[part] = array
    return grouped


def _parted(grouped, features: str | None, path: Path) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """The convolutions and the other layers, by name; a layer of the head that is not understood is empty.

    Raises:
        UserError: what lies among the convolutions is none.
    """
    convolutions, head = {}, {}
    for layer, parts in grouped.items():
        inside = features is not None and layer.startswith(features)
        unknown = sorted(set(parts) - set(_ORDER))
        if unknown and (inside or features is None):
            raise UserError(
                f"A VGG of torchvision or timm has weights and biases. Received: {path}, with {layer}.{unknown[0]}."
            )
        arrays = tuple(parts[part] for part in _ORDER if part in parts)
        if inside:
            convolutions[f"features.{layer.removeprefix(features)}"] = arrays
        else:
            head[_short(layer, features)] = () if unknown else arrays
    return convolutions, head


def _preprocessing(path: Path, features_alone: bool):
    """What the images of such a file are, and in words that it is assumed."""
    if features_alone or _FEATURES_NAME.fullmatch(path.name):
        return FEATURES, f"torchvision's IMAGENET1K_FEATURES, {FEATURES_WORDS}"
    return (CAFFE, "") if _CAFFE_NAME.fullmatch(path.name) else (TORCHVISION, f"torchvision's, {TORCHVISION_WORDS}")


def _drop_normalization(grouped: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Takes out a mean and a deviation of images, which a model that normalises them itself keeps as buffers, by their names."""
    found = {}
    for layer, parts in list(grouped.items()):
        for part, array in list(parts.items()):
            if _OF_IMAGES.fullmatch(part) and array.size in (1, 3):
                found[f"{layer}.{part}".lstrip(".")] = parts.pop(part).ravel()
        if not parts:
            del grouped[layer]
    return found


def _stored_preprocessing(normalization: Mapping[str, np.ndarray]) -> Preprocessing | None:
    """The preprocessing of a model that keeps these numbers; None: it is not known.

    The file has neither their unit nor the order of their colours. Only torchvision's are known; others must be stated.
    """
    values = {_OF_IMAGES.fullmatch(name.rpartition(".")[2])[1]: value for name, value in normalization.items()}
    mean, std = (np.array(part) / 255 for part in (TORCHVISION.mean, TORCHVISION.std))
    same = set(values) == {"mean", "std"} and all(
        value.shape == own.shape and np.allclose(value, own, atol=1e-3)
        for value, own in ((values["mean"], mean), (values["std"], std))
    )
    return TORCHVISION if same else None


def _require_first(convolutions: Mapping[str, tuple], head: Mapping[str, tuple], path: Path) -> None:
    """Refuses a layer of the image's channels, before the convolutions: without it they are another net's.

    It would be taken for a part of the head, which can be left out.
    """
    first = convolutions.get("features.0", ())
    channels = first[0].shape[1] if first and first[0].ndim == 4 else 0
    for layer, arrays in head.items():
        batch_norm = len(arrays) == 4 and arrays[0].size == channels
        convolution = bool(arrays) and arrays[0].ndim == 4 and arrays[0].shape[1] == channels
        if batch_norm or convolution:
            raise UserError(
                f"A VGG of torchvision or timm begins with the convolutions of its blocks. Received: {path}, with {layer} of "
                f"{channels} channels beside them."
            )


def _drop_numbers(grouped: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Takes out what trainings keep beside a net, and names it: a counter, or a loss's number for each class."""
    kernels = [parts["weight"] for parts in grouped.values() if getattr(parts.get("weight"), "ndim", 0) == 2]
    classes = {len(kernel) for kernel in kernels} - {kernel.shape[1] for kernel in kernels}  # which no layer takes
    dropped = []
    for layer, parts in list(grouped.items()):
        of_loss = set(parts) <= {"weight", "pos_weight", "class_weights"} and not re.search(r"\d", layer)
        counters = layer == "" or not any(array.ndim for array in parts.values())
        for part, array in list(parts.items()):
            counter = counters and array.ndim == 0 and part not in _ORDER
            if counter or (of_loss and array.ndim == 1 and len(array) in classes):
                dropped.append(f"{layer}.{part}".lstrip("."))
                del parts[part]
        if not parts:
            del grouped[layer]
    return dropped


def _assumed_of_head(convolutions: Mapping[str, tuple], head: Sequence[tuple], sigmoid: bool) -> tuple[str, ...]:
    """What is assumed of FC layers, whose outputs are one where there is a `sigmoid`."""
    kernels = [arrays[0] for arrays in convolutions.values() if arrays and arrays[0].ndim == 4]
    if not head or not kernels:
        return ()
    channels = max(len(kernel) for kernel in kernels)  # of the last blocks
    one_position = head[0][0].size // len(head[0][0]) == channels
    return assumed_of_head(len(head) - 1, 1 if sigmoid else len(head[-1][0]), one_position)


def _features(grouped: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> str | None:
    """What the names of the convolutions begin with: `features.` in torchvision, any other in a net around one.

    Raises:
        UserError: several nets, such as one and the average of its weights.
    """
    kernels = [name for name, parts in grouped.items() if getattr(parts.get("weight"), "ndim", 0) == 4]
    standard = [name for name in kernels if re.search(r"(^|\.)features\.\d+$", name)]
    numbered = standard or [name for name in kernels if re.search(r"(^|\.)\d+$", name)]
    begins = {name[: -len(name.rpartition(".")[2])] for name in numbered}
    if standard and len(begins) > 1:
        raise UserError(
            f"A torch file holds one net. Received: {path}, with {', '.join(sorted(begins))}. Save the state dict of one alone."
        )
    return begins.pop() if len(begins) == 1 else None


def _short(layer: str, features: str | None) -> str:
    """A name of the head without what it shares with the convolutions': of `model.features.` that is `model.`"""
    around = re.sub(r"features\.$", "", features or "")
    return layer.removeprefix(around) if features and features.endswith("features.") else layer


def _names(architecture: Architecture, head: tuple[str, ...]) -> dict[str, str]:
    """`features` counts convolution, batch norm, ReLU and pooling."""
    named, place = named_head(architecture, head), 0
    for layer in layers(architecture):
        if layer.kind == "conv":
            named[layer.name] = f"features.{place}"
            if architecture.batch_norm:
                named[f"{layer.name}_bn"] = f"features.{place + 1}"
            place += 2 + architecture.batch_norm
        elif layer.kind == "pool":
            place += 1
    return named
