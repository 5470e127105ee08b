"""TFLite files of a net on crops: in float32, in float16, with int8 weights, and in int8 throughout."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.errors import UserError
from vgg_keras.paths import plain_folder

VARIANTS = ("float32", "float16", "dynamic", "int8")
PROBABILITY = 1 / 256  # the scale of int8's output of probabilities, whose zero point is 0


def write(
    model: keras.Model, variant: str, representative: Iterable[np.ndarray], path: Path, boxes: bool = False
) -> None:
    """Writes one file: `image` (1, crop, crop, 3), RGB 0-255, to `probabilities` (1, classes), or to `boxes`, their numbers.

    Args:
        model: in float32, ends in a soft-max, or in boxes.
        variant: float32; float16: weights in half precision; dynamic: weights in int8, activations quantised as they are
            used; int8: weights and activations, from uint8 RGB to uint8 probabilities of scale 1/256, or to float32 boxes.
        representative: training crops (1, crop, crop, 3) float32, which calibrate int8's ranges.
        path: of the `.tflite`.
        boxes: whether the model ends in boxes, whose range is not that of probabilities.
    """
    with (
        tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as temporary,
        plain_folder(temporary) as folder,
    ):
        named = keras.Model(model.input, {"boxes" if boxes else "probabilities": model.output})
        named.export(folder, verbose=False)  # as `from_keras_model` does, which prints every variable
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if variant == "int8":
            converter.representative_dataset = lambda: ([crop] for crop in representative)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.float32 if boxes else tf.uint8
        content = converter.convert()
        path.write_bytes(_with_pixels_as_input(content) if variant == "int8" else content)


def _with_pixels_as_input(content: bytes) -> bytearray:
    """An int8 file whose input has scale 1 and zero point 0, so that it takes an image's bytes.

    The converter takes the input's scale from the brightest calibration pixel. The file's first operation converts the
    input to the net's own int8 range, from any scale. So the input's scale can be changed: the calibrated ranges inside stay,
    and dark images keep their resolution.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = bytearray(content)
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    quantization = graph.Tensors(graph.Inputs(0)).Quantization()
    # views of `content`, which they change
    quantization.ScaleAsNumpy()[:] = 1
    quantization.ZeroPointAsNumpy()[:] = 0
    return content


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function of one crop (crop, crop, channels), integers in 0-255, to LiteRT's probabilities (classes,).

    Its input is the documented one: the crop's numbers as float32, or as uint8.

    Raises:
        UserError: its input or its output is not quantised as documented.
    """
    from ai_edge_litert.interpreter import Interpreter

    with plain_folder(path.parent) as folder:
        interpreter = Interpreter(model_path=f"{folder}/{path.name}")
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = [(details["dtype"], *details["quantization"]) for details in (takes, gives)]
    plain = (np.float32, 0.0, 0)
    documented = {
        np.float32: [[plain, plain]],
        np.uint8: [[(np.uint8, 1.0, 0), (np.uint8, PROBABILITY, 0)], [(np.uint8, 1.0, 0), plain]],
    }
    if found not in documented.get(takes["dtype"], []):
        described = "; ".join(f"{kind.__name__}, scale {scale:g}, zero point {zero}" for kind, scale, zero in found)
        raise UserError(
            "A TFLite file takes and gives float32, or uint8 RGB (scale 1, zero point 0) and uint8 probabilities (scale "
            f"1/256, zero point 0) or float32 boxes. Received: {path.name} with {described}. Nothing was written."
        )

    def probabilities(crop):
        interpreter.set_tensor(takes["index"], crop[np.newaxis].astype(takes["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(gives["index"])[0]
        return row if row.dtype == np.float32 else row * np.float32(PROBABILITY)

    return probabilities
