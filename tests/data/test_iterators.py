"""A process ends while images are read."""

import subprocess
import sys

import pytest

from tests.conftest import write_images

SCRIPT = """
import sys, time
import numpy as np, tensorflow as tf
from vgg_keras.config import Data
from vgg_keras.data import folders, image_files, pipeline, scan

logical = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
data = Data(source=sys.argv[1], batch=4, scale=(32,))
split, _ = scan.inspected(folders.open_test(data, "all")[3], data)
image_files._no_image = lambda mode, size: time.sleep(0.05) or ""  # so that some calls are going on at the end


def batches(replicas):
    return pipeline.training(split, data, 32, np.eye(3, dtype=np.float32), 0, 0, 100, replicas)


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
mirrored = iter(strategy.distribute_datasets_from_function(lambda _: batches(2)))
of_one_device = iter(batches(1))
next(mirrored)
next(of_one_device)
raise ValueError("of the script")
"""


@pytest.mark.slow
def test_a_script_ends_while_images_are_read(tmp_path):
    """For one device and for two, whose iterators are of two kinds: the process would wait for either without end."""
    for folder in ("cat", "dog"):
        write_images(tmp_path / folder, [(40, 50)] * 20)
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 1 and ended.stderr.rstrip().endswith("ValueError: of the script"), ended.stderr
