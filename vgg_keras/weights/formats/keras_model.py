"""A Keras model's configuration, as `.keras` and whole-model `.h5` files hold it: its preprocessing and its layers' order.

It is read as JSON and never run. A layer that is not listed here, or whose fields make it another one than Table 1's, is
refused: the same weights in another net give other numbers.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.weights.source_weights import EPSILON, Preprocessing, SourceWeights, same_names

MODELS = ("Sequential", "Functional", "Model", "VGG")
_PREPROCESSING = ("MeanSubtraction", "Rescaling", "Normalization")
# At inference these pass their input on.
_IDENTITY = (
    "InputLayer",
    "Dropout",
    "SpatialDropout2D",
    "GaussianDropout",
    "GaussianNoise",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
)
_NET = (
    "Conv2D",
    "BatchNormalization",
    "ReLU",
    "LeakyReLU",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "GlobalAveragePooling2D",
    "Flatten",
    "Dense",
    "Activation",
    "Softmax",
)
# What Keras makes of `image[..., 0] / 127.5` and the like; a .keras names their module too.
_OPERATIONS = ("GetItem", "Stack", "Flip", "TrueDivide", "Divide", "Cast", "TFOpLambda", "SlicingOpLambda")
_OURS = ("MeanSubtraction", "LocalResponseNormalization", "VGG")
_OURS_TOO = ("Conv2D", "Dense", "BatchNormalization")  # Keras's with sums in float32, under Keras's names
# The fields that make a layer Table 1's, with the values that they may have; one that a file does not hold is a default.
_FIELDS: dict[str, dict[str, tuple]] = {
    "Conv2D": {
        "padding": ("same",),
        "strides": (1, [1, 1]),
        "dilation_rate": (1, [1, 1]),
        "groups": (1,),
    },
    "MaxPooling2D": {"padding": ("valid",), "pool_size": (2, [2, 2]), "strides": (None, 2, [2, 2])},
    "BatchNormalization": {"axis": (-1, 3, [-1], [3])},
    "ReLU": {"max_value": (None,), "threshold": (None, 0)},
    "LocalResponseNormalization": {"k": (2.0,), "n": (5,), "alpha": (1e-4,), "beta": (0.75,)},
    "GlobalAveragePooling2D": {"keepdims": (None, False)},
    "Softmax": {"axis": (-1, 1)},
    "Normalization": {"axis": (None, -1, 3, [], [-1], [3]), "invert": (None, False)},
}
_REQUIRED = {"Conv2D": ("padding",), "MaxPooling2D": ("pool_size",)}
_LEAKY_RELU = 0.2  # the slope of Keras's function of that name
_KERAS_EPSILON = 1e-7  # keras.config.epsilon(), the least standard deviation of Normalization


@dataclass(frozen=True)
class ModelFile:
    """A file that holds a model, for messages: what such a file must hold, and its path."""

    rule: str
    path: Path

    def another(self, what: str) -> UserError:
        """The error of a file that holds another model."""
        return UserError(f"{self.rule} Received: {self.path}, another, with {what}.")

    @contextlib.contextmanager
    def parsing(self) -> Iterator[None]:
        """Turns whatever a damaged configuration makes of this module into one line."""
        try:
            yield
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            raise UserError(f"{self.rule} Received: {self.path}, whose configuration is damaged: {reason}.") from None


@dataclass(frozen=True)
class SavedLayer:
    """A layer of a model: its class, its own name and its fields."""

    kind: str
    name: str
    config: Mapping[str, Any]


def chain(model: Any, file: ModelFile) -> list[SavedLayer]:
    """The layers of a model from its input to its output, those of models inside it included.

    Args:
        model: as Keras serializes it, with `class_name` and `config`; of Keras 2 or 3.
        file: for messages.

    Raises:
        UserError: no configuration of a model, layers that do not follow each other one by one, or an unknown layer.
    """
    with file.parsing():
        found = list(_flat(model, file))
        names = [layer.name for layer in found if layer.kind in (*_PREPROCESSING, *_NET)]
        if len(set(names)) < len(names):
            raise file.another("two layers of one name")
        return found


def describe(layers: list[SavedLayer], tensors: Mapping[str, tuple], file: ModelFile) -> SourceWeights:
    """A model's weights with what its configuration says of them.

    Layers are named by their places, as Keras Applications names them, whatever their names are.

    Args:
        layers: of `chain`.
        tensors: the arrays of each layer with weights, by the layer's name.
        file: for messages.

    Returns:
        The net; its `preprocessing` is None where its first layer is a convolution.

    Raises:
        UserError: a layer that is not one of Table 1's, or preprocessing that is not a mean and a division.
    """
    with file.parsing(), np.errstate(all="ignore"):  # what is not finite is refused
        return _described(layers, tensors, file)


def _described(layers, tensors, file) -> SourceWeights:
    net = [layer for layer in layers if layer.kind not in _IDENTITY]
    for layer in net:
        _require_fields(layer, file)
    first = next((place for place, layer in enumerate(net) if layer.kind not in _PREPROCESSING), len(net))
    preprocessing = _preprocessing(net[:first], tensors, file) if first else None
    steps, places, slopes = _steps(net[first:], file)
    epsilons = {float(layer.config.get("epsilon", EPSILON)) for layer in net if layer.kind == "BatchNormalization"}
    if len(slopes) > 1 or len(epsilons) > 1:
        raise file.another("layers of one kind that differ: activations, or batch norm's epsilon")
    slope = slopes.pop() if slopes else 0.0
    strangers = sorted(set(tensors) - {layer.name for layer in net})
    if strangers:
        raise file.another(f"weights of {strangers[0][:50]}, which its configuration lacks")
    return SourceWeights(
        str(file.path),
        {name: tensors[stored] for name, stored in places.items() if stored in tensors},
        same_names,
        channels_first=False,
        preprocessing=preprocessing,
        epsilon=epsilons.pop() if epsilons else EPSILON,
        activation="leaky_relu" if slope else "relu",
        lrn=any(layer.kind == "LocalResponseNormalization" for layer in net),
        negative_slope=slope or None,
        steps=steps,
        crop=_input_side(layers, "flatten" in steps, file),
    )


# ---- from nested models to one chain


def _flat(model: Any, file: ModelFile) -> Iterator[SavedLayer]:
    config = model["config"]
    _require_known(model, MODELS, file)
    stored = config if isinstance(config, list) else config["layers"]
    for layer in stored:
        _require_known(layer, (*MODELS, *_PREPROCESSING, *_IDENTITY, *_NET), file)
    for layer in stored if model["class_name"] == "Sequential" else _ordered(config, file):
        if layer["class_name"] in MODELS:
            yield from _flat(layer, file)
        else:
            yield SavedLayer(_kind(layer), str(layer["config"]["name"]), layer["config"])


def _kind(layer: Mapping[str, Any]) -> Any:
    """The class of a layer; ours under Keras's names are written as `vgg_keras>Conv2D` in an `.h5`."""
    kind = layer.get("class_name")
    plain = str(kind).removeprefix("vgg_keras>")
    return plain if plain in _OURS_TOO else kind


