"""A Keras model of which the layers are known, as a net of Table 1: its preprocessing, its convolutions, its head.

A layer that is not listed in `keras_layers`, or whose fields make it another one than Table 1's, is refused: the same weights
in another net give other numbers. In the head it ends the reading, and the convolutions can be used.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vgg_keras.nets.architectures import LAST
from vgg_keras.weights.formats import keras_head, keras_preprocessing
from vgg_keras.weights.formats.keras_layers import (
    IDENTITY,
    PREPROCESSING,
    ModelFile,
    OtherNetError,
    SavedLayer,
    end_of,
    negative_slope,
    require_fields,
)
from vgg_keras.weights.source_weights import EPSILON, MOST_CHANNELS, SourceWeights, same_names

_BLOCKS = 5
_HEAD = ("Flatten", "Reshape", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Dense")


def describe(
    layers: Sequence[SavedLayer],
    tensors: Mapping[str, tuple],
    file: ModelFile,
    problem: str = "",
    crop: int = 0,
    own: bool = False,
) -> SourceWeights:
    """A model's weights with what its layers say of them.

    Layers are named by their places, as Keras Applications names them, whatever their names are.

    Args:
        layers: of `keras_config.chain`, from the images on.
        tensors: the arrays of each layer with weights, by the layer's name.
        file: for messages.
        problem: what ends the layers before the model's end; empty: nothing.
        crop: the side of the images where the layers do not hold it.
        own: whether it is a net of `vgg_keras.build`.

    Returns:
        The net; its `preprocessing` is None where its first layer is a convolution.

    Raises:
        UserError: a layer that is not one of Table 1's, or preprocessing that is not a mean and a division.
    """
    with file.parsing(), np.errstate(all="ignore"):  # what is not finite is refused
        return _described(layers, tensors, file, problem, crop, own)


def _described(layers, tensors, file, problem, crop, own) -> SourceWeights:
    start = next((place for place, layer in enumerate(layers) if layer.kind == "Conv2D"), len(layers))
    # a Resizing of maps is none of images, which pass on
    net = [one for n, one in enumerate(layers) if one.kind not in IDENTITY or (one.kind == "Resizing" and n > start)]
    first = next((place for place, layer in enumerate(net) if layer.kind not in PREPROCESSING), len(net))
    convolutions, behind = _divided(net[first:])
    for layer in (*net[:first], *convolutions):
        require_fields(layer, file)
    channels = _channels(layers[start:], tensors, file)
    preprocessing = keras_preprocessing.preprocessing_of(net[:first], tensors, file, channels) if first else None
    steps, places, slopes = _steps(convolutions, file)
    slope, epsilon = _slope_and_epsilon(slopes, convolutions, file)
    found = {name: tensors[stored] for name, stored in places.items() if stored in tensors}
    side, uneven = keras_preprocessing.input_side(layers[: start + 1], file, channels)
    crop = side or crop
    head = keras_head.Head()
    try:
        if problem:
            raise file.another(problem)
        head = keras_head.head_of(behind, tensors, slope, crop // 32, file, one_class=own)
        if uneven and head.pooling == "fc":
            raise file.another(uneven)
        if steps and steps[-1] != "block5_pool" and (head.kernels or head.pooling) and "block5_pool" not in steps:
            raise file.another(f"a head behind {places_before(places)}, not behind block5_pool")
    except OtherNetError as error:
        problem, head = error.what, keras_head.Head()
        if steps.count("activation") and f"block{_BLOCKS}_pool" not in steps and f"block{_BLOCKS}_conv1" in steps:
            steps += (f"block{_BLOCKS}_pool",)  # which has no weights
    strangers = sorted(set(tensors) - {layer.name for layer in net})
    if strangers and not problem:
        raise file.another(f"weights of {strangers[0][:50]}, which its configuration lacks")
    fc = [f"fc{place}" for place in range(1, len(head.kernels))] + [LAST] * bool(head.kernels)
    found |= {
        name: tuple(np.asarray(part, np.float32) for part in pair) for name, pair in zip(fc, head.kernels, strict=True)
    }
    return SourceWeights(
        str(file.path),
        found,
        same_names,
        channels_first=False,
        preprocessing=preprocessing,
        assumed=keras_preprocessing.doubt(preprocessing, net[:first]),
        epsilon=epsilon,
        activation="leaky_relu" if slope else "relu",
        lrn=any(layer.kind == "LocalResponseNormalization" for layer in convolutions),
        negative_slope=slope or None,
        steps=steps,
        crop=crop or head.crop,
        fc_layers=tuple(fc),
        head=head.pooling if fc else "",
        head_problem=problem,
        multi_label=head.multi_label,
        notes=tuple(head.notes),
    )


def _slope_and_epsilon(slopes: set[float], convolutions: Sequence[SavedLayer], file: ModelFile) -> tuple[float, float]:
    """The negative slope of all activations, and the epsilon of all batch norms."""
    epsilons = {float(one.config.get("epsilon", EPSILON)) for one in convolutions if one.kind == "BatchNormalization"}
    if len(slopes) > 1 or len(epsilons) > 1:
        raise file.another("layers of one kind that differ: activations, or batch norm's epsilon")
    return (*slopes, 0.0)[0], (*epsilons, EPSILON)[0]


def _channels(layers: Sequence[SavedLayer], tensors: Mapping[str, tuple], file: ModelFile) -> int:
    """How many the first convolution takes."""
    kernel = tensors.get(layers[0].name, (np.zeros((1, 1, 3, 1)),))[0] if layers else np.zeros((1, 1, 3, 1))
    if kernel.ndim != 4 or not 1 <= kernel.shape[2] <= MOST_CHANNELS:
        raise file.another(f"a first convolution of the shape {kernel.shape}, not of 1 to {MOST_CHANNELS} channels")
    return int(kernel.shape[2])


def places_before(places: Mapping[str, str]) -> str:
    """The last named place, as the file names it."""
    return list(places.values())[-1] if places else "the input"


def _divided(net: Sequence[SavedLayer]) -> tuple[Sequence[SavedLayer], Sequence[SavedLayer]]:
    """The blocks of convolutions, and what is behind the fifth or behind the first layer of a head."""
    pools = 0
    for place, layer in enumerate(net):
        if layer.kind in _HEAD:
            return net[:place], net[place:]
        pools += layer.kind == "MaxPooling2D"
        if pools == _BLOCKS:
            return net[: place + 1], net[place + 1 :]
    return net, ()


def _steps(net: Sequence[SavedLayer], file: ModelFile) -> tuple[tuple[str, ...], dict[str, str], set[float]]:
    """The steps of the blocks as `convert.steps_of` names them, the file's name of each, and their activations' slopes."""
    steps: list[str] = []
    places: dict[str, str] = {}
    slopes: set[float] = set()
    block, convolutions = 1, 0
    for layer in net:
        if layer.kind == "Conv2D":
            convolutions += 1
            name = f"block{block}_conv{convolutions}"
        elif layer.kind == "BatchNormalization" and not steps:
            raise file.another(f"{layer.name}, batch norm before the first convolution")
        elif layer.kind == "BatchNormalization":
            name = f"{steps[-1]}_bn"
        elif layer.kind == "LocalResponseNormalization":
            name = f"block{block}_lrn"
        elif layer.kind == "MaxPooling2D":
            name = f"block{block}_pool"
            block, convolutions = block + 1, 0
        elif layer.kind in (*PREPROCESSING, "Resizing"):
            raise file.another(f"{layer.name} behind the first convolution")
        elif end := end_of(layer):
            raise file.another(f"a {end.replace('softmax', 'soft-max')} at {layer.name}, before the end")
        elif layer.kind in ("ReLU", "LeakyReLU", "Activation"):
            name = ""
        else:
            raise file.another(f"{layer.kind} at {layer.name}, before the end of block {_BLOCKS}")
        if name:
            steps.append(name)
            places[name] = layer.name
        if (slope := negative_slope(layer, file)) is not None:
            slopes.add(slope)
            steps.append("activation")
    return tuple(steps), places, slopes
