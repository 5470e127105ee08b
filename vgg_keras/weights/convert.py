"""A source's tensors as our layers take them: each by its layer's name, its axes in our order, its preprocessing folded in.

The net's first layer subtracts the source's mean, so that padding is the same zeros. conv1_1's kernel takes over the order of
the channels and the division. What is loaded then takes RGB in 0-255 like every other net.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import LAST, Layer, layers, mean_of_channels
from vgg_keras.weights.memory import contiguous
from vgg_keras.weights.source_weights import EPSILON, FIRST, Preprocessing, SourceWeights, same_names

Row = tuple[str, Layer, int]  # a layer with weights: its name, the layer, its input channels; batch norm's is `NAME_bn`


def convert(
    source: SourceWeights, architecture: Architecture, only: Collection[str] | None = None
) -> dict[str, list[np.ndarray]]:
    """The weights of a net by its layers' names, in the form that Keras's `set_weights` takes.

    Args:
        source: of `read.read`.
        architecture: `num_classes` and `mean` known.
        only: the layers that are copied, batch norm's with their convolution's; None: every layer.

    Returns:
        float32 arrays of each layer that the source has weights for. The head has none where the source has no FC layers; the
        last layer has none where the source has another number of classes, or scores where the net has boxes.

    Raises:
        UserError: of `check_compatible`; or a weight that is not finite.
    """
    named = source.names(architecture)
    converted: dict[str, list[np.ndarray]] = {}
    # of convolutions under batch norm, which ours do not have; 0 where theirs have none
    biases: dict[str, np.ndarray] = {}
    for name, layer, channels in check_compatible(source, architecture, only):
        arrays = _finite(source, named[name])
        if name.endswith("_bn"):
            converted[name] = _batch_norm(source, named[name], arrays, biases[name.removesuffix("_bn")])
            continue
        kernel = _kernel(source, arrays[0], layer, channels)
        bias = arrays[1] if len(arrays) == 2 else np.zeros(layer.units, np.float32)
        if name == FIRST:
            kernel, shift = _fold(source.preprocessing, kernel, architecture)
            bias = bias + shift
        if layer.kind == "conv" and architecture.batch_norm:
            converted[name] = [kernel]
            biases[name] = bias
        else:
            converted[name] = [kernel, bias]
    return converted


def random_layers(architecture: Architecture, converted: Iterable[str]) -> tuple[str, ...]:
    """The layers with weights that a conversion has none for."""
    return tuple(name for name in same_names(architecture) if name not in set(converted))


def check_compatible(
    source: SourceWeights, architecture: Architecture, only: Collection[str] | None = None
) -> list[Row]:
    """Refuses weights that are not a net's, by names and shapes, before any is converted.

    Args:
        source, architecture, only: as in `convert`. Where only some layers are copied, the nets may differ in others.

    Returns:
        The layers that the source has weights for.

    Raises:
        UserError: a layer missing in the source or more than the net's, with a list of both; a shape, an activation or a
            normalisation that differs; another mean than the source's.
    """
    named, rows = source.names(architecture), _rows(architecture, only, _channels(source, architecture))
    headless = not source.fc_layers
    rows = [row for row in rows if not (headless and row[1].kind == "fc")]
    _require_layers(source, architecture, [named[name] for name, *_ in rows], others_allowed=only is not None)
    if only is None:
        _require_same_net(source, architecture)
    compatible = []
    for row in rows:
        name, layer, _ = row
        arrays = source.tensors[named[name]]
        task = architecture.boxes, architecture.box_unit
        other_task = (source.boxes or task[0], source.box_unit or task[1]) != task
        if name == LAST and (other_task or source.units(arrays[0]) != layer.units):
            continue
        _require_shapes(source, named[name], row, architecture)
        compatible.append(row)
    return compatible


def steps_of(architecture: Architecture) -> tuple[str, ...]:
    """A net's layers before its head, in their order; `activation` is one. Batch norm's end in `_bn`."""
    steps: list[str] = []
    for layer in layers(architecture):
        if layer.kind not in ("conv", "lrn", "pool"):
            break
        steps.append(layer.name)
        if layer.kind == "conv":
            steps += [f"{layer.name}_bn"] * architecture.batch_norm + ["activation"]
    return tuple(steps)


# ---- the tensors


def _kernel(source: SourceWeights, kernel: np.ndarray, layer: Layer, channels: int) -> np.ndarray:
    """A kernel as (height, width, in, out), of an FC layer as (in, out)."""
    kernel = kernel.reshape(_kernel_shapes(source, layer, channels)[0])
    if source.channels_first:
        kernel = contiguous(kernel.transpose(2, 3, 1, 0))
    return kernel.reshape(-1, layer.units) if layer.kind == "fc" else kernel


def _fold(
    preprocessing: Preprocessing | None, kernel: np.ndarray, architecture: Architecture
) -> tuple[np.ndarray, np.ndarray | float]:
    """The first kernel, (height, width, in, out), for images of which our first layer has subtracted the mean.

    Of a net in RGB for another number of channels it is the sum over R, G and B, shared equally by the channels: where all
    channels are equal the response is that to the same image in RGB.

    Returns:
        The kernel, and what the bias gains where the channels differ: such a net subtracts one mean from each of its own.
    """
    if preprocessing and preprocessing.bgr:
        kernel = kernel[:, :, ::-1]
    theirs = kernel.shape[2]
    if preprocessing:  # a stated one has a value for each of our channels
        kernel = kernel / np.array(mean_of_channels(preprocessing.std, theirs), np.float32)[:, None]
    channels, shift = architecture.channels, 0.0
    if theirs != channels:
        mean = mean_of_channels(preprocessing.mean if preprocessing else architecture.mean, theirs)
        offsets = np.mean(architecture.mean) - np.array(mean, np.float64)
        shift = np.einsum("hwio,i->o", kernel, offsets).astype(np.float32)
        kernel = np.repeat(kernel.sum(axis=2, keepdims=True) / channels, channels, axis=2)
    if preprocessing and architecture.std:
        kernel = kernel * np.array(architecture.std, np.float32)[:, None]
    return kernel, shift


def adaptation(source: SourceWeights, architecture: Architecture) -> str:
    """What is done to the first layer's weights of a net in other channels, in words; empty where there is nothing to do."""
    theirs, ours = _channels(source, architecture), architecture.channels
    if theirs == ours:
        return ""
    how = "the sum over" if ours == 1 else f"the mean over, times {theirs}/{ours},"
    return f"{FIRST} is adapted from {theirs} channels to {ours}: {how} the input channels"


