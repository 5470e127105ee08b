"""How TensorFlow and Keras start: without log lines that report no error, and in a command with the settings that it needs.

Neither is imported here. What must happen at their start happens when they are imported first, by whichever module.
"""

import contextlib
import importlib.abc
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vgg_keras.errors import UserError

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # of TensorFlow's C++ code: 0 all, 1 no information, 2 no warnings, 3 no errors
BACKEND = "KERAS_BACKEND"
TENSORFLOW = "tensorflow"

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

# Lines of a log that report no error, as TensorFlow's C++ libraries, LiteRT and ONNX Runtime write them.
_NOISE = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
    r"[IW]\d{4} (\d\d:\d\d:\d\d|\d+:\d+:\d+)\.\d+ .*",  # absl, information and warnings
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] .*",  # the same of older versions
    r"To enable the following instructions: .* rebuild TensorFlow with the appropriate compiler flags\.",
    r"(.*: )?INFO: .*",
    r"fully_quantize: \d+, inference_type: .*",  # the TFLite converter's
    # errors in name only: a plug-in that is registered twice
    r".*Unable to register cu\w+ factory: .*already been registered.*",
    r".*computation already registered.*|.*computation_placer\.cc.*already registered.*",
)
# Where no GPU is, none can be initialized; where one is, this is an error to see.
_NO_GPU = r"E.* failed call to cuInit: .*"
_GPU_FILES = ("nvidia*", "dxg", "nvhost*", "kfd")  # in /dev: NVIDIA's, of Windows' Linux, of Jetson boards, AMD's

# Reads a log from standard input, drops the lines that match one of its arguments, passes the others on as they come.
_FILTER = """
import re, sys
noise = [re.compile(pattern.encode()) for pattern in sys.argv[1:]]
for line in sys.stdin.buffer:
    if not any(pattern.fullmatch(line.rstrip()) for pattern in noise):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quiet_imports() -> None:
    """Lets TensorFlow start without log lines that report no error, unless the user has chosen a level of its log."""
    if TENSORFLOW in sys.modules and os.environ.get(LOG_LEVEL) == "1":
        del os.environ[LOG_LEVEL]  # which TensorFlow sets where the user has set nothing
    os.environ.setdefault(LOG_LEVEL, "2")
    if not _wanted():
        return
    if TENSORFLOW not in sys.modules:
        _on_import(TENSORFLOW, _quiet_start)
    elif not _has_gpu():  # imported before, with its own lines; that of the search for a GPU may still come
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
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # its strategies' notes
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that it lists the fonts, once on a machine
    if "keras" in sys.modules:
        _apply_settings(lambda: None, any_backend)
    else:
        _on_import("keras", lambda start: _apply_settings(start, any_backend))


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Drops what is written to standard error by C++ libraries and reports no error; all other lines are passed on at once.

    The lines go through a process of their own, so that none is lost where this one crashes, and none waits for Python.
    """
    noise = _NOISE if _has_gpu() else (*_NOISE, _NO_GPU)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, *noise]
    original = None
    try:
        if not _wanted() or not sys.executable or getattr(sys, "frozen", False):  # of a frozen program that is itself
            raise OSError
        _flush()
        original = os.dup(2)
        passing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    except OSError:  # no standard error, or no process to spare: with noise then
        if original is not None:
            os.close(original)
        yield
        return
    try:
        os.dup2(passing.stdin.fileno(), 2)
        yield
    finally:
        _flush()
        os.dup2(original, 2)
        os.close(original)
        passing.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that was started meanwhile holds the other end
            passing.wait(2)


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, or without a reader
        sys.stderr.flush()


def _wanted() -> bool:
    """Whether the log's level leaves errors alone; a user who wants more gets all."""
    return os.environ.get(LOG_LEVEL, "2") not in ("0", "1")


def _quiet_start(start: Callable[[], None]) -> None:
    with without_noise():
        start()
        # without a GPU the search for one fails here, and not later among a command's own lines
        devices = getattr(sys.modules.get(TENSORFLOW), "config", None)  # None: it is kept from being imported
        if devices and not _has_gpu():
            devices.list_physical_devices()


def _has_gpu() -> bool:
    devices = Path("/dev")
    return not devices.is_dir() or any(True for pattern in _GPU_FILES for _ in devices.glob(pattern))


def _apply_settings(start: Callable[[], None], any_backend: bool) -> None:
    path, stored = _stored()
    unused = [f"{name}={os.environ.pop(name)}" for name in _LIMITS if os.environ.get(name)]
    chosen = os.environ.get(BACKEND)
    if not (any_backend and chosen):
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
        stored = json.loads(path.read_text()) if path.exists() else {}
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
                del spec.loader.exec_module  # the loader is itself again, also for whoever reloads the module
                # not before: a search alone, for whether there is such a module, starts nothing
                with contextlib.suppress(ValueError):  # somebody has put another list in its place
                    sys.meta_path.remove(self)
                self._around(lambda: execute(module))

            spec.loader.exec_module = exec_module
        return spec


def _on_import(name: str, around: Callable[[Callable[[], None]], None]) -> None:
    sys.meta_path.insert(0, _FirstImport(name, around))
