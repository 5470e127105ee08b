"""Arrays in HDF5 files, as Keras 2 and Keras 3 lay them out. A file with links out of itself is refused."""

import io
import re
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.weights.memory import aligned

_MAX_RATIO = 100  # bytes that one byte of a file may become: weights cannot be packed
_MAX_LAYERS = 1000
_COUNT = re.compile(r"(^|/)count(:0)?$")  # what Normalization was adapted to; Keras 2's names


def keras_3_weights(
    file: h5py.File, path: Path, named: Mapping[str, str] | None = None
) -> tuple[dict[str, tuple[np.ndarray, ...]], dict[str, str]]:
    """The arrays of each layer with weights by its name, and the names of all layers by their groups, in Keras's numbering.

    Layers of models inside the model are included. A layer without a name goes by its group, such as `layers/dense_1`.

    Args:
        file, path: opened, and its name.
        named: the names of layers by their groups, for files of Keras 2, which do not hold them.

    Raises:
        UserError: arrays that are none, lie elsewhere, or are much larger than the file.
    """
    tensors: dict[str, tuple] = {}
    groups: dict[str, str] = {}
    waiting = ["layers"] if "layers" in file else []
    while waiting:
        place = waiting.pop()
        inside = member(file, place, path)
        if len(inside) + len(groups) > _MAX_LAYERS:
            raise without(path, f"at most {_MAX_LAYERS} layers")
        for group in sorted(inside, key=_numbered):
            whole = f"{place}/{group}"
            node = member(file, whole, path)
            if "layers" in node:
                waiting.append(f"{whole}/layers")
            variables = member(file, f"{whole}/vars", path)
            name = variables.attrs.get("name", (named or {}).get(whole, whole))
            name = groups[whole] = name.decode() if isinstance(name, bytes) else str(name)
            if not len(variables):
                continue
            if name in tensors:
                raise UserError(f"A file of weights names each layer once. Received: {path}, with {name[:50]} twice.")
            # the third one of Normalization counts what it was adapted to
            most = 2 if _numbered(group)[0] == "normalization" else None
            order = sorted(variables, key=lambda key: (len(key), key))[:most]
            tensors[name] = tuple(array(member(file, f"{place}/{group}/vars/{key}", path), path) for key in order)
    return tensors, groups


def _numbered(group: str) -> tuple[str, int]:
    """`conv2d_10` behind `conv2d_2`."""
    kind, _, number = group.rpartition("_")
    return (kind, int(number)) if number.isdecimal() else (group, 0)


def keras_2_weights(root: h5py.Group, kinds: Mapping[str, str] | None, path: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """The arrays of each layer with weights; those of a model inside the model go by their own layers' names.

    Args:
        root: the group with `layer_names`.
        kinds: the class of each layer by its name; None: the file does not hold them.
        path: the file's.

    Raises:
        UserError: as in `keras_3_weights`.
    """
    tensors: dict[str, tuple] = {}
    for group in names(root.attrs.get("layer_names", ()), path):
        of_layer: dict[str, list[str]] = {}
        found = names(member(root, group, path).attrs.get("weight_names", ()), path)
        layers_inside = {name.split("/")[-2] for name in found if "/" in name}
        # a model inside, whose weights are those of its own layers
        nested = group not in kinds if kinds is not None else len(layers_inside) > 1
        for name in found:
            of_layer.setdefault(name.split("/")[-2] if nested and "/" in name else group, []).append(name)
        for layer, own in of_layer.items():
            if layer in tensors:
                raise UserError(f"A .h5 file names each layer once. Received: {path}, with {layer[:50]} twice.")
            arrays = [name for name in own if not _COUNT.search(name)]
            tensors[layer] = tuple(array(member(root, f"{group}/{name}", path), path) for name in arrays)
    return tensors


def opened(path: Path, stored: Path | io.BytesIO) -> h5py.File:
    """An HDF5 file, from its path or from memory.

    Raises:
        UserError: another file.
    """
    try:
        return h5py.File(stored, "r")
    except OSError as error:
        raise UserError(f"{path} must be an HDF5 file. Received another, or a damaged one: {error}.") from None


def member(root: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset:
    """The group or data set of a name in a group; each part of the name must be in the file itself."""
    node = root
    for part in name.split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise without(path, f"{name}, which it names")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"A file of weights holds them itself. Received: {path}, whose {name} is a link elsewhere.")
        node = node[part]
    return node


def array(dataset: h5py.Group | h5py.Dataset, path: Path) -> np.ndarray:
    """A data set's numbers; bf16, which HDF5 does not have, as Keras writes it: two bytes of no kind."""
    if not isinstance(dataset, h5py.Dataset):
        raise without(path, "floating-point numbers")
    bf16 = dataset.dtype == np.dtype("V2")
    if dataset.dtype.kind != "f" and not bf16:
        raise UserError(
            f"Weights are floating-point numbers. Received: {path}, whose {dataset.name} is of {dataset.dtype}. Save the model "
            "before it is quantised."
        )
    if dataset.external or dataset.is_virtual:
        raise UserError(
            f"A file of weights holds them itself. Received: {path}, whose {dataset.name} lies in another file."
        )
    if dataset.nbytes > _MAX_RATIO * dataset.id.get_storage_size():
        raise UserError(
            f"{path} must hold a net's weights. Received: {dataset.name}, {dataset.nbytes:,} bytes once read."
        )
    if bf16:  # the upper half of a float32
        return (np.asarray(dataset[()]).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    found = aligned(dataset.shape, dataset.dtype)
    if found.size:
        dataset.read_direct(found)
    return found


def names(stored, path: Path) -> list[str]:
    """The texts of an attribute."""
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in stored]
    except (TypeError, UnicodeDecodeError):
        raise without(path, "names of layers") from None


def without(path: Path, what: str) -> UserError:
    """The error of a file that lacks something."""
    return UserError(f"{path} must hold {what}. Received: none.")
