"""ONNX files in ONNX Runtime beside the net."""

import keras
import numpy as np
import pytest

import vgg_keras
from vgg_keras.exports import onnx


@pytest.mark.slow
def test_an_exported_file_answers_as_the_net_does(exported, net, random):
    folder, (parity,) = exported("onnx")
    print(f"ONNX: largest difference {parity.difference:.2g}")
    assert parity.difference <= 1e-5
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    images = random.uniform(0, 255, (5, 32, 32, 3)).astype(np.float32)  # any batch
    (found,) = session.run(["probabilities"], {"image": images})
    logits = net.model.predict(images, verbose=0)
    assert np.abs(found - keras.ops.softmax(logits).numpy()).max() <= 1e-5
    (none,) = session.run(None, {"image": images[:0]})
    assert none.shape == (0, 3)


@pytest.mark.slow
def test_a_file_holds_every_kind_of_layer_and_each_weight_once(tmp_path, random):
    fields = {"batch_norm": True, "activation": "leaky_relu", "std": (50.0, 60.0, 70.0)}
    model = vgg_keras.build("A-LRN", num_classes=3, crop=32, width=1 / 8, mean=(120.0, 110.0, 100.0), seed=3, **fields)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.weights])
    ended = keras.Model(model.input, keras.layers.Softmax()(20 * model.output))
    onnx.write(ended, tmp_path / "net.onnx")
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    found = np.stack(list(map(onnx.opened(tmp_path / "net.onnx"), images)))
    expected = ended.predict(images, verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-2
    assert np.abs(found - expected).max() <= 1e-5
    assert (tmp_path / "net.onnx").stat().st_size < 1.1 * 4 * model.count_params()
