"""TFLite files of a net on crops: in float32, in float16, with int8 weights, and in int8 throughout."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.files import plain_folder

VARIANTS = ("float32", "float16", "dynamic", "int8")


def write(model: keras.Model, variant: str, representative: Iterable[np.ndarray], path: Path) -> None:
    """Writes one file: (1, crop, crop, 3) RGB 0-255 to (1, classes) probabilities.

    Args:
        model: in float32, ends in a soft-max.
        variant: float32; float16, its weights in half; dynamic, its weights in int8 and its activations where they meet
            them; int8, weights and activations, and with uint8 images in and uint8 probabilities of 1/256 out.
        representative: training crops (1, crop, crop, 3) float32, from which int8 takes its ranges.
        path: of the `.tflite`.
    """
    with (
        tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as temporary,
        plain_folder(temporary) as folder,
    ):
        model.export(folder, verbose=False)  # which `from_keras_model` does too, and prints every variable of
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "int8":
            converter.representative_dataset = lambda: ([crop] for crop in representative)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        path.write_bytes(converter.convert())


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function of one crop (crop, crop, 3), RGB 0-255, to LiteRT's probabilities (classes,)."""
    from ai_edge_litert.interpreter import Interpreter

    with plain_folder(path.parent) as folder:
        interpreter = Interpreter(model_path=f"{folder}/{path.name}")
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = gives["quantization"]

    def ask(crop):
        interpreter.set_tensor(takes["index"], _stored(crop[np.newaxis], takes))
        interpreter.invoke()
        row = interpreter.get_tensor(gives["index"])[0]
        return (row.astype(np.float32) - zero) * scale if scale else row

    return ask


def _stored(values: np.ndarray, details: dict) -> np.ndarray:
    """Values as a tensor of the file holds them."""
    scale, zero = details["quantization"]
    if not scale:
        return values.astype(details["dtype"])
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])
