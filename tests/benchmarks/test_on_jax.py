"""A training step on JAX, without TensorFlow."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.toy import TOY_NET


@pytest.mark.slow
def test_train_on_jax_without_tensorflow(tmp_path):
    """The command runs, and its step learns: a batch that it sees again and again."""
    script = (
        "import sys, runpy, numpy\n"
        "sys.modules['tensorflow'] = None\n"  # as if it were not installed: importing it fails
        "from vgg_keras.benchmarks.steps import engine_of\n"
        "from vgg_keras.config import Architecture, Config, Training\n"
        "machine = engine_of(Config(training=Training(learning_rate=1e-3)))\n"
        "net = Architecture('A', num_classes=4, width=1/16, crop=32, mean=(127.0,) * 3, dropout=0.0)\n"
        "images = numpy.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype('float32')\n"
        "step = machine.step(net, Config(training=Training(learning_rate=1e-3)), 'float32', images, numpy.arange(4))\n"
        "print('losses', *(step() for _ in range(12)))\n"
        f"sys.argv = ['benchmark', 'train', *{TOY_NET!r}, '--only=vgg_keras,layers']\n"
        "runpy.run_module('vgg_keras.benchmark', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    losses = [float(word) for word in done.stdout.split("losses ")[1].splitlines()[0].split()]
    print(f"losses of 12 steps on JAX: {losses}")
    assert losses[-1] < 0.5 * losses[0]
    assert found["backend"] == "jax" and [row["name"] for row in found["rows"]] == ["vgg_keras", "layers alone"]
