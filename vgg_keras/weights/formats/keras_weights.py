"""Weights that Keras saved without the model: which arrays are convolutions and FC layers, by their shapes and order.

Such a file holds the classes of the layers, each class counted for itself, and no more: neither their order across classes nor
activations, nor what Rescaling divides by. What a fine-tuned net usually has is assumed, and reported.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import LAST, layers
from vgg_keras.weights.formats import keras_preprocessing
from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer
from vgg_keras.weights.source_weights import CAFFE, CAFFE_WORDS, SourceWeights, assumed_of_head, same_names, two_classes

RULE = "Weights without their model are those of a VGG with FC layers behind it."
_POOLED = {"flatten": "fc", "reshape": "fc", "global_average_pooling2d": "gap", "global_max_pooling2d": "gmp"}
# Keras's names of the classes that a fine-tuned net may have
_KNOWN = {
    *_POOLED,
    *("input", "input_layer", "functional", "model", "sequential", "vgg16", "vgg19", "vgg", "vgg_backbone"),
    *("conv2d", "dense", "batch_normalization", "max_pooling2d", "activation", "re_lu", "leaky_re_lu", "softmax"),
    *("dropout", "spatial_dropout2d", "gaussian_dropout", "gaussian_noise", "alpha_dropout", "activity_regularization"),
    *("rescaling", "normalization", "resizing", "identity", "tf_op_lambda", "slicing_op_lambda"),
    *("rand_augment", "aug_mix", "cut_mix", "mix_up", "solarization"),
}
_OF_IMAGES = {"rescaling", "normalization"}
_BLOCKS, _MOST_MODELS = 5, 4
# Names of layers that show their class, such as `drop_fc1`. `input_scaling` may be any layer behind the input.
_CLASS_IN_NAME = r"(^|_)(input(_?(\d+|layer|images?|img|tensor))*$|(pool|pooling2d|flatten|drop|dropout)(_|\d|$))"
_OF_APPLICATIONS = re.compile(r"block\d+_conv\d+")


def is_known(kind: str) -> bool:
    """Whether a fine-tuned net may have a layer of this class."""
    return kind in _KNOWN or kind.startswith("random_")


def kind_of(group: str) -> str:
    """The class of a layer from the name that Keras gives it: `conv2d_10` is a `conv2d`."""
    return re.sub(r"_\d+$", "", group.rpartition("/")[2])


def pooling_of(kinds: Iterable[str]) -> str:
    """What FC layers take, as `Architecture.head`; behind a global pooling a Flatten changes nothing. Empty: not known."""
    return max((_POOLED[kind] for kind in kinds if kind in _POOLED), key=lambda head: head != "fc", default="")


def describe(tensors: Mapping[str, tuple], groups: Mapping[str, str], path: Path) -> SourceWeights:
    """The weights of a net of which the classes of the layers are known.

    Args:
        tensors: the arrays of each layer with weights, by its name.
        groups: each layer's name by its group, the models' inside included, in Keras's numbering.
        path: the file's.

    Raises:
        UserError: no convolutions, or layers among them that no net of Table 1 has.
    """
    file = ModelFile(RULE, path)
    kinds: dict[str, list[str]] = {}  # the classes in each model
    parts: dict[tuple[int, str], list[str]] = {}  # layers by their first array's dimensions, in each model
    for group, name in groups.items():
        place = group.rpartition("/")[0]
        kinds.setdefault(place, []).append(kind_of(group))
        if name in tensors and kind_of(group) != "normalization":
            parts.setdefault((tensors[name][0].ndim, place), []).append(name)
    places = [place for dimensions, place in parts if dimensions == 4]
    if not places:
        raise file.another("no convolutions")
    strange = [kind for place in places for kind in kinds[place] if not is_known(kind)]
    if strange:
        raise file.another(f"{strange[0][:50]}, and no configuration that says where")
    found = _convolutions(parts, places, tensors)
    if found is None:
        raise file.another("convolutions that do not follow each other")
    convolutions, parts = found
    batch_norms = [name for place in places for name in parts.get((1, place), ())]
    with_bn = bool(batch_norms) and len(batch_norms) == len(convolutions)
    fc = _in_order([names for (dimensions, _), names in parts.items() if dimensions == 2], tensors)
    problem = _problem(kinds, parts, places, fc, with_bn)
    if fc and not problem and _leaky(kinds) not in (0, len(convolutions) + len(fc) - 1):
        problem = "leaky ReLU behind some layers, whose places a file of weights does not hold: save the whole model"
    kept = {name: tensors[name] for name in (*convolutions, *(batch_norms if with_bn else ()))}
    head, notes = ([], ()) if problem or not fc else _head([tensors[name] for name in fc])
    names_of_fc = [f"fc{place}" for place in range(1, len(head))] + [LAST] * bool(head)
    kept |= dict(zip(names_of_fc, head, strict=True))
    every = {kind for inside in kinds.values() for kind in inside}
    known, assumed = _preprocessing(every, tensors, groups, file, tensors[convolutions[0]][0].shape[2])
    pooling = pooling_of(every)
    one_position = bool(head) and len(head[0][0]) == tensors[convolutions[-1]][0].shape[-1]
    outputs = head[-1][1].size if head and not notes else 1
    return SourceWeights(
        str(path),
        kept,
        lambda architecture: _names(architecture, convolutions, batch_norms if with_bn else ()),
        channels_first=False,
        preprocessing=known,
        own_preprocessing=known is None and bool(every & _OF_IMAGES),
        activation="leaky_relu" if _leaky(kinds) >= len(convolutions) else "relu",
        assumed=assumed,
        fc_layers=tuple(names_of_fc),
        head=pooling if head else "",
        assumed_head=assumed_of_head(len(head) - 1, outputs, one_position and not pooling) if head else (),
        head_problem=problem,
        notes=notes,
    )


def _names(architecture: Architecture, convolutions: Sequence[str], batch_norms: Sequence[str]) -> dict[str, str]:
    """The file's name of each of an architecture's layers: convolutions by their order."""
    ours = [layer.name for layer in layers(architecture) if layer.kind == "conv"]
    named = same_names(architecture) | dict(zip(ours, convolutions, strict=False))
    return named | dict(zip([f"{name}_bn" for name in ours], batch_norms, strict=False)) if batch_norms else named


def _convolutions(
    parts: Mapping[tuple[int, str], list[str]], places: Sequence[str], tensors: Mapping[str, tuple]
) -> tuple[list[str], Mapping[tuple[int, str], list[str]]] | None:
    """The convolutions in their order, and the parts in it; None where they do not follow each other.

    Keras 2 writes the frozen layers of a model inside behind those that were trained. The numbers in their names then tell
    the order, their batch norm's too.
    """
    numbered = {part: _by_numbers(names) if part[0] in (1, 4) else names for part, names in parts.items()}
    named = all(_OF_APPLICATIONS.fullmatch(name) for place in places for name in parts[4, place])
    for tried in (numbered,) if named else (parts, numbered):
        if found := _in_order([tried[4, place] for place in places], tensors):
            return found, tried
    return None


def _by_numbers(names: Sequence[str]) -> list[str]:
    """Names that differ in their numbers alone by these, `conv2d_10` behind `conv2d_2`; others as they are."""
    if len({re.sub(r"\d+", "", name).rstrip("_") for name in names}) > 1:
        return list(names)
    return sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _in_order(models: Sequence[Sequence[str]], tensors: Mapping[str, tuple]) -> list[str] | None:
    """The layers of several models so that each takes what the one before it makes; None: in no order of the models."""
    if len(models) > _MOST_MODELS:
        return None
    for order in itertools.permutations(models):
        names = [name for model in order for name in model]
        kernels = [tensors[name][0] for name in names]
        if all(one.shape[-1] == next_.shape[-2] for one, next_ in itertools.pairwise(kernels)):
            return names
    return None


def _problem(kinds, parts, places, fc, with_bn) -> str:
    """What makes a head one that cannot be read; empty: nothing."""
    every = [kind for inside in kinds.values() for kind in inside]
    strange = [kind for kind in every if not is_known(kind)]
    if strange:
        return strange[0][:50]
    if any(dimensions == 1 and (place not in places or not with_bn) for dimensions, place in parts):
        return "batch norm in the head, whose place a file of weights does not hold: save the whole model"
    if "max_pooling2d" in every and every.count("max_pooling2d") != _BLOCKS:
        return f"{every.count('max_pooling2d')} poolings, not {_BLOCKS}"
    if len({_POOLED[kind] for kind in every if kind in _POOLED} - {"fc"}) > 1:
        return "several poolings before the FC layers"
    if fc is None:
        return "FC layers that do not follow each other"
    return ""


def _leaky(kinds: Mapping[str, Sequence[str]]) -> int:
    """How many leaky ReLUs there are."""
    return sum(inside.count("leaky_re_lu") for inside in kinds.values())


def _head(arrays: Sequence[tuple]) -> tuple[list[tuple[np.ndarray, ...]], tuple[str, ...]]:
    head = [(pair[0], pair[1] if len(pair) > 1 else np.zeros(pair[0].shape[-1], np.float32)) for pair in arrays]
    if head[-1][1].size > 1:
        return head, ()
    head[-1], note = two_classes(*head[-1])
    return head, (note,)


def _preprocessing(kinds, tensors, groups, file, channels):
    """What is known of the preprocessing, and what is assumed of it."""
    if "normalization" in kinds and not kinds & {"rescaling", "tf_op_lambda", "slicing_op_lambda"}:
        name = next(name for group, name in groups.items() if kind_of(group) == "normalization")
        if name in tensors:  # adapted to data
            layer = SavedLayer("Normalization", name, {})
            with file.parsing():
                found = keras_preprocessing.preprocessing_of([layer], tensors, file, channels)
                return found, keras_preprocessing.doubt(found)
    if channels != 3 or kinds & _OF_IMAGES or ("tf_op_lambda" in kinds and "slicing_op_lambda" not in kinds):
        return None, ""
    return CAFFE, f"Keras Applications', {CAFFE_WORDS}"


def require_layers(groups: Sequence[str], path: Path) -> None:
    """Refuses a legacy `.h5` of weights with a layer whose class its name does not show."""
    for group in groups:
        if not is_known(kind_of(group)) and not re.search(_CLASS_IN_NAME, group):
            raise UserError(
                f"A .h5 of weights alone is Keras Applications'. Received: {path}, of a net with the layer {group}, whose "
                "configuration it does not hold. Save the whole model: model.save(...)."
            )