def _ordered(config: Mapping[str, Any], file: ModelFile) -> list[dict]:
    """The layers of a functional model in the order in which they are called, each once, on the one before it."""
    by_name = {_name(layer): layer for layer in config["layers"]}
    ends = [list(_called_on(config[key])) for key in ("output_layers", "input_layers")]
    if [len(names) for names in ends] != [1, 1]:
        raise file.another("several inputs or outputs")
    (name,), (first,) = ends
    order: list[dict] = []
    while True:
        if len(order) > len(by_name):
            raise file.another("layers in a circle")
        order.insert(0, by_name[name])
        calls = by_name[name]["inbound_nodes"]
        # Keras 3 writes training=True for the calls of its Random layers, which pass their input on in `predict` all the same
        default = by_name[name]["class_name"].startswith("Random") and calls and isinstance(calls[0], dict)
        if _in_training(calls) and not default:
            raise file.another(f"{name} called with training=True")
        if not calls:
            break
        sources = list(_called_on(calls))
        if len(sources) != 1:
            raise file.another(f"{name} called on several layers or several times")
        name = sources[0]
    if len(order) != len(config["layers"]) or name != first:
        raise file.another("layers beside the chain from input to output")
    return order


def _name(layer: Mapping[str, Any]) -> str:
    return layer["name"] if "name" in layer else layer["config"]["name"]


