"""Keras's files: `.keras`, whole-model `.h5`, `.weights.h5`, and the weights alone in an older `.h5`.

They are read as arrays and as JSON; Keras's `load_model` is never called on a file.
"""

import dataclasses
import io
import json
import math
import re
import zipfile
import zlib
from pathlib import Path

import h5py

from vgg_keras.errors import UserError
from vgg_keras.overrides import choices
from vgg_keras.weights.formats import hdf5, keras_config, keras_model, keras_weights
from vgg_keras.weights.formats.keras_layers import ModelFile, kind_of
from vgg_keras.weights.source_weights import (
    CAFFE,
    CAFFE_WORDS,
    FIRST,
    HEAD,
    ONE_LABEL,
    SourceWeights,
    assumed_of_head,
    same_names,
)

WEIGHTS = "model.weights.h5"  # in a .keras archive
_CONFIG = "config.json"
_KERAS_RULE = "A .keras file holds a net of Table 1."
_H5_RULE = "A whole model in a .h5 file holds a net of Table 1."
_MAX_RATIO = 100  # bytes that one byte of an archive may become: weights cannot be packed
MAX_CONFIG_BYTES = 2**20  # bytes of a configuration; a net of ours has some 30 thousand
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
    "global_max_pooling2d",
    "flatten",
    "dense",
    "dropout",
    "activation",
}
_OUR_NAMES = re.compile(r"block\d_conv\d(_bn)?|fc\d|predictions")


def read_h5(path: Path) -> SourceWeights:
    """A `.h5` of Keras's older format: a whole model, or weights alone such as Keras Applications' VGG16 and VGG19.

    A whole model holds its configuration, which is believed. One that begins with a convolution, and weights alone, are
    read as Keras Applications': BGR minus a mean.

    Raises:
        UserError: not such a file, or a model that is not a net of Table 1.
    """
    with hdf5.opened(path, path) as file:
        return _read_keras_2(file, path)


def _read_keras_2(file: h5py.File, path: Path) -> SourceWeights:
    root = hdf5.member(file, "model_weights", path) if "model_weights" in file else file
    groups = hdf5.names(root.attrs.get("layer_names", ()), path)
    if "mean_subtraction" in groups:
        raise UserError(
            f"A plain .h5 is Keras Applications'. Received: {path}, a net of vgg_keras. Save it as .keras or .weights.h5."
        )
    model, model_file = _model_config(file, path), ModelFile(_H5_RULE, path)
    if model is None:
        tensors = hdf5.keras_2_weights(root, None, path)
        with_weights = {group for group in groups if len(hdf5.member(root, group, path).attrs.get("weight_names", ()))}
        strange = [name for name in groups if name not in with_weights and not name.startswith("tf.")]
        keras_weights.require_layers(strange, path)
        groups = [name for name in groups if name in tensors or name not in with_weights]  # a model inside has any name
        found = _without_model(tensors, groups, path) if tensors else None
    else:
        layers, problem = keras_config.chain(model, model_file)
        tensors = hdf5.keras_2_weights(root, {layer.name: layer.kind for layer in layers}, path)
        found = _as_applications(keras_model.describe(layers, tensors, model_file, problem)) if tensors else None
    if found is None:
        raise hdf5.without(path, "Keras's older .h5 format, with layer_names")
    return found


def _without_model(tensors: dict[str, tuple], groups: list[str], path: Path) -> SourceWeights:
    """Weights alone: under Keras Applications' names, or by their shapes and order."""
    if all(map(_OUR_NAMES.fullmatch, tensors)) and not {"rescaling", "normalization"} & set(
        map(keras_weights.kind_of, groups)
    ):
        fc = tuple(name for name in tensors if not name.startswith("block"))
        pooling = keras_weights.pooling_of(map(keras_weights.kind_of, groups))
        found = SourceWeights(
            str(path),
            tensors,
            same_names,
            channels_first=False,
            preprocessing=None,
            fc_layers=fc,
            head=(pooling or ("fc" if fc == HEAD else "")) if fc else "",
            assumed_head=assumed_of_head(len(fc) - 1, tensors[fc[-1]][0].shape[-1], not pooling and fc != HEAD)
            if fc
            else (),
        )
        return _as_applications(found)
    # a model inside is a group, in which only layers with weights are named
    inside = [name for name in tensors if name not in groups]
    places = [("layers", name) for name in groups] + [("layers/model/layers", name) for name in inside]
    numbered = {f"{place}/{_kind(name, tensors)}_{number}": name for number, (place, name) in enumerate(places)}
    return keras_weights.describe(tensors, numbered, path)


def _kind(name: str, tensors: dict[str, tuple]) -> str:
    """The class of a layer in Keras's naming, by the dimensions of its kernel where it has one, else by its name."""
    if name in tensors and tensors[name][0].ndim in (2, 4):
        return {2: "dense", 4: "conv2d"}[tensors[name][0].ndim]
    if re.fullmatch(r"block\d_pool", name):
        return "max_pooling2d"
    if name.startswith("tf."):
        return "slicing_op_lambda" if "getitem" in name else "tf_op_lambda"
    return keras_weights.kind_of(name)


