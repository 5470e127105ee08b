"""An ONNX file of a net on crops, through tf2onnx."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.paths import plain_folder


def write(model: keras.Model, path: Path, output: str = "probabilities") -> None:
    """Writes `image` (n, crop, crop, channels), float32 in 0-255, to `probabilities` (n, classes), or to the numbers of boxes.

    tf2onnx keeps a copy of all constants from each of its steps, 23 GB for D at full size. So the weights are inputs during
    the conversion. They become constants after it, as in Keras's own export.

    Args:
        model: in float32, ends in a soft-max, or in boxes.
        path: of the `.onnx`.
        output: the name of the file's output.
    """
    import onnx
    import tf2onnx

    trained, others = model.trainable_variables, model.non_trainable_variables
    weights = {f"weight_{place}": variable.numpy() for place, variable in enumerate([*trained, *others])}

    def net(image, *values):
        return model.stateless_call(values[: len(trained)], values[len(trained) :], image, training=False)[0]

    takes = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="image")]
    takes += [tf.TensorSpec(array.shape, array.dtype, name=name) for name, array in weights.items()]
    converted, _ = tf2onnx.convert.from_function(tf.function(net, input_signature=takes, jit_compile=False), takes)
    _fold(converted.graph, weights, converted.opset_import)
    _name_output(converted.graph, output)
    onnx.save(converted, path)


def _fold(graph, weights: dict[str, np.ndarray], opsets) -> None:
    """Turns these inputs of a graph into constants, and computes the nodes whose inputs are all constants."""
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    versions = {opset.domain: opset.version for opset in opsets}
    known = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer} | weights
    kept = []
    for node in graph.node:  # each comes after those that it needs
        if all(name in known for name in node.input):
            inputs = {name: known[name] for name in node.input}
            outputs = ReferenceEvaluator(node, opsets=versions).run(None, inputs)
            known.update(zip(node.output, outputs, strict=True))
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    constants = [numpy_helper.from_array(array, name) for name, array in known.items() if name in used]
    inputs = [entry for entry in graph.input if entry.name not in weights]
    for field, entries in ((graph.node, kept), (graph.initializer, constants), (graph.input, inputs)):
        del field[:]
        field.extend(entries)


def _name_output(graph, name: str) -> None:
    """Gives the only output of a graph a name; TensorFlow calls it Identity:0."""
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = [name if one == output.name else one for one in node.output]
        node.input[:] = [name if one == output.name else one for one in node.input]
    output.name = name


def opened(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function of one crop (crop, crop, channels) in 0-255 to ONNX Runtime's probabilities (classes,)."""
    import onnxruntime

    with plain_folder(path.parent) as folder:
        session = onnxruntime.InferenceSession(f"{folder}/{path.name}", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda crop: session.run(None, {name: crop[np.newaxis]})[0][0]
