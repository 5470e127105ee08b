"""The form in which every foreign format is handed over, and how a net takes it: each tensor by its layer's name.

A file's preprocessing becomes part of the weights: the net's first layer subtracts the source's mean, so that padding is
the same zeros, and conv1_1's kernel takes over the order of the channels and the division. What is loaded then takes RGB
in 0-255 like every other net.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vgg_keras.config import CONFIGURATIONS, Architecture, UserError
from vgg_keras.nets.architectures import Layer, layers

FIRST = "block1_conv1"
TOP = ("fc1", "fc2", "predictions")
EPSILON = 1e-3  # of Keras's batch norm, which `nets/builder.py` leaves as it is


@dataclass(frozen=True)
class Preprocessing:
    """What a source does to an RGB image in 0-255 before its net sees it: (image - mean) / std, as RGB or as BGR.

    Attributes:
        mean, std: R, G, B, in 0-255.
        bgr: whether the net takes blue first.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


# Of the authors' models, Caffe's and Keras Applications': 3.1's mean of the training set, no division.
CAFFE = Preprocessing((123.68, 116.779, 103.939), bgr=True)
# Of torchvision and timm: values in 0-1, normalised.
TORCHVISION = Preprocessing((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255), bgr=False)


@dataclass(frozen=True)
class Foreign:
    """A net's weights as a file holds them.

    Attributes:
        path: as the user named it.
        tensors: by the source's name of a layer: kernel and bias, or batch norm's scale, shift, mean and variance.
        names: the source's name of each layer of an architecture by ours; batch norm's layers end in `_bn`.
        channels_first: kernels are (out, in, height, width), else (height, width, in, out); an FC layer's may have lost its
            first three axes or its last three to one, in this order.
        preprocessing: the source's; None: the net's own, which the file does not hold.
        epsilon: of the source's batch norm.
        classes: their names, where the file has them.
        activation, lrn: `relu` or `leaky_relu`, and whether there is an LRN.
    """

    path: str
    tensors: Mapping[str, tuple[np.ndarray, ...]]
    names: Callable[[Architecture], dict[str, str]]
    channels_first: bool
    preprocessing: Preprocessing | None
    epsilon: float = EPSILON
    classes: tuple[str, ...] = ()
    activation: str = "relu"
    lrn: bool = False

    def outputs(self, architecture: Architecture) -> int:
        """The number of its classes; 0 where it has no last layer."""
        kernel = self.tensors.get(self.names(architecture)["predictions"])
        return _out(self, kernel[0]) if kernel else 0


def same_names(architecture: Architecture) -> dict[str, str]:
    """The names of a source that has ours, which are Keras Applications'."""
    return {name: name for name, _ in _weighted(architecture)}


def caffe_names(architecture: Architecture) -> dict[str, str]:
    """conv1_1 to fc8, as in the authors' files."""
    top = dict(zip(TOP, ("fc6", "fc7", "fc8"), strict=True))
    return {
        name: top.get(name, name.replace("block", "conv").replace("_conv", "_")) for name in same_names(architecture)
    }


def infer(source: Foreign) -> Architecture:
    """The architecture whose layers and shapes a file holds, with its classes and its mean.

    Raises:
        UserError: it holds none of Table 1, or no FC layers, so that the head is unknown.
    """
    problems = {}
    for name in CONFIGURATIONS:
        if (name == "A-LRN") != source.lrn:  # its weights are A's
            continue
        for batch_norm in (False, True):
            try:
                return _inferred(source, name, batch_norm)
            except UserError as error:
                same = set(source.names(Architecture(name, batch_norm=batch_norm)).values()) == set(source.tensors)
                if same not in problems or str(problems[same]).startswith("Shapes"):  # C's names are D's
                    problems[same] = error
    if not any(source.names(Architecture("D"))[name] in source.tensors for name in TOP):
        raise UserError(
            f"A file without the FC layers needs a net that has a head of its own. Received: {source.path}. Give a model, or "
            "--config with --set=architecture.num_classes=..."
        )
    raise UserError(
        f"A file of weights holds a net of Table 1. Received: {source.path}, with the layers "
        f"{', '.join(list(source.tensors)[:6])}, ... {problems.get(True, '')}".rstrip()
    )


def _inferred(source: Foreign, name: str, batch_norm: bool) -> Architecture:
    architecture = Architecture(name, num_classes=1, batch_norm=batch_norm)
    named = source.names(architecture)

    def kernel(layer):
        if not source.tensors.get(named[layer]) or source.tensors[named[layer]][0].ndim < 2:
            raise UserError(f"{named[layer]} is missing")
        return source.tensors[named[layer]][0]

    positions = kernel("fc1").size // _out(source, kernel("fc1")) // _out(source, kernel("block5_conv1"))
    architecture = dataclasses.replace(
        architecture,
        width=_out(source, kernel(FIRST)) / 64,
        crop=32 * max(1, round(positions**0.5)),
        num_classes=_out(source, kernel("predictions")),
        mean=source.preprocessing.mean if source.preprocessing else (),
        activation=source.activation,
    )
    tensors_for(source, architecture)
    return architecture


