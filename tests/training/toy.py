"""A run that takes seconds, and how tests start it, stop it and look at what it left."""

import hashlib
import json
import time

import numpy as np
import tensorflow as tf

from tests import warm
from tests.conftest import command
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.training import objectives, steps
from vgg_keras.training.state import create_state

TOY = (
    "--config=quickstart",
    "--set=architecture.name=A-LRN",
    "--set=architecture.width=0.0625",
    "--set=data.batch=100",
    "--set=data.scale=32",
    "--set=training.epochs=3",
    "--set=training.plateau_patience=1",
    "--set=checkpoint.every_steps=2",
)


def digest(workdir):
    """sha256 over every variable of the newest checkpoint: weights, velocities, step, plateau, sums of the epoch."""
    newest = sorted((workdir / "checkpoints").glob("epoch-*"))[-1]
    reader = tf.train.load_checkpoint(str(newest / "state"))
    sha = hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        if not name.startswith("_CHECKPOINTABLE"):
            sha.update(name.encode() + np.asarray(reader.get_tensor(name)).tobytes())
    return newest.name, sha.hexdigest()


def metrics(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def start(folder, name, *more):
    """A run in folder/name, in a process that is forked with the frameworks imported; its output goes to NAME.log."""
    words = command("train", *TOY, f"--workdir={name}", *more, cache=folder)
    return warm.Warm(warm.run_command, words, folder=folder, log=folder / f"{name}.log")


def wait_for(condition, process, seconds=120):
    limit = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.02)


def checkpoints(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").glob("epoch-*"))


def a_step(*changes):
    """The state of a thin net and its traced update, on the default device."""
    config = Config(Architecture("A", num_classes=4, crop=32, width=1 / 16, mean=(0.0,) * 3), Data(scale=(32,)), seed=1)
    config = override(config, parse_assignments(changes))
    state = create_state(config, tf.distribute.get_strategy(), config.runtime.precision.replace("auto", "float32"))
    weights = None if isinstance(config.training.class_weights[0], str) else np.float32(config.training.class_weights)
    return state, steps.train_step(tf.distribute.get_strategy(), state, config, objectives.of(config, weights))