def _channels(source: SourceWeights, architecture: Architecture) -> int:
    """The channels that a source's first layer takes: ours, or 3 where it is a net in RGB, which is adapted."""
    return 3 if source.channels() == 3 else architecture.channels


def _batch_norm(source: SourceWeights, name: str, arrays: Sequence[np.ndarray], bias) -> list[np.ndarray]:
    """Batch norm's arrays for our epsilon, behind a convolution without its bias."""
    scale, shift, mean, variance = arrays
    if variance.min() < 0:
        raise UserError(f"A variance is not negative. Received: {source.path}, whose {name} has one that is.")
    # y = scale * (x + bias - mean) / sqrt(variance + epsilon)
    scale = scale * np.sqrt((variance + EPSILON) / (variance + source.epsilon))
    return [scale, shift, mean - bias, variance]


def _finite(source: SourceWeights, name: str) -> list[np.ndarray]:
    """A layer's arrays as float32; their shapes have been checked, so a file cannot make them large."""
    arrays = [np.asarray(array, np.float32) for array in source.tensors[name]]
    if not all(np.isfinite(array).all() for array in arrays):
        raise UserError(f"Weights must be finite. Received: {source.path}, whose {name} holds values that are not.")
    return arrays


# ---- what must fit


def _rows(architecture: Architecture, only: Collection[str] | None, channels: int) -> list[Row]:
    """The layers with weights in their order, batch norm's behind its convolution; `channels` enter the first one."""
    rows = []
    for layer in layers(architecture):
        if layer.kind in ("conv", "fc") and (only is None or layer.name in only):
            rows.append((layer.name, layer, channels))
            if layer.kind == "conv" and architecture.batch_norm:
                rows.append((f"{layer.name}_bn", layer, channels))
        channels = layer.units
    return rows


def _require_layers(source: SourceWeights, architecture: Architecture, names: list[str], others_allowed: bool) -> None:
    missing = [name for name in names if name not in source.tensors]
    left_over = [] if others_allowed else sorted(set(source.tensors) - set(names))
    if missing or left_over:
        no_more = "" if others_allowed else " and no more"
        raise UserError(
            f"A file of weights must hold the layers of {_described(architecture)}{no_more}. Received: {source.path}; "
            f"missing: {_shortened(missing)}; left over: {_shortened(left_over)}."
        )


