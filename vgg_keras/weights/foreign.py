"""The form in which every foreign format is handed over, and how a net takes it: each tensor by its layer's name.

A file's preprocessing becomes part of the weights: the net's first layer subtracts the source's mean, so that padding is
the same zeros, and conv1_1's kernel takes over the order of the channels and the division. What is loaded then takes RGB
in 0-255 like every other net.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
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

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    bgr: bool = False


# Of the authors' models, Caffe's and Keras Applications': 3.1's mean of the training set, no division.
CAFFE = Preprocessing((123.68, 116.779, 103.939), bgr=True)
CAFFE_WORDS = "BGR minus the mean 103.939, 116.779, 123.68"
# Of torchvision and timm: values in 0-1, normalised.
TORCHVISION = Preprocessing((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255), bgr=False)
TORCHVISION_WORDS = "RGB in 0-1, normalised by the mean 0.485, 0.456, 0.406 and the deviation 0.229, 0.224, 0.225"


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
        negative_slope: of `leaky_relu`; None: the net's own, which the file does not hold.
        steps: of the net from its first convolution on, as `steps_of` names them; empty: the file does not hold them.
        crop: side of the net's input; 0: the file does not hold it.
        assumed: where the file does not hold the preprocessing: what is taken for it, in words.
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
    negative_slope: float | None = None
    steps: tuple[str, ...] = ()
    crop: int = 0
    assumed: str = ""

    def outputs(self, architecture: Architecture) -> int:
        """The number of its classes; 0 where it has no last layer."""
        kernel = self.tensors.get(self.names(architecture)["predictions"])
        return outputs_of(self, kernel[0]) if kernel else 0


def same_names(architecture: Architecture) -> dict[str, str]:
    """The names of a source that has ours, which are Keras Applications'."""
    return {name: name for name, _ in _weighted(architecture)}


def caffe_names(architecture: Architecture) -> dict[str, str]:
    """conv1_1 to fc8, as in the authors' files."""
    top = dict(zip(TOP, ("fc6", "fc7", "fc8"), strict=True))
    return {
        name: top.get(name, name.replace("block", "conv").replace("_conv", "_")) for name in same_names(architecture)
    }


