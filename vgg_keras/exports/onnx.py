"""An ONNX file of a net on crops, through tf2onnx, which Keras's own export calls."""

import warnings
from pathlib import Path

import keras
import numpy as np

from vgg_keras.config import UserError


def write(model: keras.Model, path: Path) -> None:
    """Writes (n, crop, crop, 3) float32 RGB 0-255 to (n, classes) probabilities.

    Args:
        model: in float32, ends in a soft-max.
        path: of the `.onnx`.

    Raises:
        UserError: tf2onnx is not installed.
    """
    try:
        import tf2onnx  # noqa: F401
    except ImportError:
        raise UserError("--format=onnx needs tf2onnx. Received: none. pip install 'vgg_keras[export]'.") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras asks NumPy for `object`, which is no more
        model.export(path, format="onnx", verbose=False)


def probabilities(path: Path, crops: np.ndarray) -> np.ndarray:
    """What ONNX Runtime says of crops (n, crop, crop, 3), RGB 0-255, as (n, classes), one at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: crop[np.newaxis]})[0] for crop in crops])