def _require_same_net(source: SourceWeights, architecture: Architecture) -> None:
    """Refuses a net whose weights would fit and which computes something else of them."""
    lrn = any(layer.kind == "lrn" for layer in layers(architecture))
    ours = _functions(architecture.activation, architecture.negative_slope, lrn)
    slope = architecture.negative_slope if source.negative_slope is None else source.negative_slope
    theirs = _functions(source.activation, slope, source.lrn)
    if ours != theirs:
        raise UserError(
            f"Weights belong to a net with the same activation and normalisation. Received: {source.path}, with {theirs}, "
            f"for {ours}."
        )
    _require_order(source, architecture)
    if source.fc_layers and source.head and source.head != architecture.head:
        raise UserError(
            f"The FC layers must take the last map as the source's do. Received: {source.path}, whose head is {source.head}, "
            f"for {architecture.head}."
        )
    if source.channels() not in (0, 3, architecture.channels):
        raise UserError(
            "Weights of a net in RGB are adapted to other channels, those of others are not. "
            f"Received: {source.path}, of channels={source.channels()}, for {architecture.channels}."
        )
    mean = source.preprocessing.mean if source.preprocessing else architecture.mean
    mean = mean_of_channels(mean, architecture.channels)
    if not np.allclose(architecture.mean, mean, atol=1e-3):
        raise UserError(
            "The net's first layer must subtract its source's mean, so that padding is the same. Received: mean "
            f"{_listed(architecture.mean)} for {source.path}. Build the net with mean={_tuple(mean)}."
        )


def _require_order(source: SourceWeights, architecture: Architecture) -> None:
    """Refuses convolutions and poolings in another order; the head's is known from `SourceWeights.fc_layers`."""
    wanted = steps_of(architecture)
    if not source.steps or source.steps == wanted:
        return
    place = next((n for n, pair in enumerate(zip(source.steps, wanted, strict=False)) if pair[0] != pair[1]), None)
    place = min(len(source.steps), len(wanted)) if place is None else place
    found, expected = ((*steps[place : place + 1], "the end")[0] for steps in (source.steps, wanted))
    raise UserError(
        f"The layers of {_described(architecture)} follow each other as in Table 1. Received: {source.path}, with {found} "
        f"behind {source.steps[place - 1] if place else 'its input'}, not {expected}."
    )


def _require_shapes(source: SourceWeights, name: str, row: Row, architecture: Architecture) -> None:
    """Refuses a layer's arrays of other shapes; `name` is the source's."""
    our_name, layer, channels = row
    shapes = [tuple(array.shape) for array in source.tensors[name]]
    if our_name.endswith("_bn"):
        expected = [(layer.units,)] * 4
    else:
        full, flat = _kernel_shapes(source, layer, channels)
        expected = [full, (layer.units,)]
        if shapes[:1] == [flat]:
            shapes[0] = full
        if layer.kind == "conv" and architecture.batch_norm and len(shapes) == 1:
            expected = [full]  # a convolution under batch norm may have no bias
    if shapes != expected:
        received, needed = (", ".join(map(str, values)) or "nothing" for values in _where_different(shapes, expected))
        raise UserError(
            f"Shapes must be the net's. Received: {source.path}, whose {name} has {received}, not {needed}."
        )


def _where_different(shapes: list[tuple], expected: list[tuple]) -> tuple[list[tuple], list[tuple]]:
    """Of a kernel and a bias the kernel alone where it differs, else the bias; of batch norm all four."""
    if len(expected) != 2:
        return shapes, expected
    part = slice(0, 1) if shapes[:1] != expected[:1] else slice(1, None)
    return shapes[part], expected[part]


def _kernel_shapes(source: SourceWeights, layer: Layer, channels: int) -> tuple[tuple[int, ...], tuple[int, int]]:
    """A kernel's shape in the source's order of axes, and flat, as an FC layer's may be."""
    side, outputs = layer.kernel, layer.units
    if source.channels_first:
        return (outputs, channels, side, side), (outputs, channels * side * side)
    return (side, side, channels, outputs), (side * side * channels, outputs)


# ---- words of messages


def _functions(activation: str, slope: float, lrn: bool) -> str:
    return activation + (f" of slope {slope:g}" if activation == "leaky_relu" else "") + " and an LRN" * lrn


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _tuple(values: Sequence[float]) -> str:
    """Numbers as Python takes them, one too."""
    return f"({_listed(values)}{',' * (len(values) == 1)})"


def _described(architecture: Architecture) -> str:
    return architecture.name + (" with batch norm" if architecture.batch_norm else "")
