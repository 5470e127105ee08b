"""The prediction of speed-ups against the same arithmetic by hand, and its ends."""

import pytest

from vgg_keras.benchmarks.expected_scaling import Link, Net, paper_teraflops
from vgg_keras.config import Architecture


def test_a_net_of_round_numbers():
    net = Net(parameters=100_000_000, multiply_adds=10_000_000_000)
    link = Link("a link", 10e9)  # 8e9 reached
    assert net.gradient_bytes == 400_000_000
    assert net.compute_seconds(100, 60.0) == pytest.approx(0.1)  # 6e12 operations
    assert net.exchange_seconds(4, link) == pytest.approx(0.075)  # 600 MB
    assert net.speed_up(4, 100, 60.0, link) == pytest.approx(0.1 / (0.025 + 0.075))
    assert net.speed_up(1, 100, 60.0, link) == 1
    assert net.speed_up(4, 100, 60.0, Link("no distance", 1e30)) == pytest.approx(4)


def test_the_papers_speed_up_lies_below_the_prediction_for_its_gpus():
    """3.75 on four GPUs; what is left out of the prediction can only cost."""
    for name in "ABCDE":
        net = Net.of(Architecture(name, num_classes=1000))
        up = net.speed_up(4, 256, paper_teraflops(net), Link("PCIe 3.0 x16", 15.75e9))
        print(f"{name}: predicted {up:.2f}, the paper 3.75")
        assert 3.75 < up < 4
