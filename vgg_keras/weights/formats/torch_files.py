"""The tensors of torch's files and of `.safetensors` by name, without what a training puts around them.

Of a pickle the tensors and plain values are read; nothing in it is run.
"""

import argparse
import json
import re
import warnings
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
_NOT_UNPICKLED = re.compile(r"[Uu]nsupported (\w+: )?\w+ \S+|unrecognized \w+ \S+")  # in torch's words
_PLAIN = (bool, int, float, str, type(None), argparse.Namespace)  # values beside tensors
_ADDED = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod)\.")  # by DataParallel and torch.compile, at any depth


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, in the file's order; in a `.safetensors` that is the alphabet's, else they are float32.

    Raises:
        UserError: not such a file, or torch's where torch is not installed.
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
    """The tensors of a file of `torch.save` by name, float32.

    Raises:
        UserError: not such a file, or torch is not installed.
    """
    try:
        import torch
    except ImportError:
        raise UserError(
            f"A file of torch is read by it, tensors only. Received: {path}, and no torch. Install it (pip install torch), or "
            "save the state dict as .safetensors."
        ) from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):  # CVE-2025-32434: weights_only ran code before
        raise UserError(f"A file of torch is read by torch 2.6 or newer. Received: torch {torch.__version__}.")
    state = _unwrapped(_unpickled(path, torch), torch.Tensor)
    rule = "A file of torch holds a state dict of tensors."
    if not isinstance(state, dict):
        raise UserError(f"{rule} Received: {path}, with {type(state).__name__}.")
    if other := next((key for key, value in state.items() if not isinstance(value, torch.Tensor)), None):
        raise UserError(f"{rule} Received: {path}, whose {str(other)[:50]!r} is of {type(state[other]).__name__}.")
    if any(value.layout != torch.strided or value.device.type != "cpu" for value in state.values()):
        raise UserError(f"A file of torch holds whole tensors. Received: {path}, with sparse or empty ones.")
    if any(value.nbytes > value.untyped_storage().nbytes() for value in state.values()):
        raise UserError(
            f"A file of torch holds every value of its tensors. Received: {path}, with some that repeat theirs."
        )
    for key, value in state.items():
        if value.ndim > 1 and not value.is_floating_point():
            raise _quantised(path, key, value.dtype)
    return {str(key): value.detach().float().numpy() for key, value in state.items()}


def _unpickled(path: Path, torch: Any) -> Any:
    """What a file holds, tensors and plain values alone."""
    with open(path, "rb") as file:
        beginning = file.read(24)
    if not beginning.startswith((b"PK", b"\x80")):  # a page of a web server, or the pointer that Git LFS leaves
        what = f"begins with {beginning!r}" if beginning else "is empty"
        raise UserError(f"A file of torch is a zip archive or a pickle. Received: {path}, which {what}.")
    try:
        # torchvision's and timm's trainings keep their flags beside the net: a Namespace holds values and runs nothing
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of another protocol than torch's, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is none, or that would run code, makes of it
        text = " ".join(str(error).split())
    # around these words torch explains how to run the code all the same
    met = "a TorchScript archive" if "TorchScript" in text else (_NOT_UNPICKLED.search(text) or [""])[0]
    if met:
        raise UserError(
            f"A file of torch holds a state dict of tensors alone; anything else in it is not unpickled. Received: {path}: "
            f"{met}. Save a whole model's: torch.save(model.state_dict(), path)."
        )
    reason = text.split(". ")[0].rstrip(".")[:100] or "it ends too early"
    raise UserError(f"A file of torch must be whole. Received: {path}, a damaged one: {reason}.")


def _unwrapped(state: Any, tensor: type) -> Any:
    """The dictionary of tensors in what a checkpoint holds, without plain values beside them; of several the likeliest.

    A net has convolutions. Other tensors may lie beside its dictionary, such as the best accuracy or a generator's state.
    """
    for _ in range(_DEEPEST):
        if not isinstance(state, dict):
            return state
        inside = {key: value for key, value in state.items() if isinstance(value, dict) and _holds(value, tensor)}
        nets = [key for key, value in inside.items() if _has_convolutions(value, tensor)]
        named = [key for key in _WRAPPERS if key in inside] or nets or list(inside)
        if not named or _has_convolutions(state, tensor):
            break
        state = inside[named[0]]
    if any(isinstance(value, tensor) for value in state.values()):
        return {key: value for key, value in state.items() if not isinstance(value, _PLAIN)}
    return state


def _has_convolutions(state: dict, tensor: type) -> bool:
    return any(isinstance(value, tensor) and value.ndim == 4 for value in state.values())


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
