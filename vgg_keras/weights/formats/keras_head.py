"""The layers behind the fifth block of a Keras model, as FC layers: what they take, and each one's kernel and bias.

Batch norm and average pooling are linear at inference, so they become part of the FC layer beside them. One sigmoid is the
soft-max of two classes. A layer that no `Architecture` has ends the reading: the convolutions can be used without the head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.weights.formats.keras_layers import (
    PREPROCESSING,
    ModelFile,
    SavedLayer,
    end_of,
    negative_slope,
    require_fields,
    require_values,
)
from vgg_keras.weights.source_weights import EPSILON, two_classes

_POOLED = {
    "GlobalAveragePooling2D": "gap",
    "GlobalMaxPooling2D": "gmp",
    "AveragePooling2D": "gap",
    "MaxPooling2D": "gmp",
}
_MOST_SPREAD = 64  # times a kernel grows in memory; a pooling of a map of 7x7 makes at most 49


@dataclass
class Head:
    """What is known of a head while its layers are read.

    Attributes:
        pooling: what the FC layers take, as `Architecture.head` names it; empty: not known yet.
        kernels: (inputs, units) of each FC layer, with its bias (units,).
        crop: that FC layers as convolutions give; 0: they do not.
        multi_label: whether it ends in several sigmoids.
        notes: what was changed, for the user.
    """

    pooling: str = ""
    kernels: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    crop: int = 0
    multi_label: bool = False
    notes: list[str] = field(default_factory=list)


def head_of(
    layers: Sequence[SavedLayer],
    tensors: Mapping[str, tuple],
    slope: float,
    side: int,
    file: ModelFile,
    one_class: bool = False,
) -> Head:
    """The head that these layers make.

    Args:
        layers: behind the last pooling, those left out that pass their input on.
        tensors: the arrays of each layer with weights, by its name.
        slope: below 0, of the convolutions' activation.
        side: of the last map; 0: not known.
        file: for messages.
        one_class: that one output is a net's of one class, which stays.

    Raises:
        UserError: a layer that no head of ours has.
    """
    reader = _Reader(tensors, slope, side, file)
    for layer in layers:
        reader.read(layer)
    return reader.finished(one_class)


class _Reader:
    """Reads a head layer by layer."""

    def __init__(self, tensors: Mapping[str, tuple], slope: float, side: int, file: ModelFile):
        self._tensors, self._slope, self._side, self._file = tensors, slope, side, file
        self._head = Head()
        self._flat = False  # whether the map is a vector
        self._waiting: tuple[np.ndarray, np.ndarray] | None = None  # a scale and a shift for the next FC layer's inputs
        self._averaged: tuple[int, int] | None = None  # an average pooling's window and strides
        self._activated: list[bool] = []  # of each FC layer
        self._units = self._end = ""  # the last FC layer's name; what made probabilities
        self._linear = False  # whether what is read now is the last FC layer's output itself

    def read(self, layer: SavedLayer) -> None:
        if self._end:
            raise self._file.another(f"a {self._end.replace('softmax', 'soft-max')} at {self._units}, before the end")
        if layer.kind in (*PREPROCESSING, "LocalResponseNormalization", "Resizing"):
            raise self._file.another(f"{layer.name} behind the first convolution")
        if layer.kind in ("ReLU", "Softmax"):
            require_fields(layer, self._file)
        require_values(layer, {"data_format": (None, "channels_last")}, self._file)
        getattr(self, f"_{layer.kind.lower()}")(layer)
        if layer.kind not in ("Dense", "Conv2D"):
            self._activate(layer)

    def finished(self, one_class: bool) -> Head:
        head = self._head
        if not head.kernels:
            return head
        if self._activated[-1]:
            raise self._file.another(f"an activation at the end, of {self._units}")
        if not all(self._activated[:-1]):
            raise self._file.another("two FC layers without an activation between them")
        if self._waiting is not None:
            raise self._file.another("batch norm at the end")
        if head.kernels[-1][1].size == 1 and not one_class:
            self._as_two_classes()
        else:
            head.multi_label = self._end == "sigmoid"
        return head

    # ---- one method for each class of Keras, called by `read`

    def _flatten(self, layer: SavedLayer) -> None:
        if not self._flat and not self._head.kernels:
            self._head.pooling = self._head.pooling or "fc"
        self._flat = True

    def _reshape(self, layer: SavedLayer) -> None:
        if len(layer.config["target_shape"]) != 1:
            raise self._file.another(f"Reshape at {layer.name} to {str(layer.config['target_shape'])[:50]}")
        self._flatten(layer)

    def _globalaveragepooling2d(self, layer: SavedLayer) -> None:
        self._pool(layer)

    def _globalmaxpooling2d(self, layer: SavedLayer) -> None:
        if self._waiting is not None and self._waiting[0].min() < 0:
            raise self._file.another("batch norm of a negative scale before the largest value is taken")
        self._pool(layer)

    def _averagepooling2d(self, layer: SavedLayer) -> None:
        window, strides = self._window(layer)
        if self._side and window == self._side:
            self._pool(layer)
        elif self._flat or self._head.kernels or self._head.pooling or self._averaged or not self._side:
            raise self._file.another(f"{layer.kind} at {layer.name} on a map of another size")
        else:
            self._averaged = window, strides

    def _maxpooling2d(self, layer: SavedLayer) -> None:
        if not self._side or self._window(layer)[0] != self._side:
            raise self._file.another(f"a sixth pooling, {layer.name}, smaller than the last map")
        self._globalmaxpooling2d(layer)

    def _dense(self, layer: SavedLayer) -> None:
        if not self._flat and not self._head.pooling and self._side != 1:
            raise self._file.another(f"{layer.name} on a map, which is not flattened")
        self._head.pooling = self._head.pooling or "fc"
        self._flat = True
        kernel, bias = self._arrays(layer)
        self._add(layer, kernel, bias)

    def _conv2d(self, layer: SavedLayer) -> None:
        """An FC layer as a convolution (3.2)."""
        require_values(layer, {"strides": (1, [1, 1]), "dilation_rate": (1, [1, 1]), "groups": (1,)}, self._file)
        kernel, bias = self._arrays(layer)
        height, width, _, units = kernel.shape
        first = not self._head.kernels
        whole = height == width and (height == 1 or (first and layer.config.get("padding", "valid") == "valid"))
        fits = height == self._side or (not self._side and first) or (not first and height == 1)
        if self._flat or self._head.pooling not in ("", "fc") or self._averaged or not whole or not fits:
            raise self._file.another(f"{layer.name}, a convolution behind block5_pool that is no FC layer")
        self._head.pooling = "fc"
        if first:
            self._side = 1
            self._head.crop = 32 * height
        self._add(layer, kernel.reshape(-1, units), bias)

    def _batchnormalization(self, layer: SavedLayer) -> None:
        channels = (-1, [-1], 3, [3]) if not self._flat and not self._head.pooling else (-1, [-1], 1, [1])
        require_values(layer, {"axis": channels}, self._file)
        arrays = list(self._tensors[layer.name])
        scale = arrays.pop(0).astype(np.float64) if layer.config.get("scale", True) else 1.0
        shift = arrays.pop(0).astype(np.float64) if layer.config.get("center", True) else 0.0
        mean, variance = (array.astype(np.float64) for array in arrays)
        if variance.min() < 0:
            raise UserError(
                f"A variance is not negative. Received: {self._file.path}, whose {layer.name} has one that is."
            )
        factor = scale / np.sqrt(variance + float(layer.config.get("epsilon", EPSILON)))
        added = shift - mean * factor
        if self._linear:
            kernel, bias = self._head.kernels[-1]
            self._head.kernels[-1] = kernel * factor, bias * factor + added
        else:
            earlier = (np.ones(1), np.zeros(1)) if self._waiting is None else self._waiting
            # of channels before the map is flattened, of all its values behind that
            old_scale, old_shift = (np.tile(part, np.size(factor) // len(part)) for part in earlier)
            self._waiting = old_scale * factor, old_shift * factor + added
        note = "its head's batch norm is part of its FC layers"
        if note not in self._head.notes:
            self._head.notes.append(note)

    # an activation alone has nothing but what `read` gives to `_activate`

    def _activation(self, layer: SavedLayer) -> None: ...

    def _relu(self, layer: SavedLayer) -> None: ...

    def _leakyrelu(self, layer: SavedLayer) -> None: ...

    def _softmax(self, layer: SavedLayer) -> None: ...

    # ---- parts of these

    def _pool(self, layer: SavedLayer) -> None:
        """One position of the map. That of FC layers as convolutions is one already."""
        if self._head.kernels and self._side == 1:
            self._flat = True
        elif self._flat or self._averaged or self._head.pooling:
            raise self._file.another(f"{layer.name} behind another pooling")
        else:
            self._head.pooling = _POOLED[layer.kind]

    def _window(self, layer: SavedLayer) -> tuple[int, int]:
        """The side and the stride of a pooling's window, which must fit into the map."""
        config = layer.config
        sides = [config["pool_size"], config.get("strides") or config["pool_size"]]
        pairs = [side if isinstance(side, list) else [side, side] for side in sides]
        if config.get("padding", "valid") != "valid" or any(len(set(pair)) != 1 for pair in pairs):
            raise self._file.another(f"{layer.name} of padding={config.get('padding')} or no square")
        return pairs[0][0], pairs[1][0]

    def _arrays(self, layer: SavedLayer) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias, a bias of 0 where it has none."""
        kernel, *rest = self._tensors[layer.name]
        bias = rest[0] if rest else np.zeros(kernel.shape[-1], np.float32)
        if len(rest) > 1 or kernel.ndim != (2 if layer.kind == "Dense" else 4) or bias.shape != kernel.shape[-1:]:
            raise self._file.another(f"other arrays at {layer.name} than a kernel and a bias")
        return kernel, bias

    def _add(self, layer: SavedLayer, kernel: np.ndarray, bias: np.ndarray) -> None:
        """The next FC layer, with what waits for one."""
        if self._waiting is not None:  # of what an average pooling makes, with which one for each channel commutes
            scale, shift = (np.tile(np.atleast_1d(part), len(kernel) // np.size(part)) for part in self._waiting)
            if len(scale) != len(kernel):
                raise self._file.another(f"batch norm of other units than {layer.name} takes")
            kernel, bias = kernel * scale[:, None], bias + shift @ kernel
            self._waiting = None
        if self._averaged:
            kernel = self._spread(layer, kernel)
        self._head.kernels.append((kernel, bias))
        self._activated.append(False)
        self._units, self._linear = layer.name, True
        self._activate(layer)

    def _spread(self, layer: SavedLayer, kernel: np.ndarray) -> np.ndarray:
        """A kernel behind an average pooling as one on the whole map."""
        window, stride = self._averaged
        across = (self._side - window) // stride + 1
        channels = len(kernel) // across**2
        if not channels or self._side**2 > _MOST_SPREAD * across**2:  # what a small file could make of memory and time
            raise self._file.another(
                f"{layer.name} behind an average pooling of {window}x{window} of a map of {self._side}"
            )
        spread = np.zeros((self._side, self._side, channels, kernel.shape[1]), np.float32)
        for place, part in enumerate(kernel.reshape(across**2, channels, -1)):
            y, x = (stride * (place // across), stride * (place % across))
            spread[y : y + window, x : x + window] += part / window**2
        self._averaged = None
        self._head.notes.append("its average pooling is part of its first FC layer")
        return spread.reshape(-1, kernel.shape[1])

    def _activate(self, layer: SavedLayer) -> None:
        """The activation of a layer, or the end."""
        slope, self._end = negative_slope(layer, self._file), end_of(layer)
        if self._end and not self._head.kernels:
            raise self._file.another(f"a {self._end} at {layer.name} without FC layers")
        if slope is None:
            return
        if not self._head.kernels:
            if slope or self._slope or self._waiting is not None:
                raise self._file.another(f"{layer.name} before the FC layers")
            return  # what ReLU makes is not below 0
        if slope != self._slope:
            raise self._file.another(
                f"layers of one kind that differ: the activation at {layer.name}, and the convolutions'"
            )
        if self._waiting is not None:
            raise self._file.another(f"{layer.name} behind a batch norm that follows an activation")
        self._activated[-1], self._linear = True, False

    def _as_two_classes(self) -> None:
        """A sigmoid, or one output without an activation, which is taken for a logit."""
        if self._end not in ("", "sigmoid"):
            raise self._file.another(f"one output at {self._units} behind a {self._end}")
        self._head.kernels[-1], note = two_classes(*self._head.kernels[-1])
        self._head.notes.append(note)
