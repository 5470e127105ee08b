"""The real lpips, in float64 and a process of its own: lpips_judge.py STATE.pth IN.npz OUT.npz

STATE holds the backbone in torchvision's layout. IN holds `first` and `second`, images (n, height, width, 3) in 0-255. OUT
receives the distances and their gradients by `second`. The linear weights' path is printed.

lpips takes its backbone from torchvision; a module of that name hands it the backbone of STATE.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

CHANNELS = [64, 64, "pool", 128, 128, "pool", *[256] * 3, "pool", *[512] * 3, "pool", *[512] * 3, "pool"]


def backbone(state):
    modules, channels = [], 3
    for units in CHANNELS:
        if units == "pool":
            modules.append(torch.nn.MaxPool2d(2))
            continue
        modules += [torch.nn.Conv2d(channels, units, 3, padding=1), torch.nn.ReLU()]
        channels = units
    net = types.SimpleNamespace(features=torch.nn.Sequential(*modules))
    net.features.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    return net


def main(state, in_path, out_path):
    net = backbone(torch.load(state, weights_only=True))
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    sys.modules["torchvision"].models = types.SimpleNamespace(vgg16=lambda pretrained: net)
    import lpips

    judge = lpips.LPIPS(net="vgg", verbose=False).double()
    arrays = np.load(in_path)
    first, second = (
        torch.tensor(arrays[name].transpose(0, 3, 1, 2).astype(np.float64)) for name in ("first", "second")
    )
    distances, gradients = [], []
    for one, other in zip(first.split(1), second.split(1), strict=True):
        other.requires_grad_(True)
        distance = judge(one / 127.5 - 1, other / 127.5 - 1)
        distance.backward()
        distances.append(distance.item())
        gradients.append(other.grad.numpy()[0].transpose(1, 2, 0))
    np.savez(out_path, distances=distances, gradients=gradients)
    print(Path(lpips.__file__).parent / "weights" / "v0.1" / "vgg.pth")


main(*sys.argv[1:])
