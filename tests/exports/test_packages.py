"""A format whose packages are not installed."""

import sys

import pytest

from vgg_keras.errors import UserError
from vgg_keras.exports.packages import require_packages


@pytest.mark.parametrize("names", [["onnx", "tf2onnx", "onnxruntime"], ["onnxruntime"]])
def test_missing_packages_are_named_with_the_extra(monkeypatch, names):
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None if name in names else pytest)  # None: as if it were not installed
    with pytest.raises(UserError, match=rf"Received: no {', '.join(names)}\. Try pip install 'vgg_keras\[export\]'"):
        require_packages("onnx")
    require_packages("tflite")
