"""The benchmark of a training step: its share of a GPU's matrix peak."""

import pytest

from vgg_keras.benchmarks import steps
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.config import Architecture


@pytest.mark.parametrize(
    ("device", "share"),
    [("NVIDIA H100 80GB HBM3", 0.5), ("NVIDIA H100 PCIe", 0.6541), ("T1000", None), ("NVIDIA L40", None)],
)
def test_the_share_of_a_gpus_matrix_peak(device, share):
    machine = Engine("jax", device, True, "mixed_bfloat16", "", *[None] * 5)
    found = steps.matrix_peak_share({"gflops": 494.5e3}, machine)
    assert found == share or abs(found - share) < 1e-4


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", "float32"), ("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")],
)
def test_the_layers_alone_compute_in_the_steps_precision(precision, dtype):
    made = []

    def layer(layer, batch, side, channels, dtype, with_input_gradient):
        made.append(dtype)
        return [lambda: None]

    machine = Engine("tensorflow", "NVIDIA T4", True, precision, "", None, layer, lambda value: value, None, None)
    steps._layers_alone(machine, Architecture("A", num_classes=1000, crop=32), 2)
    assert made == [dtype] * 11