def _as_applications(found: SourceWeights) -> SourceWeights:
    """Whose images are Keras Applications' where no layer says how they are made."""
    first = found.tensors.get(FIRST)
    if found.preprocessing is None and first and first[0].ndim == 4 and first[0].shape[2] == 3:
        return dataclasses.replace(found, preprocessing=CAFFE, assumed=f"Keras Applications', {CAFFE_WORDS}")
    return found


def _model_config(file: h5py.File, path: Path) -> object | None:
    """What the file says of its model; None where it holds weights alone."""
    if "model_config" not in file.attrs:
        return None
    stored = file.attrs.get_id("model_config")
    if stored.shape != () or stored.dtype.itemsize > MAX_CONFIG_BYTES:
        raise hdf5.without(path, "a model's configuration, a text")
    return parsed(file.attrs["model_config"], _H5_RULE, path)


def parsed(text: str | bytes, rule: str, path: Path) -> object:
    """A configuration's JSON.

    Raises:
        UserError: it is too long, or another text.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise UserError(f"{rule} Received: {path}, with a configuration of {len(text):,} bytes.")
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{rule} Received: {path}, whose configuration is not JSON: {reason}.") from None


def read_keras(path: Path) -> SourceWeights:
    """A net's `.weights.h5`, or the one inside its `.keras`; of the latter the configuration is read too, as JSON.

    A `.weights.h5` does not hold the mean that its net subtracts, nor leaky ReLU's slope.

    Raises:
        UserError: not such a file.
    """
    if not zipfile.is_zipfile(path):
        with hdf5.opened(path, path) as file:
            return _read_keras_2(file, path) if "layer_names" in file.attrs else _read_weights(file, path)
    model_file = ModelFile(_KERAS_RULE, path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (_CONFIG, WEIGHTS):
                stored = archive.getinfo(name)
                most = MAX_CONFIG_BYTES if name == _CONFIG else math.inf
                if stored.file_size > min(most, _MAX_RATIO * stored.compress_size):
                    raise UserError(
                        f"{path} must hold a net. Received: {name}, of {stored.file_size:,} bytes unpacked."
                    )
            model = parsed(archive.read(_CONFIG), _KERAS_RULE, path)
            layers, problem = keras_config.chain(model, model_file)
            with model_file.parsing():
                named = keras_config.stored_groups(model)
            with hdf5.opened(path, io.BytesIO(archive.read(WEIGHTS))) as file:
                tensors, _ = hdf5.keras_3_weights(file, path, named)
    except (KeyError, zipfile.BadZipFile, RuntimeError, UnicodeDecodeError, zlib.error) as error:
        # of a damaged directory zipfile says too that a file is encrypted, or packed in an unknown way
        raise UserError(f"A .keras file holds {_CONFIG} and {WEIGHTS}. Received: {path}: {error}.") from None
    found = keras_model.describe(layers, tensors, model_file, problem, own=kind_of(model) == "VGG")
    return _with_task(_as_applications(found), model, path)


def _with_task(found: SourceWeights, model: object, path: Path) -> SourceWeights:
    """The source with the task that a `.keras` file of ours states: the layers of a net of boxes or sigmoids do not show it."""
    stored = model["config"].get("architecture") if isinstance(model.get("config"), dict) else None
    names = ("boxes", "box_unit", "multi_label")
    fields = {name: stored[name] for name in names if name in stored} if isinstance(stored, dict) else {}
    for name, value in fields.items():
        if value not in ((True, False) if name == "multi_label" else choices(f"architecture.{name}")):
            raise UserError(f"{_KERAS_RULE} Received: {path}, whose architecture.{name} is {value!r:.50}.")
    return dataclasses.replace(found, **fields)


def _read_weights(file: h5py.File, path: Path) -> SourceWeights:
    tensors, groups = hdf5.keras_3_weights(file, path)
    kinds = {keras_weights.kind_of(group) for group in groups}
    if not tensors:
        raise hdf5.without(path, "the weights of a Keras 3 model, with layers/")
    if "mean_subtraction" not in kinds:
        return keras_weights.describe(tensors, groups, path)
    if kinds - _OUR_LAYERS:
        raise UserError(
            "A .weights.h5 file that begins with a mean holds a net of vgg_keras. "
            f"Received: {path}, another. It has {min(kinds - _OUR_LAYERS)[:50]}."
        )
    fc = tuple(name for name in tensors if name.startswith("fc") or name in HEAD)
    return SourceWeights(
        str(path),
        tensors,
        same_names,
        channels_first=False,
        preprocessing=None,
        activation="leaky_relu" if "leaky_re_lu" in kinds else "relu",
        lrn="local_response_normalization" in kinds,
        fc_layers=fc,
        head=keras_weights.pooling_of(kinds),
        assumed_head=(ONE_LABEL,) if fc else (),
        boxes=None,
        box_unit=None,
    )
