"""Arithmetic on images in a Keras model's graph, such as `preprocess_input` makes: read as numbers, never run.

Keras 3 writes `x[..., ::-1] - mean` as the operations GetItem, Stack, Subtract; Keras 2 as SlicingOpLambda and TFOpLambda.
Each is read as what it makes of three channels: (image[channel] - mean) / std. Anything else is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer

# Keras 3's class, or Keras 2's function, to the method of `_Graph` that reads it, such as `_getitem`
_METHODS = {
    "GetItem": "getitem",
    "__operators__.getitem": "getitem",
    "Stack": "stack",
    "Concatenate": "concatenate",
    "Flip": "flip",
    "reverse": "flip",
    "Take": "take",
    "Add": "add",
    "math.add": "add",
    "__operators__.add": "add",
    "nn.bias_add": "add",
    "Subtract": "subtract",
    "math.subtract": "subtract",
    "Multiply": "multiply",
    "math.multiply": "multiply",
    "TrueDivide": "divide",
    "Divide": "divide",
    "math.truediv": "divide",
    "math.divide": "divide",
    "Negative": "negate",
    "math.negative": "negate",
    "Cast": "cast",
    "cast": "cast",
    "Identity": "cast",
}
_LAMBDAS = ("TFOpLambda", "SlicingOpLambda")
_ACTIVATIONS = {
    "Relu": "relu",
    "nn.relu": "relu",
    "Softmax": "softmax",
    "nn.softmax": "softmax",
    "Sigmoid": "sigmoid",
    "math.sigmoid": "sigmoid",
}
_MOST_CHANNELS = 16
_LAST = (-1, 3, [-1], [3])  # the axis of the channels
_CONSTANT = "_CONSTANT_VALUE"  # what Keras 2 writes for a first operand that is none of its tensors


@dataclass(frozen=True)
class _Channel:
    """(image[source] - mean) / std"""

    source: int
    mean: float = 0.0
    std: float = 1.0

    def plus(self, value: float) -> "_Channel":
        return _Channel(self.source, self.mean - self.std * value, self.std)

    def times(self, value: float) -> "_Channel":
        return _Channel(self.source, self.mean, self.std / value)

    def over(self, value: float) -> "_Channel":
        return _Channel(self.source, self.mean, self.std * value)


@dataclass(frozen=True)
class _Values:
    """What an operation makes: its channels, and whether they have an axis."""

    channels: tuple[_Channel, ...]
    axis: bool = True


def is_operation(layer: Mapping[str, Any]) -> bool:
    """Whether an entry of a model's layers is arithmetic. An `.h5` writes no modules."""
    kind = layer["class_name"]
    if kind == "Identity" or activation_of(layer):
        return False
    of_keras_3 = str(layer.get("module")).startswith("keras.src.ops.") or "newshape" in layer["config"]
    return of_keras_3 or kind in (*_LAMBDAS, *_METHODS)


def _kind_of(layer: Mapping[str, Any]) -> Any:
    """Keras 3's class or Keras 2's function."""
    return layer["config"].get("function") if layer["class_name"] in _LAMBDAS else layer["class_name"]


def activation_of(layer: Mapping[str, Any]) -> str:
    """The activation that an operation on one layer is, such as `keras.ops.relu(x)`; empty: none."""
    kind = _kind_of(layer)
    if kind not in _ACTIVATIONS:
        return ""
    calls = layer.get("inbound_nodes")
    axes = [layer["config"].get("axis"), *(part["axis"] for part in _dictionaries(calls) if "axis" in part)]
    return _ACTIVATIONS[kind] if all(axis in (None, -1, 1) for axis in axes) else ""


def _dictionaries(node: Any) -> list[dict]:
    """The named operands of Keras 2's calls, and Keras 3's calls, at any depth of lists."""
    if isinstance(node, dict):
        return [node, *_dictionaries(node.get("kwargs"))]
    return [found for part in node for found in _dictionaries(part)] if isinstance(node, list) else []


