"""Table 1 as data, and what follows from it by arithmetic: parameters, multiply-adds, receptive field, activations.

No framework is imported here; `tests/nets` compares every number with the built Keras model's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vgg_keras.config import Architecture

# Table 1 in the paper's words, one row a configuration, one column a block; a 2x2 max-pooling ends each block and the
# head follows the fifth. conv5 is in 4.1's control alone: B with each pair of conv3 replaced by one 5x5 layer.
# fmt: off
TABLE_1 = {
    "A":     ("conv3-64",          "conv3-128",           "conv3-256 conv3-256",                     "conv3-512 conv3-512",                     "conv3-512 conv3-512"),
    "A-LRN": ("conv3-64 LRN",      "conv3-128",           "conv3-256 conv3-256",                     "conv3-512 conv3-512",                     "conv3-512 conv3-512"),
    "B":     ("conv3-64 conv3-64", "conv3-128 conv3-128", "conv3-256 conv3-256",                     "conv3-512 conv3-512",                     "conv3-512 conv3-512"),
    "C":     ("conv3-64 conv3-64", "conv3-128 conv3-128", "conv3-256 conv3-256 conv1-256",           "conv3-512 conv3-512 conv1-512",           "conv3-512 conv3-512 conv1-512"),
    "D":     ("conv3-64 conv3-64", "conv3-128 conv3-128", "conv3-256 conv3-256 conv3-256",           "conv3-512 conv3-512 conv3-512",           "conv3-512 conv3-512 conv3-512"),
    "E":     ("conv3-64 conv3-64", "conv3-128 conv3-128", "conv3-256 conv3-256 conv3-256 conv3-256", "conv3-512 conv3-512 conv3-512 conv3-512", "conv3-512 conv3-512 conv3-512 conv3-512"),
    "B-5x5": ("conv5-64",          "conv5-128",           "conv5-256",                               "conv5-512",                               "conv5-512"),
}
# fmt: on
LAST = "predictions"  # the last FC layer, whose outputs are the logits
IMAGENET_MEAN = (123.68, 116.779, 103.939)  # R, G, B of ILSVRC-2012's training set, as the authors' models subtract it


def mean_of_channels(mean: Sequence[float], channels: int) -> tuple[float, ...]:
    """A mean or a deviation for a net of other channels: for each the average, of a net in RGB that of R, G and B."""
    return tuple(mean) if len(mean) in (0, channels) else (sum(mean) / len(mean),) * channels


@dataclass(frozen=True)
class Layer:
    """One layer of a net: `kind` is conv, lrn, pool, gap, gmp or fc; `units` are its output channels.

    `kernel` of gap and gmp is the side of the last map at the crop's size; they pool it to one position.
    """

    name: str
    kind: str
    kernel: int
    units: int


def layers(architecture: Architecture) -> list[Layer]:
    """The net's layers from conv1_1 to the logits or the boxes, with Keras Applications' names. `num_classes` must be known."""

    def scaled(units: int) -> int:
        return max(1, round(units * architecture.width))

    net = []
    for block, row in enumerate(TABLE_1[architecture.name], start=1):
        convolutions = 0
        for word in row.split():
            if word == "LRN":
                net.append(Layer(f"block{block}_lrn", "lrn", 1, net[-1].units))
                continue
            convolutions += 1
            kernel, units = word.removeprefix("conv").split("-")
            net.append(Layer(f"block{block}_conv{convolutions}", "conv", int(kernel), scaled(int(units))))
        net.append(Layer(f"block{block}_pool", "pool", 2, net[-1].units))
    side = architecture.crop // 32  # of the last map
    if architecture.head != "fc":
        pooled = {"gap": "avg_pool", "gmp": "max_pool"}[architecture.head]
        net.append(Layer(pooled, architecture.head, side, net[-1].units))
        side = 1
    fc = [(f"fc{place}", scaled(units)) for place, units in enumerate(architecture.hidden_units, start=1)]
    for name, units in (*fc, (LAST, architecture.outputs)):
        # As convolutions (3.2) the first FC layer covers the whole last map and the others one position.
        net.append(Layer(name, "fc", side, units))
        side = 1
    return net


def hidden_fc(architecture: Architecture) -> list[str]:
    """The names of the hidden FC layers, in their order."""
    return [f"fc{place}" for place in range(1, len(architecture.hidden_units) + 1)]


@dataclass(frozen=True)
class LayerCost:
    """What one layer costs for one image: its output, weights, multiply-adds, and the pixels one output sees.

    `stride` is the distance in pixels from one position of the output to the next.
    """

    layer: Layer
    height: int  # of its output
    width: int
    parameters: int  # trainable
    multiply_adds: int
    receptive_field: int
    stride: int

    @property
    def activations(self) -> int:
        """Values in the layer's output."""
        return self.height * self.width * self.layer.units


def costs(architecture: Architecture, height: int | None = None, width: int | None = None) -> list[LayerCost]:
    """Every layer's cost on an image.

    Args:
        architecture: with `num_classes` known.
        height: of the image; None: the crop's. A larger image runs through the dense net (3.2).
        width: None: as the height.
    """
    height = height or architecture.crop
    width = width or height
    channels, field, stride = architecture.channels, 1, 1
    rows = []
    for layer in layers(architecture):
        field += (layer.kernel - 1) * stride
        parameters = multiply_adds = 0
        if layer.kind == "pool":
            height, width, stride = height // 2, width // 2, stride * 2
        elif layer.kind in ("fc", "gap", "gmp"):
            height, width = height - layer.kernel + 1, width - layer.kernel + 1
        if layer.kind in ("conv", "fc"):
            weights = layer.kernel**2 * channels * layer.units
            # batch norm replaces the bias by a scale and a shift
            rest = 2 * layer.units if layer.kind == "conv" and architecture.batch_norm else layer.units
            parameters, multiply_adds = weights + rest, weights * height * width
        channels = layer.units
        rows.append(LayerCost(layer, height, width, parameters, multiply_adds, field, stride))
    return rows


def multiply_adds(architecture: Architecture, height: int, width: int) -> int:
    """What one image of any size costs, through the dense net where it is larger than the crop (3.2)."""
    return sum(cost.multiply_adds for cost in costs(architecture, height, width))


def training_operations(architecture: Architecture, trained: Collection[str] | None = None) -> int:
    """Operations of a training step for one image at the crop's size; a multiply-add counts as two.

    Forward pass, the gradient of each trained weight, and that of the input of each layer behind a trained one.

    Args:
        architecture: with `num_classes` known.
        trained: the names of the trained layers; None: all.
    """
    total, behind = 0, False
    for cost in costs(architecture):
        if cost.multiply_adds:
            learns = trained is None or cost.layer.name in trained
            total += 2 * cost.multiply_adds * (1 + learns + behind)
            behind = behind or learns
    return total


@dataclass(frozen=True)
class Stack:
    """Section 2.3: several convolutions of stride 1 on top of each other, C channels in and out, without biases."""

    kernel: int
    depth: int

    @property
    def receptive_field(self) -> int:
        return 1 + self.depth * (self.kernel - 1)

    @property
    def weights_per_channel_squared(self) -> int:
        """The 27 of "27 C^2"."""
        return self.depth * self.kernel**2
