"""The benchmark of a forward pass: our row and PyTorch's are one net."""

import numpy as np
import pytest

from tests.benchmarks.toy import TOY_NET
from tests.test_benchmark import last_line
from vgg_keras import build
from vgg_keras.benchmarks import forward, peers, steps
from vgg_keras.config import Architecture, Config, Runtime
from vgg_keras.nets.architectures import multiply_adds

NET = Architecture("B", num_classes=7, width=1 / 16, crop=64, mean=(124.0, 117.0, 104.0))


def test_our_pass_and_pytorchs_give_one_set_of_posteriors(monkeypatch, random):
    torch = pytest.importorskip("torch")
    model = build(NET, classifier_activation="softmax", seed=0)
    theirs = peers._torch_net(NET)
    ours = [layer for layer in model.layers if layer.weights]
    for layer, other in zip(ours, [part for part in theirs if list(part.parameters())], strict=True):
        kernel, bias = layer.get_weights()
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif layer.name == "fc1":  # of a map, whose channels come first in PyTorch
            kernel = kernel.reshape(2, 2, -1, kernel.shape[1]).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)
        else:
            kernel = kernel.T
        other.weight.data, other.bias.data = torch.from_numpy(kernel.copy()), torch.from_numpy(bias)
    monkeypatch.setattr(forward, "build", lambda *_, **__: model)
    monkeypatch.setattr(peers, "_torch_net", lambda _: theirs)
    images = random.uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    machine = steps.engine_of(Config(runtime=Runtime(precision="float32")))
    found = forward._forward(machine, Config(), NET, "float32", images)()
    expected = peers.torch_forward(NET, False, images - np.array(NET.mean, np.float32))()
    difference = np.abs(found - expected).max()
    print(
        f"largest difference of the posteriors {difference:.1e}; they reach from {found.min():.3f} to {found.max():.3f}"
    )
    assert difference < 1e-5 and np.ptp(found) > 0.01


@pytest.mark.slow
def test_forward(run_command):
    pytest.importorskip("torch")
    found = last_line(run_command("benchmark", "forward", *TOY_NET, "--set=runtime.precision=mixed_bfloat16"))
    names = ["vgg_keras, float32", "PyTorch, float32, channels last", "vgg_keras, bf16", "PyTorch, bf16, channels last"]
    assert [row["name"] for row in found["rows"]] == names
    an_image = 2 * multiply_adds(Architecture("A", width=0.0625, crop=32, num_classes=1000), 32, 32) / 1e9
    for row in found["rows"]:
        assert row["gflops"] == pytest.approx(row["images_per_second"] * an_image)
    assert set(found["rows"][0]["beside"]) == {names[1], names[3]}
    assert found["matrix_peak_share"] is None  # of a GPU alone
