"""The tensors of `.pth` and `.safetensors` files by name, without what a training puts around them. Nothing else is unpickled."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.errors import UserError

# Under which names a checkpoint holds the net's state dict, the likeliest first; one that holds another alone is read too.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "backbone",
    "weights",
    "params",
)
_DEEPEST = 3
_ADDED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")  # by DataParallel and torch.compile, at any depth


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, in the file's order; in a `.safetensors` that is the alphabet's, in a `.pth` float32.

    Raises:
        UserError: not such a file, or a `.pth` where torch is not installed.
    """
    state = _safetensors(path) if is_safetensors(path) else state_dict(path)
    named: dict[str, np.ndarray] = {}
    for key, array in state.items():
        name = _ADDED.sub("", key)
        if name in named:
            raise UserError(f"A torch file names each tensor once. Received: {path}, with {key} beside {name}.")
        named[name] = array
    return named


def is_safetensors(path: Path) -> bool:
    """Whether a file's name says that it is one, in capitals too."""
    return path.suffix.lower() == ".safetensors"


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
            f"A .pth file holds a state dict of tensors alone; anything else in it is not unpickled. Received: {path}: {reason}. "
            "Save a whole model's: torch.save(model.state_dict(), path)."
        ) from None
    state = _unwrapped(state, torch.Tensor)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"A .pth file holds a state dict of tensors. Received: {path}, with {type(state).__name__}.")
    if any(value.layout != torch.strided or value.device.type != "cpu" for value in state.values()):
        raise UserError(f"A .pth file holds whole tensors. Received: {path}, with sparse or empty ones.")
    if any(value.nbytes > value.untyped_storage().nbytes() for value in state.values()):
        raise UserError(
            f"A .pth file holds every value of its tensors. Received: {path}, with some that repeat theirs."
        )
    for key, value in state.items():
        if value.ndim > 1 and not value.is_floating_point():
            raise _quantised(path, key, value.dtype)
    return {str(key): value.detach().float().numpy() for key, value in state.items()}


def _unwrapped(state: Any, tensor: type) -> Any:
    """The dictionary of tensors in what a checkpoint holds, without plain values beside them; of several the likeliest."""
    for _ in range(_DEEPEST):
        if not isinstance(state, dict):
            return state
        if any(isinstance(value, tensor) for value in state.values()):
            plain = (bool, int, float, str, type(None))
            return {key: value for key, value in state.items() if not isinstance(value, plain)}
        inside = {key: value for key, value in state.items() if isinstance(value, dict) and _holds(value, tensor)}
        named = [key for key in _WRAPPERS if key in inside] or list(inside)
        if not named:
            return state
        state = inside[named[0]]
    return state


def _holds(value: dict, tensor: type) -> bool:
    """Whether a dictionary is a state dict, or holds one under a name that such a one has."""
    own = any(isinstance(one, tensor) for one in value.values())
    return own or any(isinstance(value.get(key), dict) for key in _WRAPPERS)


def _safetensors(path: Path) -> Mapping[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a mapping
    except (SafetensorError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} must be a whole .safetensors file. Received another: {error}.") from None
    for key, array in state.items():
        if array.ndim > 1 and array.dtype.kind in "biuc":
            raise _quantised(path, key, array.dtype)
    return state


def _quantised(path: Path, key: str, kind: Any) -> UserError:
    """The error of a kernel in integers, whose scale is somewhere else; counters have no such shape."""
    return UserError(
        f"A kernel holds floating-point numbers. Received: {path}, whose {key} is of {kind}. Save the weights before they are "
        "quantised."
    )