def _called_on(node: Any) -> Iterator[str]:
    """The layers of which a call takes the outputs: Keras 2 writes [name, node, tensor, kwargs], Keras 3 a dictionary."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            yield node["config"]["keras_history"][0]
        else:
            for value in node.values():
                yield from _called_on(value)
    elif isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and all(type(value) is int for value in node[1:3]):
            yield node[0]
            node = node[3:]
        for value in node:
            yield from _called_on(value)


def _in_training(node: Any) -> bool:
    """Whether a layer is called as in training, where it may compute something else than at inference."""
    if isinstance(node, dict):
        return bool(node.get("training")) or any(_in_training(value) for value in node.values())
    return isinstance(node, list) and any(_in_training(value) for value in node)


def _require_known(layer: Mapping[str, Any], known: tuple[str, ...], file: ModelFile) -> None:
    """Refuses a class that is not known, and a stranger's under the name of one of Keras's or of ours."""
    kind, module, registered = _kind(layer), layer.get("module"), layer.get("registered_name")
    if kind not in known and (str(module).startswith("keras.src.ops.") or kind in _OPERATIONS):
        raise UserError(
            f"{file.rule} Received: {file.path}, another, with the operation {str(kind)[:50]}. Operations, such as "
            "preprocess_input's, are not read. Save only the layers behind them, as .h5: these are read as Keras Applications'."
        )
    if kind not in known:
        raise file.another(str(kind)[:50])
    package = str(module).split(".")[0]
    ours = kind in _OURS or (kind in _OURS_TOO and package == "vgg_keras")
    if module is not None and package not in (("vgg_keras",) if ours else ("keras", "tf_keras")):
        raise file.another(f"{kind} of {str(module)[:50]}")
    if registered not in (None, f"vgg_keras>{kind}" if ours else kind):
        raise file.another(str(registered)[:50])


# ---- what the layers do


def _require_fields(layer: SavedLayer, file: ModelFile) -> None:
    config = layer.config
    for field in _REQUIRED.get(layer.kind, ()):
        if field not in config:
            raise file.another(f"{layer.name} without {field}")
    allowed = {"data_format": (None, "channels_last"), **_FIELDS.get(layer.kind, {})}
    for field, values in allowed.items():
        if field in config and config[field] not in values:
            raise file.another(f"{layer.name} of {field}={str(config[field])[:50]}")


def _preprocessing(layers: list[SavedLayer], tensors, file: ModelFile) -> Preprocessing:
    """The first layers as one subtraction and one division: ((x - a) / b - c) / d is (x - (a + b c)) / (b d)."""
    mean, std = np.zeros(3), np.ones(3)
    for layer in layers:
        config = layer.config
        if layer.kind == "MeanSubtraction":
            subtracted, divisor = _triple(config["mean"]), _triple(config.get("std") or 1.0)
        elif layer.kind == "Rescaling":
            scale = _triple(config["scale"])
            if not scale.all():
                raise file.another(f"{layer.name} of scale=0")
            divisor = 1.0 / scale
            subtracted = -_triple(config.get("offset", 0.0)) * divisor
        else:
            stored = config.get("mean"), config.get("variance")
            if None in stored:  # adapted to data
                stored = tensors[layer.name][:2]
            subtracted, variance = _triple(stored[0]), _triple(stored[1])
            if variance.min() < 0:
                raise UserError(
                    f"A variance is not negative. Received: {file.path}, whose {layer.name} has one that is."
                )
            divisor = np.maximum(np.sqrt(variance), _KERAS_EPSILON)
        mean, std = mean + std * subtracted, std * divisor
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and std.all()):
        raise file.another(f"{layers[-1].name} of values that are not finite or too large")
    return Preprocessing(tuple(mean.tolist()), tuple(std.tolist()))


def _triple(value: Any) -> np.ndarray:
    """A number, or one for each channel, as three."""
    if isinstance(value, dict):  # an array, as Keras 3 serializes it
        value = value["config"]["value"]
    array = np.asarray(value, np.float64)
    if array.size not in (1, 3) or array.shape[:-1] != (1,) * (array.ndim - 1):
        raise ValueError(f"{array.size} values for three channels")
    return np.broadcast_to(array.reshape(-1), 3).astype(np.float64)


def _steps(net: list[SavedLayer], file: ModelFile) -> tuple[tuple[str, ...], dict[str, str], set[float]]:
    """The steps of the net as `convert.steps_of` names them, the file's name of each, and the slopes of its activations."""
    steps: list[str] = []
    places: dict[str, str] = {}
    slopes: set[float] = set()
    block, convolutions, dense = 1, 0, 0
    for place, layer in enumerate(net):
        name = ""
        if layer.kind == "Conv2D":
            convolutions += 1
            name = f"block{block}_conv{convolutions}"
        elif layer.kind == "BatchNormalization":
            name = f"{steps[-1] if steps else 'input'}_bn"
        elif layer.kind == "LocalResponseNormalization":
            name = f"block{block}_lrn"
        elif layer.kind == "MaxPooling2D":
            name = f"block{block}_pool"
            block, convolutions = block + 1, 0
        elif layer.kind in ("Flatten", "GlobalAveragePooling2D"):
            name = {"Flatten": "flatten", "GlobalAveragePooling2D": "avg_pool"}[layer.kind]
        elif layer.kind == "Dense":
            dense += 1
            following = net[place + 1] if place + 1 < len(net) else None
            hidden = _negative_slope(layer, file) is not None
            hidden = hidden or (following is not None and _negative_slope(following, file) is not None)
            name = f"fc{dense}" if hidden else "predictions"
        elif layer.kind in _PREPROCESSING:
            raise file.another(f"{layer.name} behind the first convolution")
        if name:
            steps.append(name)
            places[name] = layer.name
        if (slope := _negative_slope(layer, file)) is not None:
            slopes.add(slope)
            steps.append("activation")
        elif _is_softmax(layer) and place < len(net) - 1:
            raise file.another(f"a soft-max at {layer.name}, before the end")
    if "predictions" not in steps:
        while steps and steps[-1] in ("flatten", "avg_pool"):
            steps.pop()  # of a net without its head
    return tuple(steps), places, slopes


