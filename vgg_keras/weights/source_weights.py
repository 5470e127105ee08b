"""What every reader of a format returns: a net's weights as its source holds them, and what the source says of its net."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import IMAGENET_MEAN, LAST, hidden_fc, layers

FIRST = "block1_conv1"
HEAD = ("fc1", "fc2", LAST)  # of the authors' nets
CAFFE_HEAD = ("fc6", "fc7", "fc8")  # its names in their files
ONE_LABEL = "one label per image (soft-max; sigmoids are stated by --set=architecture.multi_label=true)"
MOST_CHANNELS = 16  # of `Architecture.channels`
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
CAFFE = Preprocessing(IMAGENET_MEAN, bgr=True)
CAFFE_WORDS = f"BGR minus the mean {', '.join(f'{value:g}' for value in reversed(IMAGENET_MEAN))}"
# Of torchvision and timm: values in 0-1, normalised.
TORCHVISION = Preprocessing((0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255))
TORCHVISION_WORDS = "RGB in 0-1, normalised by the mean 0.485, 0.456, 0.406 and the deviation 0.229, 0.224, 0.225"


@dataclass(frozen=True)
class SourceWeights:
    """A net's weights as a file or a run holds them.

    Attributes:
        path: as the user named it.
        tensors: by the source's name of a layer: kernel and bias, or batch norm's scale, shift, mean and variance.
        names: the source's name of each layer of an architecture by ours; batch norm's layers end in `_bn`.
        channels_first: kernels are (out, in, height, width), else (height, width, in, out). An FC layer's kernel may be flat:
            its first three axes or its last three are then one, in this order.
        preprocessing: the source's; None: the net's own, which the source does not hold.
        own_preprocessing: whether its net does something to images first, such as a division, whose numbers the source does not
            hold, or not what they are of.
        epsilon: of the source's batch norm.
        classes: their names, where the source has them.
        activation, lrn: `relu` or `leaky_relu`, and whether there is an LRN.
        negative_slope: of `leaky_relu`; None: the net's own, which the source does not hold.
        steps: of the net from its first convolution to its last pooling, as `convert.steps_of` names them; empty: the source
            does not hold them.
        crop: side of the net's input; 0: the source does not hold it.
        boxes, box_unit: of a net of boxes (A), as in `Architecture`; other sources hold scores of classes. None: the net's own,
            which the source does not hold.
        assumed: where the source does not hold the preprocessing: what is assumed, in words.
        fc_layers: the source's names of its FC layers, in their order; empty: it has no head.
        head: what the first of them takes, as `Architecture.head`; empty: the source does not hold it.
        assumed_head: of a head that the source holds no more of than the FC layers: what is assumed, in words.
        head_problem: why the head, which the source has, was not read; empty: it was, or there is none.
        multi_label: whether its outputs end in sigmoids, each of its own.
        notes: what was changed in reading, for the user.
    """

    path: str
    tensors: Mapping[str, tuple[np.ndarray, ...]]
    names: Callable[[Architecture], dict[str, str]]
    channels_first: bool
    preprocessing: Preprocessing | None
    own_preprocessing: bool = False
    epsilon: float = EPSILON
    classes: tuple[str, ...] = ()
    activation: str = "relu"
    lrn: bool = False
    negative_slope: float | None = None
    steps: tuple[str, ...] = ()
    crop: int = 0
    boxes: str | None = "none"
    box_unit: str | None = "crop"
    assumed: str = ""
    fc_layers: tuple[str, ...] = ()
    head: str = ""
    assumed_head: tuple[str, ...] = ()
    head_problem: str = ""
    multi_label: bool = False
    notes: tuple[str, ...] = ()

    def without_head(self) -> "SourceWeights":
        """The convolutions alone."""
        tensors = {name: arrays for name, arrays in self.tensors.items() if name not in self.fc_layers}
        return dataclasses.replace(
            self, tensors=tensors, fc_layers=(), head="", assumed_head=(), multi_label=False, notes=()
        )

    def hidden_units(self) -> tuple[int, ...]:
        """The outputs of each hidden FC layer."""
        return tuple(self.units(self.tensors[name][0]) for name in self.fc_layers[:-1])

    def channels(self) -> int:
        """The channels of the images that its first convolution takes; 0: it holds none."""
        arrays = self.tensors.get(self.names(Architecture())[FIRST])
        return int(arrays[0].shape[1 if self.channels_first else 2]) if arrays and arrays[0].ndim == 4 else 0

    def units(self, kernel: np.ndarray) -> int:
        """How many outputs a kernel has."""
        return int(kernel.shape[0 if self.channels_first else -1])

    def num_classes(self, architecture: Architecture) -> int:
        """How many classes its last layer has; 0 where it has no last layer, or one box for all classes."""
        arrays = self.tensors.get(self.names(architecture)[LAST])
        units = self.units(arrays[0]) if arrays else 0
        boxes = architecture.boxes if self.boxes is None else self.boxes
        return {"none": units, "scr": len(self.classes), "pcr": units // 4}[boxes]


def flags_of_images(channels: int, *fields: str) -> str:
    """The flags that state fields with a value for each channel, such as a net's mean."""
    values = "R,G,B" if channels == 3 else ",".join(f"M{place}" for place in range(1, channels + 1))
    flags = [f"--set=architecture.{name}={values}" for name in fields]
    return " ".join(flags if channels == 3 else [f"--set=architecture.channels={channels}", *flags])


