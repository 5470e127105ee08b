"""Trains the recipe `cifar10_bn` in PyTorch alone, to tell what a copy of CIFAR-10 costs from an error of ours.

python docs/cifar10_in_torch.py cifar10/ A --width=0.25 --epochs=15

Nothing of vgg_keras is used. The recipe is that of chenyaofo/pytorch-cifar-models: crops of images padded by 4, flips, batch 256,
Nesterov momentum 0.9, rate 0.1 along half a cosine, decay 5e-4 of all weights. Two FC layers of 512 units with dropout begin with
N(0, 0.01). cifar10/ holds train/CLASS and val/CLASS; the images of val/ are tested after the last epoch.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

BLOCKS = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}


def read(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 3, 32, 32) in 0-255 and the numbers of their classes."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, number) for number, name in enumerate(classes) for path in sorted(name.iterdir())]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor([number for _, number in files])


def net(name: str, width: float) -> torch.nn.Module:
    """Convolutions with batch norm, two FC layers of 512 units with dropout, and the last layer."""
    parts, channels = [], 3
    for count, full in zip(BLOCKS[name], (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            units = round(width * full)
            convolution = torch.nn.Conv2d(channels, units, 3, padding=1, bias=False)
            torch.nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            parts += [convolution, torch.nn.BatchNorm2d(units), torch.nn.ReLU(inplace=True)]
            channels = units
        parts += [torch.nn.MaxPool2d(2)]
    parts += [torch.nn.Flatten()]
    for units in (round(512 * width), round(512 * width), 10):
        layer = torch.nn.Linear(channels, units)
        torch.nn.init.normal_(layer.weight, 0, 0.01)
        torch.nn.init.zeros_(layer.bias)
        parts += [layer, torch.nn.ReLU(inplace=True), torch.nn.Dropout(0.5)]
        channels = units
    return torch.nn.Sequential(*parts[:-2])  # behind the last layer is none


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Random crops of the padded images, half of them flipped."""
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    corners = torch.randint(0, 9, (len(images), 2))
    crops = torch.stack([image[:, y : y + 32, x : x + 32] for image, (y, x) in zip(padded, corners, strict=True)])
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, crops.flip(3), crops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("net", choices=BLOCKS)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    torch.manual_seed(flags.seed)
    images, labels = read(flags.folder / "train")
    values = images.float()
    mean, std = (found(values, dim=(0, 2, 3), keepdim=True) for found in (torch.mean, torch.std))
    model = net(flags.net, flags.width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(images) // 256 * flags.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    began = time.perf_counter()
    for epoch in range(flags.epochs):
        total = wrong = 0.0
        order = torch.randperm(len(images))
        for chosen in order[: len(images) // 256 * 256].split(256):
            batch = (augmented(images[chosen]).float() - mean) / std
            logits = model(batch.contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            wrong += (logits.argmax(1) != labels[chosen]).float().mean().item()
        count = len(images) // 256
        print(
            f"epoch {epoch + 1}/{flags.epochs}  loss {total / count:.4f}  top-1 error {100 * wrong / count:.2f} %  "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        )
    images, labels = read(flags.folder / "val")
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model((part.float() - mean) / std) for part in images.split(500)])
    print(
        f"{flags.net}: top-1 error {100 * (logits.argmax(1) != labels).float().mean():.2f} % of {len(labels):,} images"
    )


if __name__ == "__main__":
    main()
