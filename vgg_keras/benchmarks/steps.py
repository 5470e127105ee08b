"""A training step of a net beside the same step of others, and beside its layers by themselves.

The layers by themselves are the ceiling: every convolution and FC layer, forward and both gradients, on tensors of the
net's own shapes. `nets/` imports only Keras, so the suite runs on Keras's TensorFlow and JAX backends. This module imports
neither.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.benchmarks import peers, rounds
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import costs, training_operations
from vgg_keras.paths import plain_folder

OURS, CEILING = "vgg_keras", "layers alone"
KERAS, KERAS_BF16 = "Keras", "Keras, bf16"
PROFILED = 3  # steps in a record
# Of dense bf16 matrix products, by the makers' data sheets, in operations per second: the longest name that fits counts.
MATRIX_PEAKS = {
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L4": 121e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def engine_of(config: Config) -> Engine:
    """The engine of Keras's backend.

    Raises:
        UserError: another than TensorFlow's and JAX's.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from vgg_keras.benchmarks import on_tensorflow

        return on_tensorflow.engine(config)
    if backend == "jax":
        from vgg_keras.benchmarks import on_jax

        return on_jax.engine(config)
    raise UserError(
        f"`benchmark train` runs on Keras's tensorflow and jax backends. Received: {backend}. PyTorch's own VGG is a row "
        "of it where torch is installed. Set KERAS_BACKEND=jax."
    )


def run(
    config: Config,
    architecture: Architecture,
    batch: int,
    repeats: int,
    only: Sequence[str],
    profile: str | None = None,
) -> None:
    """Times the rows and prints a table and a JSON line.

    Args:
        config: its runtime, `data.micro_batch` and training are followed.
        architecture: classes and mean known.
        batch: images of a step.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names.
        profile: a folder for a profile of some of our steps; None: none.
    """
    machine = engine_of(config)
    generator = np.random.default_rng(config.seed)
    images = generator.uniform(0, 255, (batch, architecture.crop, architecture.crop, 3)).astype(np.float32)
    labels = generator.integers(0, architecture.num_classes, batch).astype(np.int32)
    operations = batch * training_operations(architecture)
    rows, missing = _rows(machine, config, architecture, images, labels, operations)
    rows = rounds.chosen(rows, only)
    if profile and rows[0].name != OURS:
        raise UserError(f"--profile records a step of {OURS}. Received: it with --only, without that row.")
    print(
        f"{architecture.name}, width {architecture.width:g}, batch {batch}; {machine.device}; {machine.chosen}",
        flush=True,
    )
    found = rounds.timed(rows, repeats)
    beside = (KERAS, KERAS_BF16, peers.torch_name(machine.precision == "mixed_bfloat16"), CEILING)
    records = rounds.summary(rows, found, beside)
    rounds.print_results(records, beside, repeats, missing)
    share = matrix_peak_share(records[0], machine) if records[0]["name"] == OURS else None
    if share is not None:
        print(f"{share:.0%} of the matrix peak of {machine.device}")
    if profile:
        _profile(machine, rows[0], Path(profile))
    net = {"architecture": architecture.name, "width": architecture.width, "crop": architecture.crop, "batch": batch}
    how = {
        "backend": machine.name,
        "device": machine.device,
        "gpu": machine.gpu,
        "precision": machine.precision,
        "chosen": machine.chosen,
    }
    rounds.print_json("train", **net, **how, repeats=repeats, matrix_peak_share=share, rows=records)


def matrix_peak_share(record: dict, machine: Engine) -> float | None:
    """The share of the GPU's bf16 matrix peak that a row reaches; None where the peak is not known."""
    known = [name for name in MATRIX_PEAKS if re.search(rf"\b{name}\b", machine.device, re.IGNORECASE)]
    if not known or not machine.gpu or machine.precision != "mixed_bfloat16":
        return None
    return 1e9 * record["gflops"] / MATRIX_PEAKS[max(known, key=len)]


def _rows(machine: Engine, config, architecture, images, labels, operations) -> tuple[list[Row], dict[str, str]]:
    """The rows, and why others are missing."""
    bf16 = machine.precision == "mixed_bfloat16"

    def row(name, begin):
        return Row(name, len(images), rounds.begun_once(begin), operations)

    found = [row(OURS, lambda: machine.step(architecture, config, machine.precision, images, labels))]
    missing: dict[str, str] = {}
    centred = images - np.array(architecture.mean, np.float32)  # as our first layer does
    if _in_applications(architecture):
        net = architecture.name
        compiled = {"jit_compile": False} if machine.name == "tensorflow" else {}  # on JAX all is compiled
        found.append(row(KERAS, lambda: peers.applications_step(net, "float32", centred, labels)))
        if bf16:
            step = peers.applications_step
            found.append(row(KERAS_BF16, lambda: step(net, machine.precision, centred, labels, **compiled)))
    else:
        missing[KERAS] = "Keras Applications have only D and E of Table 1"
    name = peers.torch_name(bf16)
    if reason := peers.torch_missing(architecture):
        missing[name] = reason
    else:
        found.append(row(name, lambda: peers.torch_step(architecture, bf16, centred, labels)))
    found.append(row(CEILING, lambda: _layers_alone(machine, architecture, len(images))))
    return found, missing


def _in_applications(architecture: Architecture) -> bool:
    """Whether Keras Applications have this very net: theirs are D and E at full size."""
    plain = Architecture(architecture.name, num_classes=1000, mean=architecture.mean, dropout=architecture.dropout)
    return architecture.name in peers.APPLICATIONS and architecture == plain


def _layers_alone(machine: Engine, architecture: Architecture, batch: int) -> Callable[[], None]:
    """All products of a step, each layer by itself."""
    dtype = keras.dtype_policies.get(machine.precision).compute_dtype
    calls, channels, side = [], 3, architecture.crop
    for cost in costs(architecture):
        layer = cost.layer
        if layer.kind in ("conv", "fc"):
            calls += machine.layer(layer, batch, side, channels, dtype, bool(calls))
        channels, side = layer.units, cost.height

    def work():
        for call in calls:
            made = call()
            if not machine.gpu:  # a GPU's queue runs in order
                machine.wait(made)
        machine.wait(made)

    return work


def _profile(machine: Engine, row: Row, folder: Path) -> None:
    """Records PROFILED more steps of a row."""
    folder.mkdir(parents=True, exist_ok=True)
    with plain_folder(folder) as name, machine.profile(name):
        for number in range(PROFILED):
            with machine.profiled_step(number):
                row.work()
    print(
        f"{folder}: {PROFILED} steps of {row.name}; tensorboard --logdir={folder} shows them "
        "with the plugin tensorboard-plugin-profile"
    )