def same_names(architecture: Architecture) -> dict[str, str]:
    """The names of a source that has ours, which are Keras Applications'."""
    names = []
    for layer in layers(architecture):
        if layer.kind in ("conv", "fc"):
            names.append(layer.name)
        if layer.kind == "conv" and architecture.batch_norm:
            names.append(f"{layer.name}_bn")
    return {name: name for name in names}


def named_head(architecture: Architecture, fc_layers: Sequence[str]) -> dict[str, str]:
    """The source's name of each FC layer of an architecture by ours: the hidden ones by their order, the last is the last."""
    hidden = hidden_fc(architecture)
    own = dict(zip(hidden, fc_layers[:-1], strict=False))
    return {**{name: own.get(name, name) for name in hidden}, LAST: fc_layers[-1] if fc_layers else LAST}


def assumed_of_head(hidden: int, outputs: int, pooled: bool) -> tuple[str, ...]:
    """What is assumed of a head of which a source holds the FC layers alone, in words.

    Args:
        hidden: FC layers before the last.
        outputs: of the last.
        pooled: whether the first takes one position, and no pooling is known.
    """
    return (
        *["average pooling before its FC layers, where the last map has more positions than one"] * pooled,
        *["ReLU behind its hidden FC layers"] * (hidden > 0),
        *[ONE_LABEL] * (outputs > 1),
    )


def two_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """A last FC layer of one output as one of two, and what to report: sigmoid(z) is the soft-max of the logits 0 and z."""
    two = np.concatenate([np.zeros_like(kernel), kernel], axis=1), np.array([0.0, bias[0]], np.float32)
    return two, "its one output z becomes two classes, whose logits are 0 and z"


def caffe_head(layers: Sequence[str]) -> tuple[str, ...]:
    """The FC layers among a file's layers with weights, which are in their order: fc6, fc7, fc8.

    The last one may have another name: a layer that is named anew, such as `fc8_flickr`, is how Caffe fine-tunes.
    """
    *hidden, last = CAFFE_HEAD
    behind = layers[layers.index(hidden[-1]) + 1 :] if hidden[-1] in layers else []
    if last not in layers and len(behind) == 1:
        (last,) = behind
    return tuple(name for name in (*hidden, last) if name in layers)


def caffe_names(architecture: Architecture, fc_layers: Sequence[str] = CAFFE_HEAD) -> dict[str, str]:
    """conv1_1 to fc8, as in the authors' files; where all FC layers are there, the last by its name in `fc_layers`."""
    head = dict(zip(HEAD, fc_layers if len(fc_layers) == len(HEAD) else CAFFE_HEAD, strict=True))
    return {
        name: head.get(name, name.replace("block", "conv").replace("_conv", "_")) for name in same_names(architecture)
    }


@contextlib.contextmanager
def parsing(source: str | Path) -> Iterator[None]:
    """Turns whatever a damaged or malicious file makes of its parser into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"A file of weights must be whole and what its name says. Received: {source}: {type(error).__name__}: {reason}"
        ) from None
