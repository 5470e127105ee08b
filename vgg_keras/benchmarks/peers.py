"""The same work by others: Pillow crops for a DataLoader, Keras Applications' nets, torchvision's layout in PyTorch.

Every step takes a batch in memory, updates by SGD with momentum and the paper's decay, and returns its loss.
"""

import dataclasses
import importlib.util
import signal
from collections.abc import Callable, Sequence

import numpy as np

from vgg_keras.config import Architecture

APPLICATIONS = {"D": "VGG16", "E": "VGG19"}


@dataclasses.dataclass(frozen=True)
class PillowCrops:
    """3.1's crops as a map-style data set, for `torch.utils.data.DataLoader`. This module starts no TensorFlow in its workers.

    Attributes:
        paths: of the files.
        crop: side of a crop.
        scale: S, or the ends of its range.
        color_shift: standard deviation, of an identity basis.
    """

    paths: Sequence[str]
    crop: int
    scale: tuple[int, ...]
    color_shift: float

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> np.ndarray:
        """(crop, crop, 3) float32: decoded, rescaled to S, cropped, perhaps mirrored, shifted."""
        import PIL.Image

        generator = np.random.default_rng(place)
        with PIL.Image.open(self.paths[place]) as opened:
            picture = opened.convert("RGB")
        side = int(generator.integers(self.scale[0], self.scale[-1] + 1))
        size = [round(length * side / min(picture.size)) for length in picture.size]
        picture = picture.resize(size, PIL.Image.Resampling.BILINEAR)
        left, top = (int(generator.integers(length - self.crop + 1)) for length in size)
        pixels = np.asarray(picture.crop((left, top, left + self.crop, top + self.crop)), np.float32)
        pixels = pixels[:, ::-1] if generator.random() < 0.5 else pixels
        return np.ascontiguousarray(pixels + generator.normal(0, self.color_shift, 3).astype(np.float32))


def ignore_interrupt(worker: int) -> None:
    """For a DataLoader's workers: Ctrl-C in the terminal is handled by their owner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def applications_step(name: str, precision: str, images, labels, **compiled) -> Callable[[], float]:
    """A step of Keras Applications' VGG16 or VGG19 by Keras's own training.

    Args:
        name: D or E.
        precision: Keras dtype policy.
        images, labels: a batch.
        **compiled: further arguments of `compile`, such as `jit_compile=False`.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = getattr(keras.applications, APPLICATIONS[name])(weights=None)
    finally:
        keras.config.set_dtype_policy(before)
    # Keras's decay is outside of the momentum: 5e-3 is the paper's 5e-4
    optimizer = keras.optimizers.SGD(1e-2, momentum=0.9, weight_decay=5e-3)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), **compiled)

    images, labels = (keras.ops.convert_to_tensor(array) for array in (images, labels))  # on the device, once
    return lambda: float(model.train_on_batch(images, labels))


def torch_name(bf16: bool) -> str:
    """The name of PyTorch's row."""
    return f"PyTorch, {'bf16' if bf16 else 'float32'}, channels last"


def torch_missing(architecture: Architecture) -> str:
    """Why there is no net of PyTorch to compare with; empty where there is one."""
    plain = architecture.head == "fc" and architecture.activation == "relu" and not architecture.batch_norm
    if not plain or architecture.name == "A-LRN":
        return "it has only Table 1's nets without LRN"
    return "torch is not installed" if importlib.util.find_spec("torch") is None else ""


def torch_step(architecture: Architecture, bf16: bool, images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """A step of torchvision's layout in PyTorch: channels last, autocast to bf16, on a GPU compiled.

    Args:
        architecture: classes known, without batch norm.
        bf16: else float32.
        images: (batch, crop, crop, 3) float32.
        labels: (batch,).

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch

    device, model, run = _on_device(architecture, training=True)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9, weight_decay=5e-4)
    images, labels = _torch_images(images, device), torch.from_numpy(labels).long().to(device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = torch.nn.functional.cross_entropy(run(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_forward(architecture: Architecture, bf16: bool, images: np.ndarray) -> Callable[[], np.ndarray]:
    """A forward pass of the same net, to posteriors in the computer's memory. Arguments and errors: as `torch_step`."""
    import torch

    device, _, run = _on_device(architecture, training=False)
    images = _torch_images(images, device)

    @torch.no_grad()
    def forward():
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = run(images)
        return torch.softmax(logits.float(), dim=1).cpu().numpy()

    return forward


def _on_device(architecture: Architecture, training: bool):
    """The device, the net on it, and what runs the net: on a GPU it is compiled."""
    import torch

    device = _torch_device()
    model = _torch_net(architecture).to(device, memory_format=torch.channels_last).train(training)
    return device, model, torch.compile(model) if device == "cuda" else model


def _torch_device() -> str:
    """The GPU if there is one, with choices as XLA makes them: convolutions are tried out, and float32's products are TF32's."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    return "cuda"


def _torch_images(images: np.ndarray, device: str):
    """(batch, crop, crop, 3) as a tensor of PyTorch, channels last in memory."""
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).to(device, memory_format=torch.channels_last)


def _torch_net(architecture: Architecture):
    """The net in torchvision's layout."""
    import torch

    from vgg_keras.nets.architectures import layers

    parts, channels, net = [], 3, layers(architecture)
    for place, layer in enumerate(net):
        if layer.kind == "conv":
            parts += [torch.nn.Conv2d(channels, layer.units, layer.kernel, padding=layer.kernel // 2)]
            parts += [torch.nn.ReLU(inplace=True)]
        elif layer.kind == "pool":
            parts += [torch.nn.MaxPool2d(2)]
        elif layer.kind == "fc":
            if net[place - 1].kind == "pool":
                parts += [torch.nn.Flatten()]
            parts += [torch.nn.Linear(layer.kernel**2 * channels, layer.units)]
            if layer is not net[-1]:
                parts += [torch.nn.ReLU(inplace=True), torch.nn.Dropout(architecture.dropout)]
        channels = layer.units
    return torch.nn.Sequential(*parts)
