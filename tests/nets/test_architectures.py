"""The arithmetic of Table 1 against the paper, against built nets, and against hand-made sums."""

import math

import keras
import pytest

from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.nets.architectures import TABLE_1, Stack, costs, multiply_adds, training_operations
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional

# At 1000 classes and crop 224. Table 2 prints the parameters in millions: 133, 133, 133, 134, 138, 144.
PARAMETERS = {
    "A": 132_863_336,
    "A-LRN": 132_863_336,
    "B": 133_047_848,
    "C": 133_638_952,
    "D": 138_357_544,
    "E": 143_667_240,
}


def parameters(**fields):
    return sum(cost.parameters for cost in costs(Architecture(**{"num_classes": 1000, **fields})))


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_exact_parameters(name, expected):
    assert parameters(name=name) == expected


@pytest.mark.parametrize(("name", "giga"), [("A", 7.61), ("D", 15.47), ("E", 19.63)])
def test_multiply_adds_at_224(name, giga):
    total = sum(cost.multiply_adds for cost in costs(Architecture(name, num_classes=1000)))
    assert round(total / 1e9, 2) == giga


def test_d_with_batch_norm_has_the_parameters_that_its_source_prints():
    # The source keeps the biases of the FC layers and drops those of the convolutions.
    assert parameters(name="D", batch_norm=True) == 138_361_768


def test_the_family_has_no_other_member():
    assert set(TABLE_1) == set(CONFIGURATIONS)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize(
    "variant",
    [{}, {"batch_norm": True}, {"head": "gap"}, {"crop": 70}, {"head": "gmp", "fc_units": (64, 32)}, {"fc_layers": 0}],
)
def test_arithmetic_equals_the_built_net_layer_by_layer(name, variant):
    fields = {"width": 1 / 16, "crop": 64, "num_classes": 7, **variant}
    model = build(name, **fields)
    net = costs(Architecture(name, **fields))
    assert sum(cost.parameters for cost in net) == sum(math.prod(weight.shape) for weight in model.trainable_weights)
    for cost in net:
        layer = model.get_layer(cost.layer.name)
        values = math.prod(layer.output.shape[1:])
        assert values == cost.activations, layer.name
        if cost.multiply_adds:
            positions = math.prod(layer.output.shape[1:-1])
            assert cost.multiply_adds == positions * math.prod(layer.kernel.shape), layer.name


@pytest.mark.parametrize(("name", "head"), [("C", "fc"), ("B-5x5", "gap")])
def test_multiply_adds_of_any_size_are_the_dense_nets(name, head):
    fields = {"width": 1 / 16, "crop": 64, "num_classes": 7, "head": head}
    total, x = 0, keras.Input((100, 170, 3))
    for layer in to_fully_convolutional(build(name, **fields)).layers[1:]:
        x = layer(x)
        if isinstance(layer, keras.layers.Conv2D):
            total += math.prod(x.shape[1:-1]) * math.prod(layer.kernel.shape)
    architecture = Architecture(name, **fields)
    assert multiply_adds(architecture, 100, 170) == total


@pytest.mark.slow
def test_the_largest_net_at_full_size():
    assert build("E").count_params() == PARAMETERS["E"]


def test_receptive_fields_by_hand():
    net = {cost.layer.name: cost.receptive_field for cost in costs(Architecture("A", num_classes=1000))}
    # 3; pool +1; conv +2*2; pool +2; convs +4*2 each; ...
    assert [net[name] for name in ("block1_conv1", "block1_pool", "block2_conv1", "block2_pool", "block3_conv2")] == [
        3,
        4,
        8,
        10,
        26,
    ]


def test_stacks_of_section_2_3():
    three, seven = Stack(3, 3), Stack(7, 1)
    assert (three.receptive_field, seven.receptive_field, Stack(3, 2).receptive_field) == (7, 7, 5)
    assert (three.weights_per_channel_squared, seven.weights_per_channel_squared) == (27, 49)
    assert round(49 / 27 - 1, 2) == 0.81  # "81 % more"


def test_other_fc_units_by_hand():
    """CIFAR's head: 512-512-10 behind a map of 1 x 1 x 512, at half the width 256-256-10 behind 256."""
    for width, units in ((1.0, 512), (0.5, 256)):
        architecture = Architecture("D", num_classes=10, crop=32, width=width, fc_units=512)
        head = {cost.layer.name: cost.parameters for cost in costs(architecture) if cost.layer.kind == "fc"}
        assert head == {
            "fc1": units * units + units,
            "fc2": units * units + units,
            "predictions": units * 10 + 10,
        }
        model = build(architecture)
        assert [model.get_layer(name).count_params() for name in head] == list(head.values())


def test_a_steps_operations_are_three_forward_passes_less_the_first_layers_input():
    architecture = Architecture("D", num_classes=1000)
    first = 3 * 3 * 3 * 64 * 224**2
    forward = multiply_adds(architecture, 224, 224)
    assert training_operations(architecture) == 2 * (3 * forward - first)
    fc1, rest = 7 * 7 * 512 * 4096, 4096 * 4096 + 4096 * 1000
    assert training_operations(architecture, ("fc1", "fc2", "predictions")) == 2 * (
        forward + fc1 + 2 * rest
    )  # no gradient goes below fc1
