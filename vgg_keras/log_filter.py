"""A standard error without the lines of C++ libraries that report no error."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # of TensorFlow's C++ code: 0 all, 1 no information, 2 no warnings, 3 no errors

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
# Without a GPU none can be initialized; with one this is an error.
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


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Drops the lines that C++ libraries write to standard error and that report no error; others are passed on at once.

    The lines go through a process of their own: none is lost if this one crashes, and none waits for Python.
    """
    noise = _NOISE if has_gpu() else (*_NOISE, _NO_GPU)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, *noise]
    original = None
    try:
        # a frozen program would start itself
        if not errors_only() or not sys.executable or getattr(sys, "frozen", False):
            raise OSError
        _flush()
        original = os.dup(2)
        passing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    except OSError:  # no standard error, or no more processes: with noise then
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
        # a process that was started meanwhile has the other end open
        with contextlib.suppress(subprocess.TimeoutExpired):
            passing.wait(2)


def errors_only() -> bool:
    """Whether TensorFlow's log is set to errors only; a user who has chosen a lower one gets every line."""
    return os.environ.get(LOG_LEVEL, "2") not in ("0", "1")


def has_gpu() -> bool:
    """Whether the system has the device of a GPU; also if it cannot be known."""
    devices = Path("/dev")
    return not devices.is_dir() or any(True for pattern in _GPU_FILES for _ in devices.glob(pattern))


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, or without a reader
        sys.stderr.flush()
