"""How different two images look to a net: LPIPS, content distance and style distance, as a Keras layer and loss."""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import layers as layers_of
from vgg_keras.nets.builder import build
from vgg_keras.nets.feature_maps import SMALLEST, feature_maps, named_layers
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict, to_dict
from vgg_keras.weights.formats.torch_files import state_dict
from vgg_keras.weights.open_model import open_model
from vgg_keras.weights.source_weights import TORCHVISION

METHODS = ("lpips", "content", "style")
LPIPS_CHANNELS = (64, 128, 256, 512, 512)  # of relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
LPIPS_EPSILON = 1e-10  # added to the length of a position's channels


@keras.saving.register_keras_serializable(package="vgg_keras")
class PerceptualDistance(keras.layers.Layer):
    """The distance of two batches of images in a net's maps, one number for each pair.

    `lpips`: maps scaled to length 1 over channels; squared differences weighted by channel, summed over channels, averaged
    over positions, summed over layers (Zhang et al. 2018).
    `content`: the mean squared difference of a map, weighted and summed over layers (Johnson et al. 2016).
    `style`: the squared difference of Gram matrices, which are divided by the map's number of values, weighted and summed over
    layers (Johnson et al. 2016).

    The layer has a copy of the net's convolutions, in float32 whatever the policy, that is not trained. The net's mean
    subtraction is part of it. Keras saves it, net and all, with a model of which it is a layer or the loss.

    Args:
        net: a model of `vgg_keras.build`, what `vgg_keras.load_net` returns, or a source of it, such as "imagenet". Its
            convolutions are enough.
        method: "lpips", "content" or "style".
        layers: of content and style: names as in `vgg_keras.feature_maps`, or a dict of their weights. Default: of content
            the last convolution of block 3, of style those of blocks 1 to 4, as Johnson et al.
        linear: of lpips: the path of its linear weights, `weights/v0.1/vgg.pth` in the PyPI package lpips. They belong to
            torchvision's VGG16, net D.

    Call with two batches of images (batch, height, width, 3) of one size, RGB 0-255, 32 pixels or more. Returns (batch,).

    Raises:
        UserError: no such net, method or layer; linear weights or a net that are not LPIPS's; and when it is called,
            images that are too small or of different sizes.

    Example:
        model.compile("adam", loss=vgg_keras.PerceptualDistance("imagenet", layers=["relu2_2", "relu3_3"]))
    """

    def __init__(
        self,
        net: Any,
        method: str = "content",
        layers: str | Sequence[str] | Mapping[str, float] | None = None,
        linear: str | Path | None = None,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if method not in METHODS:
            raise UserError(f"method must be one of {', '.join(METHODS)}. Received: {method!r}.")
        loaded = None if isinstance(net, _Saved) else open_model(net, dtype="float32", convolutions=True)
        architecture = loaded.config.architecture if loaded else net.architecture
        if architecture.channels != 3:
            raise UserError(
                f"Distances are of RGB images, so of a net of 3 channels. Received: one of {architecture.channels}."
            )
        self.method = method
        self.layer_weights = _layer_weights(architecture, method, layers)
        # the head is not needed: the smallest there is
        self.architecture = dataclasses.replace(
            architecture, num_classes=1, head="gap", fc_layers=0, fc_units=(1,), crop=SMALLEST
        )
        self.backbone = feature_maps(build(self.architecture, dtype="float32"), list(self.layer_weights))
        self.linear = []
        if method == "lpips":
            _require_lpips_net(architecture)
            for place, channels in enumerate(LPIPS_CHANNELS):
                self.linear.append(self.add_weight((channels,), "zeros", name=f"linear_{place}", trainable=False))
        if loaded:
            for layer in self.backbone.layers:
                if layer.weights:
                    layer.set_weights(loaded.model.get_layer(layer.name).get_weights())
            for weight, values in zip(self.linear, _linear_weights(method, linear), strict=True):
                weight.assign(values)
        self._filled = loaded is not None
        self.trainable = False  # also of what it tracks
        self.built = True

    @property
    def trainable(self) -> bool:
        """False. A model that it is a layer of sets this when it is frozen or thawed; training would bring any distance to 0."""
        return False

    @trainable.setter
    def trainable(self, value):
        keras.layers.Layer.trainable.fset(self, False)

    def __call__(self, images, others, **kwargs):
        self._check(images, others)  # inside a layer's call Keras would add lines to the message
        return super().__call__(images, others, **kwargs)

    def call(self, images, others):
        return sum(self._by_layer(images, others).values())

    def by_layer(self, images, others) -> dict[str, Any]:
        """The weighted distance in each layer, (batch,) by the layer's name; their sum is the distance."""
        self._check(images, others)
        return self._by_layer(images, others)

    def _by_layer(self, images, others) -> dict[str, Any]:
        first, second = (self.backbone(ops.cast(x, "float32"), training=False) for x in (images, others))
        distances = {}
        for place, (name, weight) in enumerate(self.layer_weights.items()):
            if self.method == "lpips":
                distances[name] = _lpips(first[name], second[name], self.linear[place])
            else:
                measure = _content if self.method == "content" else _style
                distances[name] = weight * measure(first[name], second[name])
        return distances

    def _check(self, images, others) -> None:
        _require_pairs(*(getattr(x, "shape", None) or np.shape(x) for x in (images, others)))
        if not self._filled and not any(isinstance(x, keras.KerasTensor) for x in (images, others)):
            raise UserError(
                "A distance needs the weights of its net. Received: a PerceptualDistance of a configuration alone, as "
                "keras.models.clone_model makes it. Load the model's weights, or make it anew: PerceptualDistance(net, ...)."
            )

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self._filled = True

    def get_config(self) -> dict[str, Any]:
        own = {"net": to_dict(self.architecture), "method": self.method}
        return {**super().get_config(), **own, "layers": self.layer_weights}

    @classmethod
    def from_config(cls, config):
        architecture = from_dict(Architecture, config["net"])
        if config["method"] == "lpips":
            config = {**config, "layers": None}
        return cls(**{**config, "net": _Saved(architecture)})


@dataclasses.dataclass(frozen=True)
class _Saved:
    """A net whose weights are loaded later, by Keras."""

    architecture: Architecture


def _content(first, second):
    return ops.mean(ops.square(first - second), axis=(1, 2, 3))


def _style(first, second):
    return ops.sum(ops.square(_gram(first) - _gram(second)), axis=(1, 2))


def _gram(maps):
    """(batch, height, width, channels) to (batch, channels, channels), divided by height * width * channels."""
    _, height, width, channels = ops.shape(maps)
    return ops.einsum("nhwc,nhwd->ncd", maps, maps) / ops.cast(height * width * channels, "float32")


def _lpips(first, second, linear):
    squares = ops.square(_to_length_1(first) - _to_length_1(second))
    return ops.mean(ops.sum(squares * linear, axis=-1), axis=(1, 2))


def _to_length_1(maps):
    """Each position divided by the length of its channels; a position of zeros stays, and has a gradient of zero."""
    squares = ops.sum(ops.square(maps), axis=-1, keepdims=True)
    dead = squares == 0
    length = ops.where(dead, 0.0, ops.sqrt(ops.where(dead, 1.0, squares)))
    return maps / (length + LPIPS_EPSILON)


def _layer_weights(architecture: Architecture, method: str, layers: Any) -> dict[str, float]:
    """The weight of each layer by its name."""
    convolutions = [layer.name for layer in layers_of(architecture) if layer.kind == "conv"]
    ends = list({name.partition("_")[0]: name for name in convolutions}.values())  # the last of each block
    if method == "lpips":
        if layers is not None:
            raise UserError(
                f"The layers of lpips are those of its linear weights. Received: layers={layers!r}. Leave them out."
            )
        return dict.fromkeys(ends, 1.0)
    if layers is None:
        layers = ends[2:3] if method == "content" else ends[:4]
    if not isinstance(layers, Mapping):
        names = list(layers) if isinstance(layers, Iterable) and not isinstance(layers, str) else [layers]
        if other := next((name for name in names if not isinstance(name, str)), None):
            raise UserError(f"Layers are names, or a dict of their weights. Received: {other!r}. Try {ends[-1]!r}.")
        layers = dict.fromkeys(names, 1.0)
    known = named_layers(architecture)
    for name, weight in layers.items():
        if name in known and known[name].kind == "fc":
            raise UserError(
                f"Distances are in maps of convolutions and poolings. Received: {name!r}. Try {ends[-1]!r}."
            )
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real) or not 0 <= float(weight) < math.inf:
            raise UserError(f"The weight of a layer is a finite number, 0 or more. Received: {weight!r} for {name}.")
    return {name: float(weight) for name, weight in layers.items()}


