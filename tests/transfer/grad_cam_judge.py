"""The real grad-cam, in a process of its own: grad_cam_judge.py NET.npz IN.npz OUT.npz

NET holds kernels and biases of a chain of 3x3 convolutions, poolings and FC layers in Keras's layout: `kinds` names each part,
`kernel_I` and `bias_I` are of part I. IN holds normalised images (n, height, width, 3), `places` of target parts and `classes`.
OUT receives the maps of each method and place over the images.

grad-cam imports torchvision for tools that Grad-CAM does not use; empty modules take its place.
"""

import sys
import types

import numpy as np
import torch


def chain(arrays):
    modules = []
    for place, kind in enumerate(arrays["kinds"]):
        if kind == "pool":
            modules.append(torch.nn.MaxPool2d(2))
        elif kind == "relu":
            modules.append(torch.nn.ReLU())
        elif kind == "flatten":  # Keras's FC layer takes rows, columns, channels
            modules += [Permute(), torch.nn.Flatten()]
            continue
        else:
            kernel, bias = (torch.tensor(arrays[f"{part}_{place}"]) for part in ("kernel", "bias"))
            if kind == "conv":
                module = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
                module.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            else:
                module = torch.nn.Linear(*kernel.shape)
                module.weight.data = kernel.T.contiguous()
            module.bias.data = bias
            modules.append(module)
    return torch.nn.Sequential(*modules).eval()


class Permute(torch.nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def main(net_path, in_path, out_path):
    transforms, functional = (
        types.ModuleType(f"torchvision.{name}") for name in ("transforms", "transforms.functional")
    )
    transforms.Compose = transforms.Normalize = transforms.ToTensor = functional.resize = None
    sys.modules |= {
        "torchvision": types.ModuleType("torchvision"),
        "torchvision.transforms": transforms,
        "torchvision.transforms.functional": functional,
    }
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, arrays, maps = chain(np.load(net_path)), np.load(in_path), {}
    images = torch.tensor(arrays["images"].transpose(0, 3, 1, 2).copy())
    for method, cam in (("gradcam", GradCAM), ("gradcam++", GradCAMPlusPlus)):
        for place in arrays["places"]:
            targets = [ClassifierOutputTarget(int(one)) for one in arrays["classes"]]
            maps[f"{method} {place}"] = cam(net, [net[int(place)]])(images, targets)
    np.savez(out_path, logits=net(images).detach().numpy(), **maps)


main(*sys.argv[1:])
