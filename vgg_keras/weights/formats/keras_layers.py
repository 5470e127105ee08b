"""The layers of a Keras model as its file describes them, and the errors of files that hold another net than ours."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.errors import UserError

MODELS = ("Sequential", "Functional", "Model", "VGG")
PREPROCESSING = ("MeanSubtraction", "Rescaling", "Normalization", "Affine", "Lambda")
# They change images in training alone.
AUGMENTATION = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomShear",
    "RandomHue",
    "RandomSaturation",
    "RandomSharpness",
    "RandomColorJitter",
    "RandomColorDegeneration",
    "RandomPosterization",
    "RandomGrayscale",
    "RandomInvert",
    "RandomGaussianBlur",
    "RandomPerspective",
    "RandomElasticTransform",
    "RandomErasing",
    "RandAugment",
    "AugMix",
    "CutMix",
    "MixUp",
    "Solarization",
)
# At inference these pass their input on. Resizing: the pipeline makes images of the net's size.
IDENTITY = (
    "InputLayer",
    "Resizing",
    "Dropout",
    "SpatialDropout2D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "Identity",
    *AUGMENTATION,
)
NET = (
    "Conv2D",
    "BatchNormalization",
    "ReLU",
    "LeakyReLU",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "Flatten",
    "Reshape",
    "Dense",
    "Activation",
    "Softmax",
)
SEQUENTIAL_HUB = ("VGGBackbone", "VGGImageClassifier")  # KerasHub's, whose files hold arguments and no layers
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
    "ReLU": {"max_value": (None,), "threshold": (None, 0, [0])},
    "LocalResponseNormalization": {"k": (2.0,), "n": (5,), "alpha": (1e-4,), "beta": (0.75,)},
    "Softmax": {"axis": (-1, 1)},
    "Normalization": {"axis": (None, -1, 3, [], [-1], [3]), "invert": (None, False)},
}
_REQUIRED = {"Conv2D": ("padding",), "MaxPooling2D": ("pool_size",)}
_LEAKY_RELU = 0.2  # the slope of Keras's function of that name
_ENDS = {"softmax": "softmax", "softmax_v2": "softmax", "sigmoid": "sigmoid", "log_softmax": "log_softmax"}
# Keras 2 writes where a Lambda's function is from. In these there is one of images: preprocess_input, of Caffe's images
_OF_CAFFE = re.compile(r"(tensorflow\.)?(tf_)?keras(\.src)?\.applications\.(vgg16|vgg19|resnet|resnet50)")


class OtherNetError(UserError):
    """A file that holds another net than one of Table 1; `what` is the part that makes it another."""

    def __init__(self, message: str, what: str):
        super().__init__(message)
        self.what = what


@dataclass(frozen=True)
class ModelFile:
    """A file that holds a model, for messages: what such a file must hold, and its path."""

    rule: str
    path: Path

    def another(self, what: str) -> OtherNetError:
        """The error of a file that holds another model."""
        return OtherNetError(f"{self.rule} Received: {self.path}, another, with {what}.", what)

    @contextlib.contextmanager
    def parsing(self) -> Iterator[None]:
        """Turns whatever a damaged configuration makes of its reader into one line."""
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


def kind_of(layer: Mapping[str, Any]) -> Any:
    """The class of a layer; ours under Keras's names are written as `vgg_keras>Conv2D` in an `.h5`."""
    kind = layer.get("class_name")
    plain = str(kind).removeprefix("vgg_keras>").removeprefix("keras_hub>")
    return plain if plain in (*_OURS_TOO, *SEQUENTIAL_HUB) else kind


def require_known(layer: Mapping[str, Any], known: tuple[str, ...], file: ModelFile) -> None:
    """Refuses a class that is not known, and a stranger's under the name of one of Keras's or of ours."""
    kind, module, registered = kind_of(layer), layer.get("module"), layer.get("registered_name")
    if kind not in known:
        raise file.another(str(kind)[:50])
    package = str(module).split(".")[0]
    owner = "vgg_keras" if kind in _OURS or (kind in _OURS_TOO and package == "vgg_keras") else ""
    owner = "keras_hub" if kind in SEQUENTIAL_HUB else owner
    if module is not None and package not in ((owner,) if owner else ("keras", "tf_keras")):
        raise file.another(f"{kind} of {str(module)[:50]}")
    if registered not in (None, f"{owner}>{kind}" if owner else kind):
        raise file.another(str(registered)[:50])
    if kind == "Lambda":
        _require_preprocess_input(layer["config"], file)


