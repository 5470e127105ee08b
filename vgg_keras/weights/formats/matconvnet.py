"""MatConvNet's `.mat` files, such as imagenet-vgg-verydeep-16.mat: kernels (height, width, in, out), for RGB minus a mean.

MatConvNet's own importer has turned Caffe's kernels to MATLAB's order of axes, reversed the channels of the first one and
given the FC layers the shape of convolutions. Readers that transpose height and width once more run a mirrored net.
"""

from pathlib import Path

import numpy as np
import scipy.io

from vgg_keras.errors import UserError
from vgg_keras.paths import printable
from vgg_keras.weights.classes import imagenet_classes
from vgg_keras.weights.source_weights import Preprocessing, SourceWeights, caffe_head, caffe_names


def read(path: Path) -> SourceWeights:
    """The layers with weights, the mean and the classes of a simplenn net, in its form since 2014 or its first one.

    Raises:
        UserError: not such a file.
    """
    try:
        net = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True)
    except NotImplementedError:
        raise UserError(
            f"A .mat file is one of version 7 or older. Received: {path} of version 7.3. Save it with '-v7' in MATLAB."
        ) from None
    except Exception as error:  # SciPy raises whatever a damaged file makes of its parser
        raise UserError(f"{path} must be a whole .mat file. Received another: {error}.") from None
    net = net.get("net", net)  # MatConvNet saves the fields, others the structure
    meta = net.get("meta") if isinstance(net, dict) else getattr(net, "meta", None)
    meta = net if meta is None else meta
    tensors, mean = _tensors(net, path), _mean(meta, path)
    fc = caffe_head(list(tensors))
    return SourceWeights(
        str(path),
        tensors,
        lambda architecture: caffe_names(architecture, fc),
        channels_first=False,
        preprocessing=Preprocessing(tuple(mean.mean(axis=0).tolist())),
        classes=_classes(meta, path),
        fc_layers=fc,
        head="fc" if fc else "",
        notes=("its mean image becomes one mean for each channel",) if np.ptp(mean, axis=0).any() else (),
    )


def _tensors(net, path: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Kernel and bias of each convolution, by its name."""
    tensors = {}
    for layer in np.atleast_1d(_field(net, "layers", path)):
        if getattr(layer, "type", None) != "conv":
            continue
        weights = getattr(layer, "weights", None)
        if weights is None:
            weights = [getattr(layer, "filters", None), getattr(layer, "biases", None)]
        arrays = [np.asarray(array) for array in weights]
        if len(arrays) != 2 or any(array.dtype.kind != "f" for array in arrays) or arrays[1].ndim != 1:
            raise UserError(f"A convolution has filters and biases. Received: {path}, whose {layer.name} has none.")
        tensors[str(layer.name)] = _kernel(arrays[0], arrays[1].size), arrays[1]
    if not tensors:
        raise UserError(f"A .mat file of MatConvNet holds convolutions. Received: {path}, with none.")
    return tensors


def _mean(meta, path: Path) -> np.ndarray:
    """The mean that the net subtracts, (pixels, 3) in R, G, B: one pixel, or those of an image."""
    mean = np.asarray(_field(_field(meta, "normalization", path), "averageImage", path), float)
    if mean.size % 3 or not mean.size:
        raise UserError(f"A .mat file of MatConvNet holds the mean that it subtracts. Received: {path}, with none.")
    return mean.reshape(-1, 3)


def _classes(meta, path: Path) -> tuple[str, ...]:
    """The names of the classes; ImageNet's by their ids, since the file describes them by synsets: 'tench, Tinca tinca'."""
    described = _field(meta, "classes", path) if _has(meta, "classes") else None
    classes, ids = (_texts(described, field) for field in ("description", "name"))
    imagenet_ids, imagenet_names = imagenet_classes()
    return imagenet_names if ids == imagenet_ids else classes


def _kernel(array: np.ndarray, outputs: int) -> np.ndarray:
    """A kernel with the axes that MATLAB leaves out: those of 1 at the end, and here those of 1 at the beginning."""
    if array.ndim == 4:
        return array
    return array.reshape(1, 1, -1, outputs)


def _texts(struct, field: str) -> tuple[str, ...]:
    """A field's texts; none where it is not there."""
    found = getattr(struct, field, ())
    return tuple(printable(str(name)) for name in np.atleast_1d(found)) if np.size(found) else ()


def _has(struct, name: str) -> bool:
    return name in struct if isinstance(struct, dict) else hasattr(struct, name)


def _field(struct, name: str, path: Path):
    if not _has(struct, name):
        raise UserError(f"A .mat file of MatConvNet has {name}. Received: {path}, without it.")
    return struct[name] if isinstance(struct, dict) else getattr(struct, name)