def tensors_for(source: Foreign, architecture: Architecture) -> tuple[dict[str, list[np.ndarray]], tuple[str, ...]]:
    """The weights of a net by its layers, as Keras's `set_weights` takes them, and the layers that the file has nothing for.

    A file without the FC layers leaves the head as it is, one with another number of classes the last layer.

    Args:
        source: of a loader.
        architecture: `num_classes` and `mean` known.

    Raises:
        UserError: a layer missing in the file or left over, with a list of both; a shape that differs; a weight that is not
            finite; another mean than the source's.
    """
    named = source.names(architecture)
    wanted = _weighted(architecture)
    topless = not any(named[name] in source.tensors for name, _ in wanted if name in TOP)
    taken = [(name, layer) for name, layer in wanted if not (topless and name in TOP)]
    missing = [named[name] for name, _ in taken if named[name] not in source.tensors]
    left_over = sorted(set(source.tensors) - {named[name] for name, _ in taken})
    if missing or left_over:
        raise UserError(
            f"A file of weights must hold the layers of {_described(architecture)} and no more. Received: {source.path}; "
            f"missing: {_some(missing)}; left over: {_some(left_over)}."
        )
    ours = architecture.activation, any(layer.kind == "lrn" for layer in layers(architecture))
    if ours != (source.activation, source.lrn):
        theirs = f"{source.activation}{' and an LRN' if source.lrn else ''}"
        raise UserError(
            f"Weights belong to a net with the same activation and normalisation. Received: {source.path}, with {theirs}, for "
            f"{ours[0]}{' and an LRN' if ours[1] else ''}."
        )
    prepared = source.preprocessing
    if prepared and not np.allclose(architecture.mean, prepared.mean, atol=1e-3):
        raise UserError(
            "The net's first layer must subtract its source's mean, so that padding is the same. Received: mean "
            f"{_triple(architecture.mean)} for {source.path}. Build the net with mean=({_triple(prepared.mean)})."
        )

    found: dict[str, list[np.ndarray]] = {}
    biases: dict[str, np.ndarray] = {}  # of convolutions under batch norm, which ours do not have
    channels, kept = 3, [name for name, _ in wanted if topless and name in TOP]
    for name, layer in taken:
        arrays = [np.asarray(array) for array in source.tensors[named[name]]]
        if name.endswith("_bn"):
            shaped = _shaped(source, named[name], arrays, [(layer.units,)] * 4)
            scale, shift, mean, variance = _finite(source, named[name], shaped)
            if variance.min() < 0:
                raise UserError(
                    f"A variance is not negative. Received: {source.path}, whose {named[name]} has one that is."
                )
            # y = scale * (x - mean) / sqrt(variance + epsilon), for our epsilon as for the source's
            scale = scale * np.sqrt((variance + EPSILON) / (variance + source.epsilon))
            found[name] = [scale, shift, mean - biases.get(name.removesuffix("_bn"), 0.0), variance]
            continue
        shape = (layer.kernel, layer.kernel, channels, layer.units)
        if name == "predictions" and _out(source, arrays[0]) != layer.units:
            kept.append(name)
            continue
        kernel, bias = _kernel_and_bias(source, named[name], arrays, shape, architecture.batch_norm)
        kernel, *rest = _finite(source, named[name], [kernel] if bias is None else [kernel, bias])
        bias = rest[0] if rest else None
        if name == FIRST and prepared:
            if prepared.bgr:
                kernel = kernel[:, :, ::-1]
            ours = architecture.std or (1.0, 1.0, 1.0)
            kernel = kernel * (np.array(ours) / np.array(prepared.std)).astype(np.float32)[:, None]
        if layer.kind == "conv" and architecture.batch_norm:
            found[name] = [kernel]
            if bias is not None:
                biases[name] = bias
        else:
            found[name] = [kernel.reshape(-1, layer.units) if layer.kind == "fc" else kernel, bias]
        channels = layer.units
    return found, tuple(kept)


def _weighted(architecture: Architecture) -> list[tuple[str, Layer]]:
    """The layers with weights in their order, batch norm's behind its convolution."""
    named = []
    for layer in layers(architecture):
        if layer.kind in ("conv", "fc"):
            named.append((layer.name, layer))
            if layer.kind == "conv" and architecture.batch_norm:
                named.append((f"{layer.name}_bn", layer))
    return named


def _kernel_and_bias(source, name, arrays, shape, batch_norm) -> tuple[np.ndarray, np.ndarray | None]:
    """As (height, width, in, out) and (out,); None where a convolution under batch norm has no bias."""
    height, width, inputs, outputs = shape
    if source.channels_first:
        whole, flat = (outputs, inputs, height, width), (outputs, inputs * height * width)
    else:
        whole, flat = shape, (height * width * inputs, outputs)
    if not arrays or arrays[0].shape not in (whole, flat):
        received = [array.shape for array in arrays[:1]]
        raise UserError(
            f"Shapes must be the net's. Received: {source.path}, whose {name} has {_shapes(received)}, not {_shapes([whole])}."
        )
    kernel = arrays[0].reshape(whole)
    if source.channels_first:
        kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
    if batch_norm and len(arrays) == 1:
        return kernel, None
    (bias,) = _shaped(source, name, arrays[1:], [(outputs,)])
    return kernel, bias


def _finite(source: Foreign, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """As float32; their shapes have been checked, so a file cannot make them large."""
    arrays = [np.asarray(array, np.float32) for array in arrays]
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"Weights must be finite. Received: {source.path}, whose {name} holds values that are not.")
    return arrays


def _out(source: Foreign, kernel: np.ndarray) -> int:
    """How many outputs a kernel has."""
    return int(kernel.shape[0 if source.channels_first else -1])


def _shaped(source, name, arrays, shapes) -> list[np.ndarray]:
    received = [tuple(array.shape) for array in arrays]
    if received != shapes:
        raise UserError(
            f"Shapes must be the net's. Received: {source.path}, whose {name} has {_shapes(received)}, not {_shapes(shapes)}."
        )
    return arrays


def _shapes(shapes) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes) or "nothing"


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"


def _triple(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _described(architecture: Architecture) -> str:
    return architecture.name + (" with batch norm" if architecture.batch_norm else "")
