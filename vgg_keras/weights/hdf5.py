"""Keras's HDF5 files: Keras Applications' `.h5`, a net's `.weights.h5`, and the one inside a `.keras`.

They are read as arrays; Keras's `load_model` is never called on a file. A file with links out of itself is refused.
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from vgg_keras.config import UserError
from vgg_keras.weights.foreign import CAFFE, Foreign, Preprocessing, same_names

_INSIDE_KERAS = "model.weights.h5"  # in a .keras archive
_CONFIG = "config.json"
# The kinds of layers that a net of ours has; one with a Lambda or a stranger's layer does something else with the weights.
_LAYERS = {
    "InputLayer",
    "MeanSubtraction",
    "Conv2D",
    "BatchNormalization",
    "ReLU",
    "LeakyReLU",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "GlobalAveragePooling2D",
    "Flatten",
    "Dense",
    "Dropout",
    "Activation",
}
_MOST = 100  # bytes that one byte of a file may become: weights cannot be packed


def read_applications(path: Path) -> Foreign:
    """Keras Applications' VGG16 and VGG19 files, with or without top: the authors' D and E, for BGR minus a mean.

    Raises:
        UserError: not such a file.
    """
    with _open(path, path) as file:
        tensors: dict = {}
        root = _inside(file, "model_weights", path) if "model_weights" in file else file
        for name in _words(root.attrs.get("layer_names", ()), path):
            if name == "mean_subtraction":
                raise UserError(
                    f"A plain .h5 is Keras Applications'. Received: {path}, a net of vgg_keras. Save it as .keras or .weights.h5."
                )
            weights = _words(_inside(root, name, path).attrs.get("weight_names", ()), path)
            if weights:
                tensors[name] = tuple(_array(_inside(root, f"{name}/{weight}", path), path) for weight in weights)
    if not tensors:
        raise _unlike(path, "Keras's older .h5 format, with layer_names")
    return Foreign(str(path), tensors, same_names, channels_first=False, preprocessing=CAFFE)


def read_keras(path: Path) -> Foreign:
    """A net's `.weights.h5`, or the one inside its `.keras`; of the latter nothing else is read.

    A `.weights.h5` does not hold the mean that its net subtracts, nor leaky ReLU's slope; in a `.keras` both are read from
    its configuration, as JSON.

    Raises:
        UserError: not such a file.
    """
    if not zipfile.is_zipfile(path):
        return _read_weights(path, path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (_CONFIG, _INSIDE_KERAS):
                stored = archive.getinfo(name)
                if stored.file_size > _MOST * stored.compress_size:
                    raise UserError(
                        f"{path} must hold a net. Received: {name}, of {stored.file_size:,} bytes unpacked."
                    )
            found = _read_weights(path, io.BytesIO(archive.read(_INSIDE_KERAS)))
            layers = json.loads(archive.read(_CONFIG))["config"]["layers"]
            return dataclasses.replace(
                found, preprocessing=_preprocessing(layers, path), negative_slope=_negative_slope(layers, path)
            )
    except (KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"A .keras file holds {_CONFIG} and {_INSIDE_KERAS}. Received: {path}: {error}.") from None


def _negative_slope(layers: list[dict], path: Path) -> float | None:
    """Leaky ReLU's; None in a net without."""
    slopes = {float(layer["config"]["negative_slope"]) for layer in layers if layer.get("class_name") == "LeakyReLU"}
    if len(slopes) > 1:
        raise UserError(f"A net of vgg_keras has one slope of leaky ReLU. Received: {path}, with {sorted(slopes)}.")
    return slopes.pop() if slopes else None


def _preprocessing(layers: list[dict], path: Path) -> Preprocessing:
    """What the first layer of one of our nets does."""
    unknown = sorted({str(layer.get("class_name")) for layer in layers} - _LAYERS)
    if unknown:
        raise UserError(f"A .keras file holds a net of vgg_keras. Received: {path}, another, with {unknown[0]}.")
    for layer in layers:
        if layer.get("class_name") == "MeanSubtraction":
            mean, std = layer["config"]["mean"], layer["config"].get("std") or (1.0, 1.0, 1.0)
            return Preprocessing(tuple(map(float, mean)), tuple(map(float, std)))
    raise _foreign_net(path)


def _foreign_net(path: Path) -> UserError:
    return UserError(
        f"A .keras or .weights.h5 file holds a net of vgg_keras, which begins with a mean. Received: {path}, another."
    )


def _read_weights(path: Path, stored: Path | io.BytesIO) -> Foreign:
    with _open(path, stored) as file:
        tensors = {}
        groups = list(_inside(file, "layers", path)) if "layers" in file else []
        if groups and not any(group.startswith("mean_subtraction") for group in groups):
            raise _foreign_net(path)
        for group in groups:
            variables = _inside(file, f"layers/{group}/vars", path)
            if len(variables):
                name = variables.attrs.get("name", group)
                name = name.decode() if isinstance(name, bytes) else str(name)
                order = sorted(variables, key=lambda key: (len(key), key))
                tensors[name] = tuple(_array(_inside(file, f"layers/{group}/vars/{key}", path), path) for key in order)
    if not tensors:
        raise _unlike(path, "the weights of a Keras 3 model, with layers/")
    return Foreign(
        str(path),
        tensors,
        same_names,
        channels_first=False,
        preprocessing=None,
        activation="leaky_relu" if any(group.startswith("leaky_re_lu") for group in groups) else "relu",
        lrn=any(group.startswith("local_response_normalization") for group in groups),
    )


def _open(path: Path, stored: Path | io.BytesIO) -> h5py.File:
    try:
        return h5py.File(stored, "r")
    except OSError as error:
        raise UserError(f"{path} must be an HDF5 file. Received another, or a damaged one: {error}.") from None


def _inside(root: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset:
    """What stands in a group under a path, each step of which must be in the file itself."""
    node = root
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise _unlike(path, f"{name}, which it names")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"A file of weights holds them itself. Received: {path}, whose {name} is a link elsewhere.")
        node = node[part]
    return node


def _array(dataset: h5py.Group | h5py.Dataset, path: Path) -> np.ndarray:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise _unlike(path, "floating-point numbers")
    if dataset.external or dataset.is_virtual:
        raise UserError(
            f"A file of weights holds them itself. Received: {path}, whose {dataset.name} lies in another file."
        )
    if dataset.nbytes > _MOST * dataset.id.get_storage_size():
        raise UserError(
            f"{path} must hold a net's weights. Received: {dataset.name}, {dataset.nbytes:,} bytes once read."
        )
    return dataset[()]


def _words(names, path: Path) -> Iterator[str]:
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    except (TypeError, UnicodeDecodeError):
        raise _unlike(path, "names of layers") from None


def _unlike(path: Path, what: str) -> UserError:
    return UserError(f"{path} must hold {what}. Received: none.")
