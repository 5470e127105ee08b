"""Keras's HDF5 files: Keras Applications' `.h5`, a net's `.weights.h5`, and the one inside a `.keras`.

They are read as arrays; Keras's `load_model` is never called on a file. A file with links out of itself is refused.
"""

import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.overrides import choices
from vgg_keras.weights.formats import keras_model
from vgg_keras.weights.formats.keras_model import ModelFile
from vgg_keras.weights.source_weights import CAFFE, CAFFE_WORDS, SourceWeights, same_names

_WEIGHTS = "model.weights.h5"  # in a .keras archive
_CONFIG = "config.json"
_KERAS_RULE = "A .keras file holds a net of vgg_keras."
_H5_RULE = "A whole model in a .h5 file holds a net of Table 1."
_MAX_RATIO = 100  # bytes that one byte of a file may become: weights cannot be packed
_MAX_CONFIG_BYTES = 2**20  # bytes of a configuration; a net of ours has some 30 thousand
_MAX_LAYERS = 1000
# Names of layers without weights that a file of weights may hold: what they do is the same in every net.
_NO_WEIGHTS = re.compile(r"(^|_)(input|pool|pooling2d|flatten|dropout)(_|\d|$)")
# Keras's names for the layers of a net of ours, in a `.weights.h5`.
_OUR_LAYERS = {
    "input_layer",
    "at_least",  # of the dense net
    "mean_subtraction",
    "conv2d",
    "batch_normalization",
    "re_lu",
    "leaky_re_lu",
    "local_response_normalization",
    "max_pooling2d",
    "global_average_pooling2d",
    "flatten",
    "dense",
    "dropout",
    "activation",
}


def read_h5(path: Path) -> SourceWeights:
    """A `.h5` of Keras's older format: a whole model, or weights alone such as Keras Applications' VGG16 and VGG19.

    A whole model holds its configuration, which is believed. One that begins with a convolution, and weights alone, are
    read as Keras Applications': BGR minus a mean.

    Raises:
        UserError: not such a file, or a model that is not a net of Table 1.
    """
    with _open(path, path) as file:
        root = _member(file, "model_weights", path) if "model_weights" in file else file
        if "mean_subtraction" in _names(root.attrs.get("layer_names", ()), path):
            raise UserError(
                f"A plain .h5 is Keras Applications'. Received: {path}, a net of vgg_keras. Save it as .keras or .weights.h5."
            )
        model = _model_config(file, path)
        layers = None if model is None else keras_model.chain(model, ModelFile(_H5_RULE, path))
        tensors = _keras_2_weights(root, layers, path)
    if not tensors:
        raise _without(path, "Keras's older .h5 format, with layer_names")
    if layers is None:
        found = SourceWeights(str(path), tensors, same_names, channels_first=False, preprocessing=None)
    else:
        found = keras_model.describe(layers, tensors, ModelFile(_H5_RULE, path))
    if found.preprocessing is None:
        found = dataclasses.replace(found, preprocessing=CAFFE, assumed=f"Keras Applications', {CAFFE_WORDS}")
    return found


def _model_config(file: h5py.File, path: Path) -> object | None:
    """What the file says of its model; None where it holds weights alone."""
    if "model_config" not in file.attrs:
        return None
    stored = file.attrs.get_id("model_config")
    if stored.shape != () or stored.dtype.itemsize > _MAX_CONFIG_BYTES:
        raise _without(path, "a model's configuration, a text")
    return _json(file.attrs["model_config"], _H5_RULE, path)


def _json(text: str | bytes, rule: str, path: Path) -> object:
    if len(text) > _MAX_CONFIG_BYTES:
        raise UserError(f"{rule} Received: {path}, with a configuration of {len(text):,} bytes.")
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{rule} Received: {path}, whose configuration is not JSON: {reason}.") from None


def _keras_2_weights(root: h5py.Group, layers: list[keras_model.SavedLayer] | None, path: Path) -> dict:
    """The arrays of each layer with weights; those of a model inside the model go by their own layers' names."""
    kinds = {layer.name: layer.kind for layer in layers or ()}
    tensors: dict[str, tuple] = {}
    for group in _names(root.attrs.get("layer_names", ()), path):
        names = _names(_member(root, group, path).attrs.get("weight_names", ()), path)
        if layers is None and not names and not _NO_WEIGHTS.search(group):
            raise UserError(
                f"A .h5 of weights alone is Keras Applications'. Received: {path}, of a net with the layer {group}, whose "
                "configuration it does not hold. Save the whole model: model.save(...)."
            )
        of_layer: dict[str, list[str]] = {}
        for name in names:
            nested = layers is not None and group not in kinds
            of_layer.setdefault(name.split("/")[-2] if nested and "/" in name else group, []).append(name)
        for layer, own in of_layer.items():
            if layer in tensors:
                raise UserError(f"A .h5 file names each layer once. Received: {path}, with {layer[:50]} twice.")
            own = own[:2] if kinds.get(layer) == "Normalization" else own  # the third counts what it was adapted to
            tensors[layer] = tuple(_array(_member(root, f"{group}/{name}", path), path) for name in own)
    return tensors


