"""torchvision's and timm's VGG state dicts, with or without batch norm: `.pth`, by torch, and `.safetensors`.

Both libraries number the modules of `features`; torchvision numbers the head's too, timm names them. Their nets take RGB
in 0-1, normalised by ImageNet's mean and standard deviation.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import layers
from vgg_keras.weights.source_weights import CAFFE, HEAD, TORCHVISION, TORCHVISION_WORDS, SourceWeights

_HEADS = {
    "torchvision": ("classifier.0", "classifier.3", "classifier.6"),
    "timm": ("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
}
_ORDER = ("weight", "bias", "running_mean", "running_var")
EPSILON = 1e-5  # of torch's batch norm
# github.com/jcjohnson/pytorch-vgg's files: the authors' D and E in torchvision's layout with Caffe's images. These are the
# first digits of their sha256. A file that has them in its name must have them in its digest.
CAFFES = ("00b39a1b", "d01eb7cb")
_CAFFE_NAME = re.compile(rf"vgg(16|19)-({'|'.join(CAFFES)})\.pth")


def read(path: Path) -> SourceWeights:
    """The state dict in a `.pth`, `.pt` or `.safetensors` file. A pickle is unpickled by torch, tensors only.

    Raises:
        UserError: not such a file, or a `.pth` where torch is not installed.
    """
    state = _safetensors(path) if path.suffix == ".safetensors" else state_dict(path)
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for key, array in state.items():
        layer, _, part = key.rpartition(".")
        if part == "num_batches_tracked":  # batch norm's counter, which nothing reads
            continue
        grouped.setdefault(layer, {})[part] = array
    tensors = {}
    for layer, parts in grouped.items():
        unknown = sorted(set(parts) - set(_ORDER))
        if unknown:
            raise UserError(
                f"A VGG of torchvision or timm has weights and biases. Received: {path}, with {layer}.{unknown[0]}."
            )
        tensors[layer] = tuple(parts[part] for part in _ORDER if part in parts)
    head = _HEADS["timm" if any(name.startswith(("pre_logits.", "head.")) for name in tensors) else "torchvision"]
    caffe = _CAFFE_NAME.fullmatch(path.name)
    return SourceWeights(
        str(path),
        tensors,
        lambda architecture: _names(architecture, head),
        channels_first=True,
        preprocessing=CAFFE if caffe else TORCHVISION,
        epsilon=EPSILON,
        assumed="" if caffe else f"torchvision's, {TORCHVISION_WORDS}",
    )


def _names(architecture: Architecture, head: tuple[str, ...]) -> dict[str, str]:
    """`features` counts convolution, batch norm, ReLU and pooling."""
    named, place = dict(zip(HEAD, head, strict=True)), 0
    for layer in layers(architecture):
        if layer.kind == "conv":
            named[layer.name] = f"features.{place}"
            if architecture.batch_norm:
                named[f"{layer.name}_bn"] = f"features.{place + 1}"
            place += 2 + architecture.batch_norm
        elif layer.kind == "pool":
            place += 1
    return named


def state_dict(path: Path) -> Mapping[str, np.ndarray]:
    """The tensors of a `.pth` file by name, float32. Nothing else in it is unpickled.

    Raises:
        UserError: not such a file, or torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise UserError(
            f"A .pth file is read by torch, tensors only. Received: {path}, and no torch. Install it (pip install torch), or "
            "save the state dict as .safetensors."
        ) from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):  # CVE-2025-32434: weights_only ran code before
        raise UserError(f"A .pth file is read by torch 2.6 or newer. Received: torch {torch.__version__}.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is none, or that would run code, makes of it
        met = re.search(
            r"Unsupported (\w+: )?\w+ \S+", str(error)
        )  # around it torch explains how to run the code all the same
        reason = met[0] if met else " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"A .pth file holds a state dict of tensors alone; anything else in it is not unpickled. Received: {path}: {reason}"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):  # as timm's and others' checkpoints
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"A .pth file holds a state dict of tensors. Received: {path}, with {type(state).__name__}.")
    if any(value.layout != torch.strided or value.device.type != "cpu" for value in state.values()):
        raise UserError(f"A .pth file holds whole tensors. Received: {path}, with sparse or empty ones.")
    if any(value.nbytes > value.untyped_storage().nbytes() for value in state.values()):
        raise UserError(
            f"A .pth file holds every value of its tensors. Received: {path}, with some that repeat theirs."
        )
    return {str(key).removeprefix("module."): value.detach().float().numpy() for key, value in state.items()}


def _safetensors(path: Path) -> Mapping[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a mapping
    except (SafetensorError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} must be a whole .safetensors file. Received another: {error}.") from None
