"""The benchmark of a training step: its share of a GPU's matrix peak."""

import pytest

from vgg_keras.benchmarks import steps
from vgg_keras.benchmarks.engine import Engine


@pytest.mark.parametrize(
    ("device", "share"),
    [("NVIDIA H100 80GB HBM3", 0.5), ("NVIDIA H100 PCIe", 0.6541), ("T1000", None), ("NVIDIA L40", None)],
)
def test_the_share_of_a_gpus_matrix_peak(device, share):
    machine = Engine("jax", device, True, "mixed_bfloat16", "", *[None] * 5)
    found = steps.matrix_peak_share({"gflops": 494.5e3}, machine)
    assert found == share or abs(found - share) < 1e-4
