"""Nets of other frameworks with random weights, their files, written from the public layouts alone, and what they compute."""

import struct

import keras
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import save_file

import vgg_keras

BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
TORCHVISION_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))

CONFIGURATIONS = {  # torchvision's letters are the paper's
    "A": [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    "B": [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    "D": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "E": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


class TorchVgg(torch.nn.Module):
    """torchvision's VGG: its modules under its names, thinner."""

    def __init__(self, name, batch_norm, width, crop, classes):
        super().__init__()
        modules, channels = [], 3
        for block in CONFIGURATIONS[name]:
            for units in block:
                out = int(units * width)
                modules.append(torch.nn.Conv2d(channels, out, 3, padding=1))
                if batch_norm:
                    modules.append(torch.nn.BatchNorm2d(out))
                modules.append(torch.nn.ReLU())
                channels = out
            modules.append(torch.nn.MaxPool2d(2, 2))
        self.features = torch.nn.Sequential(*modules)
        hidden = int(4096 * width)
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(channels * (crop // 32) ** 2, hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(),
            torch.nn.Linear(hidden, hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(),
            torch.nn.Linear(hidden, classes),
        )

    def forward(self, images):
        return self.classifier(torch.flatten(self.features(images), 1))


def torch_vgg(name="D", batch_norm=False, width=1 / 8, crop=224, classes=7, seed=0):
    """Such a net with random weights of a scale that keeps signals alive, and random averages."""
    torch.manual_seed(seed)
    net = TorchVgg(name, batch_norm, width, crop, classes).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, 0, 0.5)
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            # small ones too, where the epsilons of torch and Keras differ most
            torch.nn.init.uniform_(module.running_var, 1e-4, 2.0)
    return net


def logits(net, images):
    """A torch net's logits of (batch, height, width, 3) arrays that are ready for it."""
    with torch.no_grad():
        return net(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32))).numpy()


def normalised(images):
    """As torchvision does it, its numbers."""
    return (images / np.float32(255) - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


def views_of(path, side):
    """A photograph, upright, its smaller side rescaled by Pillow, and its mirror image: (1, height, width, 3), normalised.

    A channel at a time in floats, which Pillow does not round.
    """
    photograph = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    size = [round(length * side / min(photograph.size)) for length in photograph.size]
    bands = [band.convert("F").resize(size, Image.Resampling.BILINEAR) for band in photograph.split()]
    image = normalised(np.stack([np.asarray(band) for band in bands], axis=-1))[np.newaxis]
    return image, image[:, :, ::-1]


def over_windows(net, image, layers):
    """The outputs (windows, outputs) of a torch net's first FC layers at every window of a whole image's last map."""
    with torch.no_grad():
        last_map = net.features(torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2), np.float32)))
        window = round((net.classifier[0].in_features / last_map.shape[1]) ** 0.5)
        windows = last_map[0].unfold(1, window, 1).unfold(2, window, 1).permute(1, 2, 0, 3, 4)
        return net.classifier[:layers](windows.flatten(0, 1).flatten(1)).double().numpy()


def as_caffe(images):
    """As Caffe's models take them."""
    return images[..., ::-1].astype(np.float32) - BGR_MEAN


def ours(model, images):
    """The outputs of a Keras model, without tracing it."""
    return keras.ops.convert_to_numpy(model(np.asarray(images, np.float32), training=False))


def difference(name, ours, theirs):
    """The largest difference of two nets' outputs as a share of the largest output, printed."""
    largest = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{name}: largest relative difference {largest:.2g} of outputs up to {np.abs(theirs).max():.3g}")
    assert np.ptp(theirs, axis=0).max() > 1e-3 * np.abs(theirs).max()  # the images differ
    return largest


def small(name="A", **fields):
    """A thin net of `vgg_keras.build`."""
    return vgg_keras.build(name, **{"num_classes": 4, "crop": 32, "width": 1 / 16, "mean": (9.0, 8.0, 7.0), **fields})