def _require_preprocess_input(config: Mapping[str, Any], file: ModelFile) -> None:
    """Refuses a Lambda of another function than `preprocess_input`: its code is not read."""
    stored = config.get("function")
    name = stored.get("config") if isinstance(stored, dict) else stored
    named = isinstance(name, str)
    module = config.get("module") if named else None
    if config.get("arguments") or not (is_of_caffe(config) or (name == "preprocess_input" and module is None)):
        function = f"{name[:50]} of {module[:50]}" if module else name[:50] if named else "code"
        raise file.another(f"{str(config.get('name'))[:50]}, a Lambda of {function}, which is not read")


def is_of_caffe(config: Mapping[str, Any]) -> bool:
    """Whether a Lambda's fields show that it is the `preprocess_input` of Caffe's images."""
    return bool(_OF_CAFFE.fullmatch(str(config.get("module"))))


def require_fields(layer: SavedLayer, file: ModelFile) -> None:
    """Refuses a layer whose fields make it another one than Table 1's."""
    config = layer.config
    for field in _REQUIRED.get(layer.kind, ()):
        if field not in config:
            raise file.another(f"{layer.name} without {field}")
    require_values(layer, {"data_format": (None, "channels_last"), **_FIELDS.get(layer.kind, {})}, file)


def require_values(layer: SavedLayer, allowed: Mapping[str, tuple], file: ModelFile) -> None:
    """Refuses a layer with another value of one of these fields; a field that it does not hold is a default."""
    for field, values in allowed.items():
        value = layer.config.get(field)
        if isinstance(value, dict) and isinstance(value.get("config"), dict):  # an array, as Keras 3 serializes it
            value = value["config"].get("value")
        if field in layer.config and value not in values:
            raise file.another(f"{layer.name} of {field}={str(layer.config[field])[:50]}")


def negative_slope(layer: SavedLayer, file: ModelFile) -> float | None:
    """The slope below 0 of a layer's activation: 0 for ReLU; None where it has none, or one of the end."""
    if layer.kind in ("ReLU", "LeakyReLU"):
        fields = ("negative_slope",) if layer.kind == "ReLU" else ("negative_slope", "alpha")  # Keras 2's
        found = next((layer.config[field] for field in fields if layer.config.get(field) is not None), None)
        if found is None and layer.kind == "LeakyReLU":
            raise file.another(f"{layer.name} without negative_slope")
        if isinstance(found, list):  # as Keras 2.15 writes ReLU's
            (found,) = found
        return float(found["config"]["value"] if isinstance(found, dict) else found or 0.0)
    if layer.kind not in ("Conv2D", "Dense", "Activation"):
        return None
    if inside := _layer_inside(layer):
        require_fields(inside, file)
        return negative_slope(inside, file)
    if end_of(layer):
        return None
    activation = _activation(layer)
    if activation in (None, "linear"):
        return None
    if activation not in ("relu", "leaky_relu"):
        raise file.another(f"the activation {_shown(activation)[:50]} at {layer.name}")
    return 0.0 if activation == "relu" else _LEAKY_RELU


def end_of(layer: SavedLayer) -> str:
    """`softmax` or `sigmoid` where a layer makes probabilities of logits, before which our nets end; else empty."""
    if layer.kind == "Softmax":
        return "softmax"
    if layer.kind not in ("Dense", "Activation"):
        return ""
    if inside := _layer_inside(layer):
        return end_of(inside)
    activation = _activation(layer)
    return _ENDS.get(activation, "") if isinstance(activation, str) else ""


def _layer_inside(layer: SavedLayer) -> SavedLayer | None:
    """The layer that a layer has as its activation, such as `activation=keras.layers.ReLU()`."""
    found = layer.config.get("activation")
    if not isinstance(found, dict) or found.get("class_name") not in ("ReLU", "LeakyReLU", "Softmax"):
        return None
    own = str(found.get("module", "keras")).split(".")[0] in ("keras", "tf_keras")
    return SavedLayer(found["class_name"], layer.name, found["config"]) if own else None


def _activation(layer: SavedLayer) -> Any:
    """The name of a layer's activation; Keras 3 may write a function of its own as a dictionary."""
    found = layer.config.get("activation")
    if (
        isinstance(found, dict)
        and found.get("class_name") == "function"
        and found.get("registered_name") in (None, "function")
    ):
        module = str(found.get("module"))
        return (
            found.get("config")
            if module in ("builtins", "keras.activations") and isinstance(found.get("config"), str)
            else found
        )
    return found


def _shown(activation: Any) -> str:
    """An activation in words: a function or a layer of somebody's own by its name and module."""
    if not isinstance(activation, dict):
        return str(activation)
    name = activation["config"] if isinstance(activation.get("config"), str) else activation.get("class_name")
    module = activation.get("module")
    return f"{name} of {module}" if module else str(name)
