"""The precision that a machine's hardware gets, on GPUs that are only described."""

import pytest
import tensorflow as tf

from vgg_keras import processor, runtime
from vgg_keras.config import Runtime


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([(9, 0)], "mixed_bfloat16"),  # H100
        ([(8, 0)], "mixed_bfloat16"),  # A100
        ([(7, 5)], "mixed_float16"),  # T4
        ([(7, 0)], "mixed_float16"),  # V100
        ([(8, 0), (7, 5)], "mixed_float16"),  # all devices compute in one precision
        ([(6, 1)], "float32"),  # P40, whose float16 is slow
        ([None], "float32"),  # of a GPU that does not report it
    ],
)
def test_a_gpu_computes_in_what_its_tensor_cores_multiply(monkeypatch, capabilities, expected):
    details = [{} if one is None else {"compute_capability": one} for one in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(len(details))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu])
    assert runtime.choose_precision(Runtime()) == expected
    assert runtime.choose_precision(Runtime(precision="float32")) == "float32"


@pytest.mark.parametrize(("multiplies", "expected"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_processor_computes_in_bf16_where_it_multiplies_it(monkeypatch, multiplies, expected):
    monkeypatch.setattr(processor, "multiplies_bf16", lambda: multiplies)
    assert runtime.choose_precision(Runtime()) == expected