def fit(source: Foreign, architecture: Architecture) -> tuple[str, ...]:
    """Whether a file's layers and shapes are a net's, told by names and shapes alone.

    Args:
        source: of a loader.
        architecture: `num_classes` and `mean` known.

    Returns:
        The layers that the file has nothing for: the head where it has no FC layers, the last layer where it has another
        number of classes.

    Raises:
        UserError: a layer missing in the file or left over, with a list of both; a shape, an activation or a normalisation
            that differs; another mean than the source's.
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
    ours = _kind(
        architecture.activation, architecture.negative_slope, any(x.kind == "lrn" for x in layers(architecture))
    )
    slope = architecture.negative_slope if source.negative_slope is None else source.negative_slope
    theirs = _kind(source.activation, slope, source.lrn)
    if ours != theirs:
        raise UserError(
            f"Weights belong to a net with the same activation and normalisation. Received: {source.path}, with {theirs}, "
            f"for {ours}."
        )
    _require_steps(source, architecture, topless)
    mean = source.preprocessing.mean if source.preprocessing else architecture.mean
    if not np.allclose(architecture.mean, mean, atol=1e-3):
        raise UserError(
            "The net's first layer must subtract its source's mean, so that padding is the same. Received: mean "
            f"{_triple(architecture.mean)} for {source.path}. Build the net with mean=({_triple(mean)})."
        )
    kept, channels = [name for name, _ in wanted if topless and name in TOP], 3
    for name, layer in taken:
        arrays = source.tensors[named[name]]
        if name.endswith("_bn"):
            _require_shapes(source, named[name], arrays, [(layer.units,)] * 4)
            continue
        if name == "predictions" and outputs_of(source, arrays[0]) != layer.units:
            kept.append(name)
            continue
        whole, flat = _shapes_of(source, layer, channels)
        if not arrays or tuple(arrays[0].shape) not in (whole, flat):
            _require_shapes(source, named[name], arrays[:1], [whole])
        if not (architecture.batch_norm and len(arrays) == 1):  # a convolution under batch norm may have no bias
            _require_shapes(source, named[name], arrays[1:], [(layer.units,)])
        channels = layer.units
    return tuple(kept)


def tensors_for(source: Foreign, architecture: Architecture) -> tuple[dict[str, list[np.ndarray]], tuple[str, ...]]:
    """The weights of a net by its layers, as Keras's `set_weights` takes them, and the layers that `fit` finds nothing for.

    Args:
        source: of a loader.
        architecture: `num_classes` and `mean` known.

    Raises:
        UserError: of `fit`; a weight that is not finite.
    """
    kept = fit(source, architecture)
    named, prepared = source.names(architecture), source.preprocessing
    found: dict[str, list[np.ndarray]] = {}
    biases: dict[str, np.ndarray] = {}  # of convolutions under batch norm, which ours do not have
    channels = 3
    for name, layer in _weighted(architecture):
        if name in kept:
            continue
        arrays = _finite(source, named[name])
        if name.endswith("_bn"):
            scale, shift, mean, variance = arrays
            if variance.min() < 0:
                raise UserError(
                    f"A variance is not negative. Received: {source.path}, whose {named[name]} has one that is."
                )
            # y = scale * (x - mean) / sqrt(variance + epsilon), for our epsilon as for the source's
            scale = scale * np.sqrt((variance + EPSILON) / (variance + source.epsilon))
            found[name] = [scale, shift, mean - biases.get(name.removesuffix("_bn"), 0.0), variance]
            continue
        kernel = arrays[0].reshape(_shapes_of(source, layer, channels)[0])
        if source.channels_first:
            kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        if name == FIRST and prepared:
            if prepared.bgr:
                kernel = kernel[:, :, ::-1]
            ours = architecture.std or (1.0, 1.0, 1.0)
            kernel = kernel * (np.array(ours) / np.array(prepared.std)).astype(np.float32)[:, None]
        if layer.kind == "conv" and architecture.batch_norm:
            found[name] = [kernel]
            if len(arrays) == 2:
                biases[name] = arrays[1]
        else:
            found[name] = [kernel.reshape(-1, layer.units) if layer.kind == "fc" else kernel, arrays[1]]
        channels = layer.units
    return found, kept


def steps_of(architecture: Architecture, topless: bool = False) -> tuple[str, ...]:
    """A net's layers in their order, dropout left out; `activation` is one. Batch norm's end in `_bn`.

    Args:
        topless: without the head.
    """
    steps = []
    for layer in layers(architecture):
        if topless and layer.kind in ("gap", "fc"):
            break
        if layer.name == "fc1":
            steps.append("flatten")
        steps.append(layer.name)
        if layer.kind == "conv" and architecture.batch_norm:
            steps.append(f"{layer.name}_bn")
        if layer.kind in ("conv", "fc") and layer.name != "predictions":
            steps.append("activation")
    return tuple(steps)


def _require_steps(source: Foreign, architecture: Architecture, topless: bool) -> None:
    """Refuses a net whose weights fit and whose layers follow each other in another way."""
    wanted = steps_of(architecture, topless)
    if source.steps and source.steps != wanted:
        place = next((n for n, pair in enumerate(zip(source.steps, wanted, strict=False)) if pair[0] != pair[1]), None)
        place = min(len(source.steps), len(wanted)) if place is None else place
        found, expected = ((*steps[place : place + 1], "the end")[0] for steps in (source.steps, wanted))
        raise UserError(
            f"The layers of {_described(architecture)} follow each other as in Table 1. Received: {source.path}, with {found} "
            f"behind {source.steps[place - 1] if place else 'its input'}, not {expected}."
        )


def _weighted(architecture: Architecture) -> list[tuple[str, Layer]]:
    """The layers with weights in their order, batch norm's behind its convolution."""
    named = []
    for layer in layers(architecture):
        if layer.kind in ("conv", "fc"):
            named.append((layer.name, layer))
            if layer.kind == "conv" and architecture.batch_norm:
                named.append((f"{layer.name}_bn", layer))
    return named


def _shapes_of(source: Foreign, layer: Layer, channels: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """A kernel's shape in the source's order of axes, whole and as an FC layer's may be: flat."""
    side, outputs = layer.kernel, layer.units
    if source.channels_first:
        return (outputs, channels, side, side), (outputs, channels * side * side)
    return (side, side, channels, outputs), (side * side * channels, outputs)


def _finite(source: Foreign, name: str) -> list[np.ndarray]:
    """A layer's arrays as float32; their shapes have been checked, so a file cannot make them large."""
    arrays = [np.asarray(array, np.float32) for array in source.tensors[name]]
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"Weights must be finite. Received: {source.path}, whose {name} holds values that are not.")
    return arrays


def outputs_of(source: Foreign, kernel: np.ndarray) -> int:
    """How many outputs a kernel has."""
    return int(kernel.shape[0 if source.channels_first else -1])


def _require_shapes(source: Foreign, name: str, arrays, shapes) -> None:
    received = [tuple(array.shape) for array in arrays]
    if received != shapes:
        raise UserError(
            f"Shapes must be the net's. Received: {source.path}, whose {name} has {_listed(received)}, not {_listed(shapes)}."
        )


def _listed(shapes) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes) or "nothing"


def _kind(activation: str, slope: float, lrn: bool) -> str:
    """An activation and a normalisation in words."""
    return activation + (f" of slope {slope:g}" if activation == "leaky_relu" else "") + " and an LRN" * lrn


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"


def _triple(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _described(architecture: Architecture) -> str:
    return architecture.name + (" with batch norm" if architecture.batch_norm else "")
