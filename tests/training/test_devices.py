"""What a run computes on, as its first line says it."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from vgg_keras import processor, runtime


def test_the_processor_is_named():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert f" on CPU: {processor.description()}, float32, " in runtime.choices(strategy, "float32")


@pytest.mark.parametrize(
    ("used", "words"),
    [([1], "GPU small"), ([0, 1], "GPU large and GPU small"), ([0, 2], "2 x GPU large")],
)
def test_the_gpus_of_a_strategy_are_named(monkeypatch, used, words):
    names = ["large", "small", "large"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(3)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": names[gpu]})
    worker_devices = [f"/job:localhost/replica:0/task:0/device:GPU:{place}" for place in used]
    assert runtime.hardware(SimpleNamespace(extended=SimpleNamespace(worker_devices=worker_devices))) == words
