"""On JAX as if TensorFlow were not installed: a net, its dense form, maps, a distance, a training step and the benchmark's rows.

One process runs them all, because it takes longer to start JAX and to compile than to run any of them.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.benchmarks.toy import TOY_NET

SCRIPT = """
import json, runpy, sys
sys.modules["tensorflow"] = None  # importing it fails
import numpy
import vgg_keras
from vgg_keras.benchmarks.steps import engine_of
from vgg_keras.config import Architecture, Config, Training

net = vgg_keras.build("A-LRN", num_classes=3, crop=32, width=1 / 16, seed=0)
image = numpy.full((1, 32, 32, 3), 200.0, "float32")
maps = vgg_keras.feature_maps(net, ["relu5_2", "fc1", "predictions"], "mean")(image)
distance = vgg_keras.PerceptualDistance(net, "style")
pair = numpy.random.default_rng(0).uniform(0, 255, (2, 40, 32, 3)).astype("float32")
found = {
    "logits": net(image)[0],
    "scores": vgg_keras.to_fully_convolutional(net)(image)[0, 0, 0],
    "maps": maps["predictions"][0],
    "distances": distance(pair, pair[::-1]),
}

config = Config(training=Training(learning_rate=1e-3))
trained = Architecture("A", num_classes=4, width=1 / 16, crop=32, mean=(127.0,) * 3, dropout=0.0)
images = numpy.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
step = engine_of(config).step(trained, config, "float32", images, numpy.arange(4))
found["losses"] = [step() for _ in range(12)]
print(json.dumps({name: numpy.asarray(values, float).tolist() for name, values in found.items()}))

sys.argv = ["benchmark", "train", *sys.argv[1:], "--only=vgg_keras,layers"]
runpy.run_module("vgg_keras.benchmark", run_name="__main__")
"""


@pytest.fixture(scope="module")
def printed():
    """The process's first line, and its last one, which is the benchmark's."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    words = [sys.executable, "-c", SCRIPT, *TOY_NET]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    return {name: np.array(values) for name, values in json.loads(first).items()}, json.loads(last)


@pytest.mark.slow
def test_a_net_its_dense_form_and_its_maps_agree(printed):
    found, _ = printed
    assert np.abs(found["logits"]).max() > 1e-3
    assert np.abs(found["logits"] - found["scores"]).max() <= 1e-5
    assert np.abs(found["logits"] - found["maps"]).max() <= 1e-5


@pytest.mark.slow
def test_a_distance_is_the_same_both_ways(printed):
    first, second = printed[0]["distances"]
    assert first > 0 and abs(first - second) <= 1e-5 * first


@pytest.mark.slow
def test_a_training_step_learns_a_batch_that_it_sees_again_and_the_command_times_it(printed):
    found, benchmark = printed
    losses = found["losses"]
    print(f"losses of 12 steps on JAX: {losses}")
    assert losses[-1] < 0.5 * losses[0]
    assert benchmark["backend"] == "jax" and [row["name"] for row in benchmark["rows"]] == ["vgg_keras", "layers alone"]
