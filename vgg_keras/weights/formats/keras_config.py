"""A Keras model's configuration, as `.keras` and whole-model `.h5` files hold it, as one chain of layers.

It is read as JSON and never run. Models in models are opened. Layers that are called on each other one by one are a chain;
arithmetic such as `preprocess_input`'s becomes one layer of it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vgg_keras.weights.formats import keras_hub_layers, keras_operations
from vgg_keras.weights.formats.keras_layers import (
    AUGMENTATION,
    IDENTITY,
    MODELS,
    NET,
    PREPROCESSING,
    SEQUENTIAL_HUB,
    ModelFile,
    OtherNetError,
    SavedLayer,
    kind_of,
    require_known,
)

_BLOCKS = 5
_KNOWN = (*MODELS, *SEQUENTIAL_HUB, *PREPROCESSING, *IDENTITY, *NET)
_HEAD = ("Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Dense")


def chain(model: Any, file: ModelFile) -> tuple[list[SavedLayer], str]:
    """The layers of a model from its input to its output, those of models inside it included.

    Args:
        model: as Keras serializes it, with `class_name` and `config`; of Keras 2 or 3.
        file: for messages.

    Returns:
        The layers, and what ends the chain before its end where the convolutions come before that: an unknown layer, a
        branch; empty where nothing does.

    Raises:
        UserError: no configuration of a model, or such an end before the head.
    """
    found: list[SavedLayer] = []
    with file.parsing():
        try:
            for layer in _flat(model, file):
                found.append(layer)
        except OtherNetError as error:
            if not _has_convolutions(found):
                raise
            return found, error.what
        names = [layer.name for layer in found if layer.kind in (*PREPROCESSING, *NET)]
        if len(set(names)) < len(names):
            raise file.another("two layers of one name")
        return found, ""


def stored_groups(model: Any) -> dict[str, str]:
    """The name of each layer by the group of its weights: Keras 2 counts classes, and writes no names."""
    return dict(_groups(model, "layers"))


def _groups(model: Any, place: str) -> Iterator[tuple[str, str]]:
    config = model["config"]
    if not isinstance(config, list | dict) or (isinstance(config, dict) and "layers" not in config):
        return
    counts: dict[str, int] = {}
    for layer in config if isinstance(config, list) else config["layers"]:
        if str(layer.get("module")).startswith("keras.src.ops."):
            continue
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", str(layer["class_name"])))
        snake = snake.lower()
        number = counts[snake] = counts.get(snake, -1) + 1
        group = f"{place}/{snake}" + (f"_{number}" if number else "")
        if layer["class_name"] in MODELS:
            yield from _groups(layer, f"{group}/layers")
        else:
            yield group, _name(layer)


def _has_convolutions(layers: list[SavedLayer]) -> bool:
    """Whether the five blocks are complete, or a head has begun."""
    kinds = [layer.kind for layer in layers]
    return kinds.count("MaxPooling2D") >= _BLOCKS or any(kind in _HEAD for kind in kinds)


def _flat(model: Any, file: ModelFile) -> Iterator[SavedLayer]:
    config = model["config"]
    require_known(model, (*MODELS, *SEQUENTIAL_HUB), file)
    if kind_of(model) in SEQUENTIAL_HUB:
        yield from keras_hub_layers.layers_of(model, file)
        return
    stored = config if isinstance(config, list) else config["layers"]
    for layer in stored if model["class_name"] == "Sequential" else _ordered(config, file):
        if isinstance(layer, SavedLayer):
            yield layer
            continue
        if activation := keras_operations.activation_of(layer):
            yield SavedLayer("Activation", str(layer["config"]["name"]), {"activation": activation})
            continue
        require_known(layer, _KNOWN, file)
        if kind_of(layer) in (*MODELS, *SEQUENTIAL_HUB):
            yield from _flat(layer, file)
        else:
            yield SavedLayer(kind_of(layer), str(layer["config"]["name"]), layer["config"])


def _ordered(config: Mapping[str, Any], file: ModelFile) -> Iterator[Any]:
    """The layers of a functional model in the order in which they are called; before an end the ones that come before it."""
    for layer in config["layers"]:
        if "name" not in layer and "name" not in layer["config"]:  # none that Keras saves
            raise file.another(str(kind_of(layer))[:50])
    by_name = {_name(layer): layer for layer in config["layers"]}
    try:
        order = _backward(config, by_name, file)
    except OtherNetError as error:
        yield from _forward(config, by_name, file)
        raise error from None
    yield from order


def _backward(config: Mapping[str, Any], by_name: Mapping[str, dict], file: ModelFile) -> list[Any]:
    """From the output to the input, each layer once, on the one before it."""
    ends = [list(_called_on(config[key])) for key in ("output_layers", "input_layers")]
    if [len(names) for names in ends] != [1, 1]:
        raise file.another("several inputs or outputs")
    (name,), (first,) = ends
    order: list[Any] = []
    visited: set[str] = set()
    while True:
        if name in visited:
            raise file.another("layers in a circle")
        if keras_operations.is_operation(by_name[name]):
            layer, source, inside = keras_operations.read(name, by_name, file)
            order.insert(0, layer)
            visited |= inside
            name = source
            continue
        order.insert(0, by_name[name])
        visited.add(name)
        _require_inference(by_name[name], file)
        calls = by_name[name]["inbound_nodes"]
        if not calls:
            break
        sources = list(_called_on(calls))
        if len(sources) != 1:
            raise file.another(f"{name} called on several layers or several times")
        name = sources[0]
    if len(visited) != len(config["layers"]) or name != first:
        raise file.another("layers beside the chain from input to output")
    return order


def _forward(config: Mapping[str, Any], by_name: Mapping[str, dict], file: ModelFile) -> Iterator[Any]:
    """From the input on, as long as one layer alone takes what the one before it makes."""
    takers: dict[str, list[str]] = {}
    for name, layer in by_name.items():
        for source in _called_on(layer["inbound_nodes"]):
            takers.setdefault(source, []).append(name)
    ends = list(_called_on(config["input_layers"]))
    name = ends[0] if len(ends) == 1 else ""
    order: list[Any] = []
    while name in by_name and len(order) <= len(by_name):
        layer = by_name[name]
        if keras_operations.is_operation(layer):
            return  # what is behind arithmetic is found backward alone
        _require_inference(layer, file)
        if order and len(list(_called_on(layer["inbound_nodes"]))) != 1:
            return
        order.append(layer)
        yield layer
        following = takers.get(name, [])
        name = following[0] if len(following) == 1 else ""


def _require_inference(layer: Mapping[str, Any], file: ModelFile) -> None:
    calls = layer["inbound_nodes"]
    # Keras 3 writes training=True for the calls of its layers of images: augmentation passes its input on in `predict` all the
    # same, and Resizing does one thing in both. Of other layers with it, those that are not known are refused by their class
    default = layer["class_name"] in ("Resizing", *AUGMENTATION) and calls and isinstance(calls[0], dict)
    if _in_training(calls) and not default and kind_of(layer) in _KNOWN:
        raise file.another(f"{_name(layer)} called with training=True")


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
