"""The packages that a format needs beside those of every installation. None of them is imported here."""

import importlib.util

from vgg_keras.errors import UserError

_NEEDED = {"onnx": ("onnx", "tf2onnx", "onnxruntime")}  # the extra `export` of setup.cfg


def require_packages(form: str) -> None:
    """Refuses a format whose packages are not installed, before the net is read.

    Args:
        form: saved_model, tflite or onnx.

    Raises:
        UserError: it names the missing ones.
    """
    missing = [name for name in _NEEDED.get(form, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format={form} needs {', '.join(_NEEDED[form])}. Received: no {', '.join(missing)}. "
            "Try pip install 'vgg_keras[export]'."
        )