def read(name: str, layers: Mapping[str, Mapping], file: ModelFile) -> tuple[SavedLayer, str, set[str]]:
    """The operations that end in one of this name, as one layer.

    Args:
        name: of the last operation.
        layers: the model's, by name.
        file: for messages.

    Returns:
        A layer `Affine` with `channels`, `mean` and `std`; the layer whose output they take; the names of all of them.

    Raises:
        UserError: other arithmetic, or on several layers.
    """
    graph = _Graph(layers, file)
    found = graph.value(name)
    if not found.axis or len(found.channels) != 3 or len(graph.sources) != 1:
        raise file.another(f"the operation {_described(layers[name])}, of several layers or not to three channels")
    config = {
        "channels": [channel.source for channel in found.channels],
        "mean": [channel.mean for channel in found.channels],
        "std": [channel.std for channel in found.channels],
    }
    return SavedLayer("Affine", name, config), graph.sources.pop(), graph.visited


class _Graph:
    """The operations of a model, each read once."""

    def __init__(self, layers: Mapping[str, Mapping], file: ModelFile):
        self._layers, self._file = layers, file
        self._known: dict[str, _Values] = {}
        self.sources: set[str] = set()
        self.visited: set[str] = set()

    def value(self, name: str) -> _Values:
        layer = self._layers[name]
        if not is_operation(layer) and layer["class_name"] != "Identity":
            self.sources.add(name)
            return _Values(tuple(_Channel(place) for place in range(3)))
        if name in self._known:
            return self._known[name]
        if name in self.visited:
            raise self._file.another("layers in a circle")
        self.visited.add(name)
        arguments, named = self._arguments(layer)
        operation: Callable | None = getattr(self, f"_{_METHODS.get(_kind_of(layer))}", None)
        if operation is None or (len(layer["inbound_nodes"]) != 1 and layer["class_name"] not in _LAMBDAS):
            raise self._file.another(f"the operation {_described(layer)}")
        try:
            found = operation(arguments, {**layer["config"], **named})
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            found = None  # other operands
        if found is not None and len(found.channels) > _MOST_CHANNELS:
            raise self._file.another(f"the operation {_described(layer)} of {len(found.channels)} channels")
        if found is None or not all(np.isfinite([c.mean, c.std]).all() and c.std for c in found.channels):
            raise self._file.another(f"the operation {_described(layer)} of other fields than preprocess_input's")
        self._known[name] = found
        return found

    def _arguments(self, layer: Mapping) -> tuple[list, Mapping]:
        """The operands, values of other operations in their places, and the named ones."""
        if len(layer["inbound_nodes"]) == 0:
            raise self._file.another(f"the operation {_described(layer)} of nothing")
        node = layer["inbound_nodes"][0]
        if isinstance(node, dict):  # Keras 3's
            return self._operand(node["args"]), {key: self._operand(value) for key, value in node["kwargs"].items()}
        if isinstance(node[0], list):  # a layer's, such as Concatenate's
            return [[self.value(part[0]) for part in node]], {}
        named = dict(node[3]) if len(node) > 3 else {}
        first = node[2] if node[0] == _CONSTANT else self.value(node[0])
        second = [key for key in ("y", "bias", "b", "slice_spec", "axis", "indices") if key in named]
        return [first, *(self._operand(named[key]) for key in second[:1])], named

    def _operand(self, stored: Any) -> Any:
        if isinstance(stored, list):
            if len(stored) > 3 and isinstance(stored[0], str) and stored[0] in self._layers:  # Keras 2's tensor
                return self.value(stored[0])
            return [self._operand(value) for value in stored]
        if isinstance(stored, dict):
            if stored.get("class_name") == "__keras_tensor__":
                return self.value(stored["config"]["keras_history"][0])
            if stored.get("class_name") in ("__tensor__", "__numpy__"):
                return stored["config"]["value"]
        return stored

    # ---- the methods of _METHODS, each of (operands, fields); None: not an operation that preprocess_input makes

    def _getitem(self, arguments, config):
        values, key = arguments
        keys = key if isinstance(key, list) else [key]
        *before, last = keys
        if not values.axis or not all(_is_ellipsis(one) or _slice(one) == (None, None, None) for one in before):
            return None
        if not any(map(_is_ellipsis, before)) and len(keys) < 4:
            return values if _is_ellipsis(last) or _slice(last) == (None, None, None) else None
        if isinstance(last, int) and not isinstance(last, bool):
            return _Values((values.channels[last],), axis=False)
        cut = _slice(last)
        return None if cut is None else _Values(values.channels[slice(*cut)])

    def _stack(self, arguments, config):
        parts = arguments[0]
        if config.get("axis") not in _LAST or any(part.axis for part in parts):
            return None
        return _Values(tuple(part.channels[0] for part in parts))

    def _concatenate(self, arguments, config):
        parts = arguments[0]
        if config.get("axis", -1) not in _LAST or not all(part.axis for part in parts):
            return None
        return _Values(tuple(channel for part in parts for channel in part.channels))

    def _flip(self, arguments, config):
        return _Values(arguments[0].channels[::-1]) if config.get("axis") in _LAST and arguments[0].axis else None

    def _take(self, arguments, config):
        indices = arguments[1] if len(arguments) > 1 else config.get("indices")
        if config.get("axis") not in _LAST or not arguments[0].axis:
            return None
        return _Values(tuple(arguments[0].channels[int(place)] for place in indices))

    def _cast(self, arguments, config):
        dtype = str(config.get("dtype"))
        return None if "int" in dtype or "bool" in dtype else arguments[0]

    def _negate(self, arguments, config):
        return self._each(arguments[0], -1.0, _Channel.times)

    def _add(self, arguments, config):
        return self._each(*_values_first(arguments), _Channel.plus)

    def _multiply(self, arguments, config):
        return self._each(*_values_first(arguments), _Channel.times)

    def _subtract(self, arguments, config):
        first, second = arguments
        if isinstance(first, _Values):
            return self._each(first, second, lambda channel, value: channel.plus(-value))
        return self._each(second, first, lambda channel, value: channel.times(-1.0).plus(value))

    def _divide(self, arguments, config):
        values, number = arguments
        return self._each(values, number, _Channel.over) if isinstance(values, _Values) else None

    def _each(self, values: _Values, number: Any, change: Callable) -> _Values | None:
        """Each channel with a number, or with its own of as many."""
        if isinstance(number, _Values) or not isinstance(values, _Values):
            return None
        array = np.asarray(number, np.float64)
        if array.size not in (1, len(values.channels)) or array.shape[:-1] != (1,) * (array.ndim - 1):
            return None
        if change in (_Channel.times, _Channel.over) and not array.all():
            return None
        numbers = np.broadcast_to(array.reshape(-1), len(values.channels)).tolist()
        changed = (change(channel, value) for channel, value in zip(values.channels, numbers, strict=True))
        return _Values(tuple(changed), values.axis)


def _values_first(arguments: list) -> tuple[Any, Any]:
    """The operands of a sum or a product, whose order does not matter: the images, then the number."""
    first, second = arguments
    return (first, second) if isinstance(first, _Values) else (second, first)


def _is_ellipsis(key: Any) -> bool:
    return isinstance(key, dict) and key.get("class_name") == "__ellipsis__"


def _slice(key: Any) -> tuple | None:
    """Start, stop and step of a slice; None of another key."""
    fields = key.get("config", key) if isinstance(key, dict) else {}
    if not {"start", "stop", "step"} <= set(fields):
        return None
    return fields["start"], fields["stop"], fields["step"]


def _described(layer: Mapping) -> str:
    return str(layer["config"].get("function", layer["class_name"]))[:50]