def _require_lpips_net(architecture: Architecture) -> None:
    """Refuses a net for which LPIPS's linear weights mean nothing."""
    plain = dataclasses.replace(
        Architecture("D"), num_classes=architecture.num_classes, mean=architecture.mean, std=architecture.std
    )
    same = ("name", "width", "batch_norm", "activation")
    others = [
        f"{name}={getattr(architecture, name)}" for name in same if getattr(architecture, name) != getattr(plain, name)
    ]
    if not np.allclose(architecture.mean, TORCHVISION.mean, atol=0.01):
        others.append(f"mean={','.join(f'{value:g}' for value in architecture.mean)}")
    if others:
        mean = ",".join(f"{value:g}" for value in TORCHVISION.mean)
        raise UserError(
            f"LPIPS's linear weights belong to torchvision's VGG16: net D with the mean {mean}. Received: a net with "
            f"{', '.join(others)}. Open it from torchvision's file, vgg16-397923af.pth, or use method='content'."
        )


def _linear_weights(method: str, path: str | Path | None) -> list[np.ndarray]:
    """LPIPS's weights of the channels, for each layer (channels,)."""
    if method != "lpips":
        if path is not None:
            raise UserError(f"Linear weights belong to method='lpips'. Received: linear={path} with method={method!r}.")
        return []
    if path is None:
        raise UserError(
            "LPIPS needs its linear weights, weights/v0.1/vgg.pth of the PyPI package lpips. Received: no linear=."
        )
    path = user_path(path)
    if not path.is_file():
        raise UserError(f"Linear weights are a file, weights/v0.1/vgg.pth of the PyPI package lpips. Received: {path}.")
    found = state_dict(path)
    wanted = {f"lin{place}.model.1.weight": (1, channels, 1, 1) for place, channels in enumerate(LPIPS_CHANNELS)}
    if {name: values.shape for name, values in found.items()} != wanted:
        channels = ", ".join(str(values.shape[1] if values.ndim == 4 else values.shape) for values in found.values())
        raise UserError(
            f"LPIPS's linear weights for VGG have {', '.join(map(str, LPIPS_CHANNELS))} channels. Received: {path}, with "
            f"{channels or 'none'}, which is another net's. Take weights/v0.1/vgg.pth of the PyPI package lpips."
        )
    if not all(np.isfinite(values).all() for values in found.values()):
        raise UserError(f"LPIPS's linear weights must be finite. Received: {path}, with values that are not.")
    return [found[name].reshape(-1) for name in wanted]


def _require_pairs(first: Sequence[int | None], second: Sequence[int | None]) -> None:
    """Refuses shapes that are not two batches of images of one size, as far as they are known."""
    for shape in (first, second):
        if len(shape) != 4 or shape[-1] not in (3, None):
            raise UserError(
                f"Distances are of batches of RGB images, (batch, height, width, 3). Received: shape {tuple(shape)}."
            )
        if any(size is not None and size < SMALLEST for size in shape[1:3]):
            raise UserError(
                f"Distances are of images of {SMALLEST}x{SMALLEST} pixels or more. Received: {shape[1]}x{shape[2]} "
                "(height x width)."
            )
    if any(None not in sizes and sizes[0] != sizes[1] for sizes in zip(first, second, strict=True)):
        raise UserError(
            "Distances are of two batches of one size. "
            f"Received: {tuple(first)} and {tuple(second)}, (batch, height, width, 3)."
        )