def read_keras(path: Path) -> SourceWeights:
    """A net's `.weights.h5`, or the one inside its `.keras`; of the latter the configuration is read too, as JSON.

    A `.weights.h5` does not hold the mean that its net subtracts, nor leaky ReLU's slope.

    Raises:
        UserError: not such a file.
    """
    if not zipfile.is_zipfile(path):
        return _read_weights(path)
    model_file = ModelFile(_KERAS_RULE, path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (_CONFIG, _WEIGHTS):
                stored = archive.getinfo(name)
                if stored.file_size > _MAX_RATIO * stored.compress_size:
                    raise UserError(
                        f"{path} must hold a net. Received: {name}, of {stored.file_size:,} bytes unpacked."
                    )
            model = _json(archive.read(_CONFIG), _KERAS_RULE, path)
            layers = keras_model.chain(model, model_file)
            with _open(path, io.BytesIO(archive.read(_WEIGHTS))) as file:
                counted = {layer.name for layer in layers if layer.kind == "Normalization"}
                tensors, _ = _keras_3_weights(file, path, counted)
    except (KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"A .keras file holds {_CONFIG} and {_WEIGHTS}. Received: {path}: {error}.") from None
    found = keras_model.describe(layers, tensors, model_file)
    if found.preprocessing is None:
        raise _not_ours(path)
    return _with_boxes(found, model, path)


def _with_boxes(found: SourceWeights, model: object, path: Path) -> SourceWeights:
    """The weights of a `.keras` file with what its `Architecture` says of boxes: the layers of a net of boxes say nothing."""
    stored = model["config"].get("architecture") if isinstance(model.get("config"), dict) else None
    fields = (
        {name: stored[name] for name in ("boxes", "box_unit") if name in stored} if isinstance(stored, dict) else {}
    )
    for name, value in fields.items():
        if value not in choices(f"architecture.{name}"):
            raise UserError(f"{_KERAS_RULE} Received: {path}, whose architecture.{name} is {value!r:.50}.")
    return dataclasses.replace(found, **fields)


def _not_ours(path: Path) -> UserError:
    return UserError(
        f"A .keras or .weights.h5 file holds a net of vgg_keras, which begins with a mean. Received: {path}, another."
    )


def _read_weights(path: Path) -> SourceWeights:
    with _open(path, path) as file:
        tensors, groups = _keras_3_weights(file, path)
    kinds = {re.sub(r"_\d+$", "", group) for group in groups}
    if groups and "mean_subtraction" not in kinds:
        raise _not_ours(path)
    if kinds - _OUR_LAYERS:
        raise UserError(f"{_not_ours(path)} It has {min(kinds - _OUR_LAYERS)[:50]}.")
    if not tensors:
        raise _without(path, "the weights of a Keras 3 model, with layers/")
    return SourceWeights(
        str(path),
        tensors,
        same_names,
        channels_first=False,
        preprocessing=None,
        activation="leaky_relu" if "leaky_re_lu" in kinds else "relu",
        lrn="local_response_normalization" in kinds,
        boxes=None,
        box_unit=None,
    )


def _keras_3_weights(file: h5py.File, path: Path, counted: set[str] = frozenset()) -> tuple[dict, list[str]]:
    """The arrays of each layer with weights, and Keras's names of all layers, those of models inside the model included.

    Args:
        counted: layers whose third array is a count, which is not read.
    """
    tensors: dict[str, tuple] = {}
    groups: list[str] = []
    waiting = ["layers"] if "layers" in file else []
    while waiting:
        place = waiting.pop()
        for group in _member(file, place, path):
            groups.append(group)
            if len(groups) > _MAX_LAYERS:
                raise _without(path, f"at most {_MAX_LAYERS} layers")
            node = _member(file, f"{place}/{group}", path)
            if "layers" in node:
                waiting.append(f"{place}/{group}/layers")
            variables = _member(file, f"{place}/{group}/vars", path)
            if not len(variables):
                continue
            name = variables.attrs.get("name", group)
            name = name.decode() if isinstance(name, bytes) else str(name)
            if name in tensors:
                raise UserError(f"A file of weights names each layer once. Received: {path}, with {name[:50]} twice.")
            order = sorted(variables, key=lambda key: (len(key), key))[: 2 if name in counted else None]
            tensors[name] = tuple(_array(_member(file, f"{place}/{group}/vars/{key}", path), path) for key in order)
    return tensors, groups


def _open(path: Path, stored: Path | io.BytesIO) -> h5py.File:
    try:
        return h5py.File(stored, "r")
    except OSError as error:
        raise UserError(f"{path} must be an HDF5 file. Received another, or a damaged one: {error}.") from None


def _member(root: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset:
    """The group or data set of a name in a group; each part of the name must be in the file itself."""
    node = root
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise _without(path, f"{name}, which it names")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"A file of weights holds them itself. Received: {path}, whose {name} is a link elsewhere.")
        node = node[part]
    return node


def _array(dataset: h5py.Group | h5py.Dataset, path: Path) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise _without(path, "floating-point numbers")
    if dataset.external or dataset.is_virtual:
        raise UserError(
            f"A file of weights holds them itself. Received: {path}, whose {dataset.name} lies in another file."
        )
    if dataset.nbytes > _MAX_RATIO * dataset.id.get_storage_size():
        raise UserError(
            f"{path} must hold a net's weights. Received: {dataset.name}, {dataset.nbytes:,} bytes once read."
        )
    return dataset[()]


def _names(names, path: Path) -> list[str]:
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    except (TypeError, UnicodeDecodeError):
        raise _without(path, "names of layers") from None


def _without(path: Path, what: str) -> UserError:
    return UserError(f"{path} must hold {what}. Received: none.")