def _negative_slope(layer: SavedLayer, file: ModelFile) -> float | None:
    """The slope below 0 of a layer's activation: 0 for ReLU; None where it has none, or the soft-max of the end."""
    if layer.kind in ("ReLU", "LeakyReLU"):
        fields = ("negative_slope",) if layer.kind == "ReLU" else ("negative_slope", "alpha")  # Keras 2's
        found = next((layer.config[field] for field in fields if layer.config.get(field) is not None), None)
        if found is None and layer.kind == "LeakyReLU":
            raise file.another(f"{layer.name} without negative_slope")
        return float(_triple(found or 0.0)[0])
    if layer.kind not in ("Conv2D", "Dense", "Activation") or _is_softmax(layer):
        return None
    activation = layer.config.get("activation")
    if activation in (None, "linear"):
        return None
    if activation not in ("relu", "leaky_relu"):
        raise file.another(f"the activation {str(activation)[:50]} at {layer.name}")
    return 0.0 if activation == "relu" else _LEAKY_RELU


def _is_softmax(layer: SavedLayer) -> bool:
    """Whether a layer makes probabilities of logits: our nets end before it."""
    return layer.kind == "Softmax" or (
        layer.kind in ("Dense", "Activation") and layer.config.get("activation") == "softmax"
    )


def _input_side(layers: list[SavedLayer], flattened: bool, file: ModelFile) -> int:
    """The side of the square that the net takes; 0 where it takes others too.

    Args:
        flattened: whether the head is FC layers on the whole last map.
    """
    shapes = [layer.config.get(key) for layer in layers[:1] for key in ("batch_shape", "batch_input_shape")]
    shape = next((shape for shape in shapes if shape is not None), [None] * 4)
    if len(shape) != 4 or shape[3] not in (None, 3):
        raise file.another(f"an input of the shape {str(tuple(shape[1:]))[:50]}, not of RGB images")
    height, width = shape[1:3]
    if flattened and height != width:
        raise file.another(f"an input of {height}x{width}, not a square")
    return height if type(height) is int and height == width else 0
