"""The paper's Tables 1 and 2 and section 2.3 as text, and one net layer by layer."""

from dataclasses import dataclass
from itertools import zip_longest

from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.nets.architectures import TABLE_1, LayerCost, Stack, costs
from vgg_keras.text_table import text_table

BYTES = 4  # float32


def summarize_family(side: int, batch: int) -> str:
    """Tables 1 and 2 and section 2.3, for 1000 classes."""
    family = {name: costs(Architecture(name, num_classes=1000), side) for name in CONFIGURATIONS}
    blocks = []
    for block in range(5):
        blocks += [list(row) for row in zip_longest(*(TABLE_1[name][block].split() for name in family), fillvalue="")]
        blocks.append(["maxpool"] * len(family))
    blocks += [[word] * len(family) for word in ("FC-4096", "FC-4096", "FC-1000", "soft-max")]
    layers = [sum(cost.layer.kind in ("conv", "fc") for cost in net) for net in family.values()]
    table_1 = [["weight layers", *map(str, layers)], *(["", *row] for row in blocks)]

    totals = [_totals(net, batch) for net in family.values()]
    table_2 = [
        ["parameters", *(f"{total.parameters:,}" for total in totals)],
        [f"multiply-adds at {side}x{side}", *(f"{total.multiply_adds / 1e9:.2f} G" for total in totals)],
        ["receptive field", *(str(total.receptive_field) for total in totals)],
        [f"activations, batch {batch}", *(f"{total.activation_bytes / 2**30:.1f} GiB" for total in totals)],
    ]
    header = ["", *family]
    stacks = [
        ["layers", "receptive field", "weights", "against the stack"],
        *_stack_rows(Stack(3, 2), Stack(5, 1)),
        *_stack_rows(Stack(3, 3), Stack(7, 1)),
    ]
    return "\n\n".join(
        [
            "Table 1: configurations (conv5 in B-5x5, the control of section 4.1)",
            text_table([header, *table_1]),
            "Table 2: parameters, and what one image costs",
            text_table([header, *table_2]),
            "Multiply-adds are the kernels' of convolutions and FC layers. Activations are every layer's output in float32,\n"
            "the ReLU's not counted again; training holds them all until the gradient has passed.",
            "Section 2.3: stacks of 3x3 layers against one layer of the same receptive field, C channels in and out",
            text_table(stacks),
        ]
    )


def summarize_net(architecture: Architecture, side: int, batch: int) -> str:
    """One net layer by layer."""
    net = costs(architecture, side)
    rows = [["layer", "kernel", "output", "parameters", "multiply-adds", "stride", "receptive field"]]
    for cost in net:
        output = f"{cost.height} x {cost.width} x {cost.layer.units}"
        kernel = f"{cost.layer.kernel}x{cost.layer.kernel}" if cost.layer.kind != "lrn" else ""
        numbers = [f"{number:,}" if number else "" for number in (cost.parameters, cost.multiply_adds)]
        rows.append([cost.layer.name, kernel, output, *numbers, str(cost.stride), str(cost.receptive_field)])
    total = _totals(net, batch)
    rows.append(["total", "", "", f"{total.parameters:,}", f"{total.multiply_adds:,}", "", str(total.receptive_field)])
    title = f"{architecture.name}: {architecture.num_classes} classes, width {architecture.width:g}, "
    title += f"input {side} x {side} x {architecture.channels}"
    return f"{title}\n\n{text_table(rows)}\n\nactivations, batch {batch}: {total.activation_bytes / 2**30:.2f} GiB in float32"


@dataclass(frozen=True)
class Totals:
    parameters: int
    multiply_adds: int
    receptive_field: int
    activation_bytes: int


def _totals(net: list[LayerCost], batch: int) -> Totals:
    return Totals(
        parameters=sum(cost.parameters for cost in net),
        multiply_adds=sum(cost.multiply_adds for cost in net),
        receptive_field=net[-1].receptive_field,
        activation_bytes=BYTES * batch * sum(cost.activations for cost in net),
    )


def _stack_rows(stack: Stack, single: Stack) -> list[list[str]]:
    more = single.weights_per_channel_squared / stack.weights_per_channel_squared - 1
    return [
        [f"{layers.depth} of {layers.kernel}x{layers.kernel}", str(layers.receptive_field), weights, against]
        for layers, weights, against in (
            (stack, f"{stack.weights_per_channel_squared} C^2", ""),
            (single, f"{single.weights_per_channel_squared} C^2", f"{more:.0%} more"),
        )
    ]
