"""How TensorFlow and Keras start: without log lines that report no error, and in a command with the settings that it needs.

Neither is imported here. What must happen at their start happens when they are imported first, by whichever module.
"""

import contextlib
import importlib.abc
import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vgg_keras.errors import UserError, nearest
from vgg_keras.files import read_regular
from vgg_keras.log_filter import LOG_LEVEL, errors_only, has_gpu, without_noise

BACKEND = "KERAS_BACKEND"
TENSORFLOW = "tensorflow"

_BACKENDS = (TENSORFLOW, "jax", "torch", "numpy", "openvino")  # of Keras; each is the name of its package too

# Keras's own defaults. What differs from them in keras.json is not used by a command.
_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "nnx_enabled": False}
_VALID = {
    "floatx": lambda value: value in ("float16", "float32", "float64"),
    "epsilon": lambda value: isinstance(value, float),
    "image_data_format": lambda value: value in ("channels_last", "channels_first"),
    "backend": lambda value: isinstance(value, str),
    "nnx_enabled": lambda value: isinstance(value, bool),
}
_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")  # of the environment


def quiet_imports() -> None:
    """Lets TensorFlow start without log lines that report no error, unless the user has chosen a level of its log."""
    if TENSORFLOW in sys.modules and os.environ.get(LOG_LEVEL) == "1":
        del os.environ[LOG_LEVEL]  # which TensorFlow sets if the user has set nothing
    os.environ.setdefault(LOG_LEVEL, "2")
    if not errors_only():
        return
    if TENSORFLOW not in sys.modules:
        _on_import(TENSORFLOW, _quiet_start)
    elif not has_gpu():  # imported before, with its own lines; that of the search for a GPU may still come
        _quiet_start(lambda: None)


def command_settings(any_backend: bool = False) -> None:
    """Makes Keras compute for a command as it must: on TensorFlow, in float32, channels last.

    Once Keras is imported, one line on standard error names what of keras.json and the environment is not used. If Keras
    cannot read its file, the import raises `UserError`.

    Args:
        any_backend: whether the command runs on the backend of KERAS_BACKEND.
    """
    if os.environ.get("HOME") == "" or os.path.expanduser("~") == "~":  # else Keras makes a folder of the name ~ here
        os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), ".keras"))
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # without the notes of its strategies
    # without the notes that it lists the fonts, and that it keeps them in a temporary folder where there is no home
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if "keras" in sys.modules:
        _apply_settings(lambda: None, any_backend)
    else:
        _on_import("keras", lambda start: _apply_settings(start, any_backend))


def after_keras(call: Callable[[], None]) -> None:
    """Calls a function where Keras is imported: now, or when a user's script does so later.

    It may import modules of this package. So where one of them imports Keras, and is itself not complete, nothing is called.
    """
    if "keras" in sys.modules:
        call()
        return
    before = _own_modules()

    def around(start):
        start()
        if _own_modules() == before:
            call()

    _on_import("keras", around)


def _own_modules() -> set[str]:
    return {name for name in sys.modules if name.startswith("vgg_keras.")}


def _quiet_start(start: Callable[[], None]) -> None:
    with without_noise():
        start()
        # without a GPU the search for one fails here instead of later, among a command's own lines
        devices = getattr(sys.modules.get(TENSORFLOW), "config", None)  # None: its import is blocked
        if devices and not has_gpu():
            devices.list_physical_devices()


def _apply_settings(start: Callable[[], None], any_backend: bool) -> None:
    path, stored = _stored()
    unused = [f"{name}={os.environ.pop(name)}" for name in _LIMITS if os.environ.get(name)]
    chosen = os.environ.get(BACKEND)
    if any_backend and chosen:
        _require_backend(chosen)
    else:
        if chosen and chosen != TENSORFLOW:
            unused.append(f"{BACKEND}={chosen}")
        elif not chosen and stored.get("backend", TENSORFLOW) != TENSORFLOW:
            unused.append(f"backend={stored['backend']} of {path}")
        os.environ[BACKEND] = TENSORFLOW
    changed = [f"{name}={stored[name]}" for name, value in _DEFAULTS.items() if stored.get(name, value) != value]
    if changed:
        unused.append(f"{', '.join(changed)} of {path}")
    if stored.get("nnx_enabled"):
        os.environ["KERAS_NNX_ENABLED"] = "false"
    if unused:
        print(
            f"not used: {'; '.join(unused)}. This command computes on {os.environ[BACKEND]} with Keras's default settings.",
            file=sys.stderr,
            flush=True,
        )
    start()
    import keras

    keras.config.set_floatx(_DEFAULTS["floatx"])
    keras.config.set_epsilon(_DEFAULTS["epsilon"])
    keras.config.set_image_data_format(_DEFAULTS["image_data_format"])


def _require_backend(name: str) -> None:
    """Refuses a backend that Keras does not know, or that is not installed: its import would end in a traceback."""
    if name not in _BACKENDS:
        raise UserError(f"{BACKEND} must name one of Keras's backends. Received: {name!r}. {nearest(name, _BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise UserError(f"{BACKEND}={name} needs the package {name}. Received: none. Try pip install {name}.")


def _stored() -> tuple[Path, dict[str, Any]]:
    """The file of Keras's settings, and what it holds; read as Keras reads it.

    Raises:
        UserError: Keras would end in a traceback.
    """
    home = os.path.expanduser("~")
    folder = os.environ.get("KERAS_HOME") or os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.path.expanduser(os.path.join(folder, "keras.json")))
    rule = "Keras's settings must be values that it knows; or remove the file."
    try:
        stored = json.loads(read_regular(path).decode()) if path.exists() else {}
    except ValueError:  # Keras takes its defaults then
        return path, {}
    except OSError as error:
        raise UserError(f"{rule} Received: {path}: {error.strerror}") from None
    if not isinstance(stored, dict):
        raise UserError(f"{rule} Received: {path}, which holds no section.")
    for name, valid in _VALID.items():
        if name in stored and not valid(stored[name]):
            raise UserError(f"{rule} Received: {path} with {name}={stored[name]!r}.")
    return path, stored


class _FirstImport(importlib.abc.MetaPathFinder):
    """Runs `around(start)` where a module is imported first; `start` is its import."""

    def __init__(self, name: str, around: Callable[[Callable[[], None]], None]):
        self._name, self._around, self._searching = name, around, False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._name or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                with contextlib.suppress(AttributeError):  # another of these has done it
                    del spec.loader.exec_module  # the loader is as before, also for a reload of the module
                with contextlib.suppress(ValueError):  # sys.meta_path is another list now
                    sys.meta_path.remove(self)
                self._around(lambda: execute(module))

            spec.loader.exec_module = exec_module
        return spec


def _on_import(name: str, around: Callable[[Callable[[], None]], None]) -> None:
    sys.meta_path.insert(0, _FirstImport(name, around))
