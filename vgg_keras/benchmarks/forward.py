"""A forward pass of a net, from images in memory to posteriors, in float32 and in bf16, beside PyTorch's.

It runs on Keras's TensorFlow and JAX backends. `benchmark evaluate` times whole tests, files included.
"""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np

from vgg_keras.benchmarks import peers, rounds
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.benchmarks.steps import engine_of, matrix_peak_share
from vgg_keras.config import Architecture, Config
from vgg_keras.nets.architectures import multiply_adds
from vgg_keras.nets.builder import build

SHORT = {"float32": "float32", "mixed_bfloat16": "bf16"}


def run(config: Config, architecture: Architecture, batch: int, repeats: int, only: Sequence[str]) -> None:
    """Times the rows and prints a table and a JSON line.

    Args:
        config: its runtime and its seed are read.
        architecture: classes and mean known.
        batch: images of a pass.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names.
    """
    machine = engine_of(config)
    rows, missing = _rows(machine, config, architecture, batch)
    rows = rounds.chosen(rows, only)
    print(f"{architecture.name}, width {architecture.width:g}, batch {batch}, forward; {machine.device}", flush=True)
    found = rounds.timed(rows, repeats)
    beside = [peers.torch_name(bf16) for bf16 in (False, True)]
    records = rounds.summary(rows, found, beside)
    rounds.print_results(records, beside, repeats, missing)
    in_bf16 = [record for record in records if record["name"] == _ours("mixed_bfloat16")]
    share = matrix_peak_share(in_bf16[0], machine) if in_bf16 else None
    if share is not None:
        print(f"{share:.0%} of the matrix peak of {machine.device} in bf16")
    net = {"architecture": architecture.name, "width": architecture.width, "crop": architecture.crop, "batch": batch}
    how = {"backend": machine.name, "device": machine.device, "gpu": machine.gpu}
    rounds.print_json("forward", **net, **how, repeats=repeats, matrix_peak_share=share, rows=records)


def _rows(machine: Engine, config, architecture, batch: int) -> tuple[list[Row], dict[str, str]]:
    """Ours and PyTorch's in float32, and in bf16 where the machine multiplies in it; and why others are missing."""
    side = architecture.crop
    images = np.random.default_rng(config.seed).uniform(0, 255, (batch, side, side, 3)).astype(np.float32)
    operations = 2 * batch * multiply_adds(architecture, side, side)
    reason = peers.torch_missing(architecture)
    rows = []
    for precision in SHORT:
        if precision not in ("float32", machine.precision):
            continue
        begin = functools.partial(_forward, machine, config, architecture, precision, images)
        rows.append(Row(_ours(precision), batch, rounds.begun_once(begin), operations))
        if not reason:
            bf16 = precision == "mixed_bfloat16"
            begin = functools.partial(peers.torch_forward, architecture, bf16, images)
            rows.append(Row(peers.torch_name(bf16), batch, rounds.begun_once(begin), operations))
    return rows, {"PyTorch": reason} if reason else {}


def _ours(precision: str) -> str:
    return f"vgg_keras, {SHORT[precision]}"


def _forward(machine: Engine, config, architecture: Architecture, precision: str, images) -> Callable[[], np.ndarray]:
    """A pass of our net, to posteriors in the computer's memory."""
    model = build(architecture, classifier_activation="softmax", dtype=precision, seed=config.seed)
    model.compile(jit_compile=machine.name == "jax")  # TensorFlow's convolutions on a CPU are slower by XLA
    images = keras.ops.convert_to_tensor(images)  # on the device, once
    return lambda: model.predict_on_batch(images)