def save_torch(net, path):
    """A torch net's state dict as `.pth` or `.safetensors`."""
    if path.suffix == ".pth":
        torch.save(net.state_dict(), path)
    else:
        save_file({key: value.numpy() for key, value in net.state_dict().items()}, path)
    return path


def convolutions_and_fc(net):
    """Every kernel and bias of a torch net under the authors' names, kernels (out, in, h, w), FC layers (out, in)."""
    found, block, place = {}, 1, 1
    for module in net.features:
        if isinstance(module, torch.nn.Conv2d):
            found[f"conv{block}_{place}"] = module.weight.detach().numpy(), module.bias.detach().numpy()
            place += 1
        elif isinstance(module, torch.nn.MaxPool2d):
            block, place = block + 1, 1
    for name, module in zip(("fc6", "fc7", "fc8"), [net.classifier[i] for i in (0, 3, 6)], strict=True):
        found[name] = module.weight.detach().numpy(), module.bias.detach().numpy()
    return found


# ---- a protocol buffer by hand: a field is (number << 3 | wire type), then a varint or a length and bytes


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def caffemodel(layers, first_form=True):
    """NetParameter: `layers` (2) of V1LayerParameter in the form of 2014, with four axes; else `layer` (100) with shapes."""
    net = field(1, b"VGG_ILSVRC")
    for name, arrays in layers.items():
        blobs = b""
        for array in arrays:
            data = field(5, array.astype("<f4").tobytes())
            if first_form:
                axes = (1,) * (4 - array.ndim) + array.shape
                blob = b"".join(field(number, side) for number, side in enumerate(axes, start=1)) + data
            else:
                blob = data + field(7, field(1, b"".join(map(varint, array.shape))))
            blobs += field(6 if first_form else 7, blob)
        if first_form:
            # bottom, top, name, type CONVOLUTION, blobs, blobs_lr: what is not read is there too
            lr = varint(7 << 3 | 5) + struct.pack("<f", 1.0)
            layer = field(2, b"data") + field(3, name.encode()) + field(4, name.encode()) + field(5, 4) + blobs + lr
        else:
            layer = field(1, name.encode()) + field(2, b"Convolution") + blobs
        net += field(2 if first_form else 100, layer)
    return net


def matconvnet(layers, mean, form="weights"):
    """What MatConvNet's importer saves: kernels (h, w, in, out), the first one's channels as RGB, biases (1, out)."""

    def struct_of(name, kernel, bias):
        if kernel.ndim == 2:  # an FC layer is a convolution over the whole map
            inputs = 1 if name != "fc6" else layers["conv5_1"][0].shape[0]
            side = round((kernel.shape[1] / inputs) ** 0.5) if name == "fc6" else 1
            kernel = kernel.reshape(kernel.shape[0], -1, side, side)
        kernel = kernel.transpose(2, 3, 1, 0)
        kernel = kernel[:, :, ::-1] if name == "conv1_1" else kernel
        arrays = np.empty((1, 2), object)
        arrays[0, 0], arrays[0, 1] = kernel, bias.reshape(1, -1)
        fields = {"filters": kernel, "biases": bias.reshape(1, -1)} if form == "filters" else {"weights": arrays}
        return {"name": name, "type": "conv", **fields, "pad": np.ones((1, 4)), "stride": np.ones((1, 2))}

    found = []
    for name, (kernel, bias) in layers.items():
        found += [struct_of(name, kernel, bias), {"name": name.replace("conv", "relu"), "type": "relu"}]
    described = np.array([[f"class {number}" for number in range(len(layers["fc8"][1]))]], object)
    meta = {
        "normalization": {
            "averageImage": np.array(mean).reshape(1, 1, 3),
            "imageSize": np.array([[224.0, 224.0, 3.0]]),
        },
        "classes": {"description": described},
    }
    cell = np.empty((1, len(found)), object)
    cell[0] = found
    return {"layers": cell, "meta": meta} if form == "weights" else {"layers": cell, **meta}
