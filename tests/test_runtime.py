"""The precision that a machine's hardware gets, on GPUs that are only described."""

import keras
import pytest
import tensorflow as tf

import vgg_keras
from vgg_keras import processor, runtime
from vgg_keras.cluster import Cluster
from vgg_keras.config import Runtime
from vgg_keras.errors import WorkerLostError


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


def test_workers_compare_what_each_chose_and_their_versions(monkeypatch):
    compared = {}

    def meet(cluster, seconds, must_match):
        compared.update(must_match)
        raise WorkerLostError("here")

    monkeypatch.setattr(runtime, "meet", meet)
    with pytest.raises(WorkerLostError):
        runtime._over_workers(Cluster(("a:1", "b:1"), 0), Runtime(precision="float32"), 0, {"run": {"seed": 0}})
    versions = {"vgg_keras": vgg_keras.__version__, "tensorflow": tf.__version__, "keras": keras.__version__}
    assert compared == {"run": {"seed": 0}, "precision": "float32", "GPUs": 0, "versions": versions}
