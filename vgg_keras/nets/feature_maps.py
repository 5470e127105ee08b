"""The maps of a net's layers by name, for images of any size, with the net's own weights."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError, nearest
from vgg_keras.nets.architectures import LAST, Layer, costs, layers
from vgg_keras.nets.dense import AtLeast
from vgg_keras.nets.model import architecture_of, require_any_size, require_unquantized

SMALLEST = 32  # pixels: five poolings leave one position
POOLING = {"mean": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


@keras.saving.register_keras_serializable(package="vgg_keras")
class FeatureMaps(keras.Model):
    """A model of `feature_maps`; it refuses too small images in one line, also once Keras has traced it for any size."""

    def __call__(self, inputs, *args, **kwargs):
        require_any_size(self, inputs)  # inside a layer's call Keras would add lines to the message
        return super().__call__(inputs, *args, **kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, x, *args, **kwargs):
        require_any_size(self, x)
        return super().predict(x, *args, **kwargs)


def feature_maps(model: keras.Model, names: str | Sequence[str], pooling: str | None = None) -> keras.Model:
    """The maps of named layers, as a Keras model that shares the net's layers: training the net changes its maps.

    Args:
        model: of `vgg_keras.build`, either head.
        names: layers, in any order. Convolutions (`block3_conv3`, in papers `conv3_3` or `relu3_3`) and FC layers (`fc1`,
            `fc2`, or `fc6`, `fc7`) are read after batch norm and ReLU. Poolings (`block5_pool` or `pool5`), A-LRN's
            `block1_lrn` and the class score map `predictions` are read as they are.
        pooling: "mean" or "max" over a map's positions, in float32; None: the maps.

    Returns:
        A model of (batch, height, width, channels) images in 0-255, 3 channels being RGB, to a dict of maps by the given names:
        (batch, height // stride, width // stride, channels) of a convolution or pooling,
        (batch, height // 32 - crop // 32 + 1, ..., units) of an FC layer, in the precision of the net. With `pooling`
        (batch, channels). Height and width are 32 pixels or more, with an FC layer the crop's side or more.

    Raises:
        UserError: the net has no such layer, the pooling is unknown, or the model is not of `build`. The maps raise it
            for images that are too small.

    Example:
        maps = vgg_keras.feature_maps(model, ["relu2_2", "block5_pool"])(images)
    """
    architecture = architecture_of(model)
    known = named_layers(architecture)
    names = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    if not names:
        raise UserError(f"feature_maps takes names of layers. Received: none. {nearest('', layer_names(architecture))}")
    if pooling is not None and pooling not in POOLING:
        raise UserError(f"pooling must be mean, max or None. Received: {pooling!r}.")
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise _unknown(architecture, "A map is of a layer of the net", name, known)

    side = architecture.crop if any(known[name].kind == "fc" for name in names) else SMALLEST
    image = keras.Input((None, None, architecture.channels), dtype="float32", name="image")
    x = AtLeast(side, "A net of feature maps", name="at_least")(image)
    read, found = {name: _read_at(known[name]) for name in names}, {}
    for layer in dense_layers(model):
        x = layer(x)
        if layer.name in read.values():
            found[layer.name] = x
        if len(found) == len(set(read.values())):
            break
    outputs = {name: found[read[name]] for name in names}
    if pooling:
        pool = POOLING[pooling](data_format="channels_last", dtype="float32", name=f"{pooling}_over_positions")
        outputs = {name: pool(one) for name, one in outputs.items()}
    return FeatureMaps(image, outputs, name=f"{model.name}_maps")


def around(model: keras.Model, name: str) -> tuple[keras.Model, keras.Model]:
    """The dense net in two at the map of a layer: images to the map, and the map to the class score map.

    Args:
        model: of `vgg_keras.build`.
        name: of a convolution or pooling, as `feature_maps` takes it.

    Returns:
        Two models that share the net's layers. Images are the crop's side or larger.

    Raises:
        UserError: the net has no such convolution or pooling.
    """
    architecture = architecture_of(model)
    known = {given: layer for given, layer in named_layers(architecture).items() if layer.kind != "fc"}
    if not isinstance(name, str) or name not in known:
        raise UserError(f"A map is of a convolution or pooling. Received: {name!r}. {nearest(str(name), known)}")
    chain = list(dense_layers(model))
    place = next(index for index, layer in enumerate(chain) if layer.name == _read_at(known[name])) + 1
    image = keras.Input((None, None, architecture.channels), dtype="float32", name="image")
    last_map = AtLeast(architecture.crop, name="at_least")(image)
    for layer in chain[:place]:
        last_map = layer(last_map)
    given = keras.Input(last_map.shape[1:], dtype=last_map.dtype, name="map")
    scores = given
    for layer in chain[place:]:
        scores = layer(scores)
    return keras.Model(image, last_map, name="before"), keras.Model(given, scores, name="behind")


def layer_names(architecture: Architecture) -> list[str]:
    """The layers whose maps can be read, in order, by the names of Keras Applications."""
    return [layer.name for layer in _readable(architecture)]


def named_layers(architecture: Architecture) -> dict[str, Layer]:
    """The layers whose maps can be read, by each of their names: ours, Caffe's and the papers'."""
    known: dict[str, Layer] = {}
    for layer in _readable(architecture):
        block, _, rest = layer.name.removeprefix("block").partition("_")
        if layer.kind == "conv":
            place = f"{block}_{rest.removeprefix('conv')}"
            names = [f"conv{place}", f"relu{place}"]
        elif layer.kind == "pool":
            names = [f"pool{block}"]
        else:
            paper = len(architecture.hidden_units) in (0, 2)  # other heads have no names in Caffe
            names = [{"fc1": "fc6", "fc2": "fc7", LAST: "fc8"}.get(layer.name, layer.name)] if paper else []
        known |= dict.fromkeys([layer.name, *names], layer)
    return known


def descriptor_layer(architecture: Architecture, name: str) -> str:
    """The layer of a name, for a descriptor of appendix B: a convolution, a pooling or a hidden FC layer.

    Raises:
        UserError: the net has no such layer; the nearest is named.
    """
    known = {given: layer.name for given, layer in named_layers(architecture).items() if layer.name != LAST}
    if name in known:
        return known[name]
    rule = "A descriptor is made of a convolution, a pooling or a hidden FC layer of the net"
    raise _unknown(architecture, rule, name, known)


def _unknown(architecture: Architecture, rule: str, name: Any, known: Iterable[str]) -> UserError:
    """The error of a name that is no layer's, with the layer that was probably meant."""
    if not architecture.hidden_units and str(name) in named_layers(Architecture(architecture.name)):
        return UserError(f"{rule}. Received: {name!r}, and this net has no hidden FC layers. Try 'block5_pool'.")
    return UserError(f"{rule}. Received: {name!r}. {nearest(str(name), known)}")


def strides(architecture: Architecture) -> dict[str, int]:
    """Pixels from one position of a layer's map to the next, by the layer's name."""
    return {cost.layer.name: cost.stride for cost in costs(architecture)}


def dense_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The net's own layers in order, from mean subtraction to the logits, for images of any size.

    An FC layer is run as a convolution with the FC layer's variables, global pooling as a pooling of stride 1.
    """
    require_unquantized(model)
    window = None  # (height, width) of the last map at the crop's size, once the head begins
    for layer in model.layers[1:]:  # the first is the input
        if isinstance(layer, keras.layers.Flatten):
            window = layer.input.shape[1:3]
        elif isinstance(layer, keras.layers.GlobalAveragePooling2D):
            # in float32, as in `build`
            stated = {"data_format": "channels_last", "dtype": "float32", "name": layer.name}
            yield keras.layers.AveragePooling2D(layer.input.shape[1:3], strides=1, **stated)
        elif isinstance(layer, keras.layers.GlobalMaxPooling2D):
            stated = {"data_format": "channels_last", "dtype": layer.dtype_policy, "name": layer.name}
            yield keras.layers.MaxPooling2D(layer.input.shape[1:3], strides=1, **stated)
        elif isinstance(layer, keras.layers.Dense):
            yield DenseOverWindows(layer, window or (1, 1), name=layer.name)
            window = None
            if layer.name == LAST:  # what may follow are probabilities
                return
        else:
            yield layer


@keras.saving.register_keras_serializable(package="vgg_keras")
class DenseOverWindows(keras.layers.Layer):
    """An FC layer at every window of a map, with that layer's own kernel and bias.

    Takes (batch, height, width, channels), returns (batch, height - window + 1, ..., units).
    """

    def __init__(self, dense: keras.layers.Dense, window: Sequence[int], **kwargs):
        kwargs.setdefault("dtype", dense.dtype_policy)
        super().__init__(**kwargs)
        self.dense, self.window = dense, tuple(window)

    def build(self, input_shape):
        if not self.dense.built:
            self.dense.build((None, self.window[0] * self.window[1] * input_shape[-1]))

    def call(self, inputs):
        # Flatten runs over rows, columns, channels: (25088, 4096) -> (7, 7, 512, 4096)
        kernel = keras.ops.reshape(self.dense.kernel, (*self.window, inputs.shape[-1], self.dense.units))
        outputs = keras.ops.conv(inputs, kernel, padding="valid", data_format="channels_last")
        return outputs + keras.ops.convert_to_tensor(self.dense.bias, dtype=outputs.dtype)

    def get_config(self):
        return {**super().get_config(), "dense": self.dense.get_config(), "window": self.window}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "dense": keras.layers.Dense.from_config(config["dense"])})


def _readable(architecture: Architecture) -> list[Layer]:
    return [layer for layer in layers(architecture) if layer.kind not in ("gap", "gmp")]


def _read_at(layer: Layer) -> str:
    """The Keras layer whose output is a layer's map: its ReLU, where it has one."""
    activated = layer.kind == "conv" or (layer.kind == "fc" and layer.name != LAST)
    return f"{layer.name}_relu" if activated else layer.name
