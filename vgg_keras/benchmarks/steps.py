"""A training step of a net beside the same step of others, and beside what the net's layers alone allow.

The ceiling is every convolution and FC layer by itself, forward and both gradients, on tensors of the net's own shapes.
`nets/` knows keras alone, so the suite runs on Keras's TensorFlow and JAX backends; this module imports neither.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.benchmarks import peers, rounds
from vgg_keras.benchmarks.engine import Engine
from vgg_keras.benchmarks.rounds import Row
from vgg_keras.config import Architecture, Config, UserError
from vgg_keras.nets.architectures import costs

OURS, CEILING = "vgg_keras", "layers alone"
KERAS, KERAS_BF16, TORCH = "Keras", "Keras, bf16, no XLA", "PyTorch"
# Multiply-adds are two operations; a forward pass has them once, the gradients of weights and inputs once each.
FORWARD, GRADIENT = 2, 2
# Of dense bf16 matrix products, by the makers' data sheets, in operations a second: the longest name that fits counts.
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
) -> list[dict]:
    """Times the rows, prints a table and a JSON line, and returns the rows' records.

    Args:
        config: its runtime, `data.micro_batch` and training are followed.
        architecture: classes and mean known.
        batch: images of a step.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names.
        profile: a folder for a profile of one of our steps; None: none.
    """
    machine = engine_of(config)
    generator = np.random.default_rng(config.seed)
    images = generator.uniform(0, 255, (batch, architecture.crop, architecture.crop, 3)).astype(np.float32)
    labels = generator.integers(0, architecture.num_classes, batch).astype(np.int32)
    operations = batch * operations_of_an_image(architecture)
    rows = rounds.chosen(_rows(machine, config, architecture, images, labels, operations), only)
    print(
        f"{architecture.name}, width {architecture.width:g}, batch {batch}; {machine.device}; {machine.chosen}",
        flush=True,
    )
    found = rounds.timed([dataclasses.replace(row, work=_begun_once(row.work)) for row in rows], repeats)
    beside = (KERAS, KERAS_BF16, _torch_name(machine), CEILING)
    records = rounds.summary(rows, found, beside)
    print(f"medians of {repeats} rounds, the spread in brackets\n")
    rounds.tell(records, beside)
    share = matrix_peak_share(records[0], machine) if records[0]["name"] == OURS else None
    if share is not None:
        print(f"{share:.0%} of the matrix peak of {machine.device}")
    if profile:
        _profile(machine, rows[0], Path(profile))
    net = {"architecture": architecture.name, "width": architecture.width, "crop": architecture.crop, "batch": batch}
    how = {"backend": machine.name, "device": machine.device, "precision": machine.precision, "chosen": machine.chosen}
    rounds.tell_json("train", **net, **how, repeats=repeats, matrix_peak_share=share, rows=records)
    return records


def operations_of_an_image(architecture: Architecture) -> int:
    """Of a training step: forward, the gradient of every weight, and that of every layer's input but the first's."""
    weighted = [cost for cost in costs(architecture) if cost.multiply_adds]
    return sum(
        (FORWARD + GRADIENT + GRADIENT * (place > 0)) * cost.multiply_adds for place, cost in enumerate(weighted)
    )


def matrix_peak_share(record: dict, machine: Engine) -> float | None:
    """The share of the GPU's bf16 matrix peak that a row reaches; None where the peak is not known."""
    known = [name for name in MATRIX_PEAKS if name.lower() in machine.device.lower()]
    return 1e9 * record["gflops"] / MATRIX_PEAKS[max(known, key=len)] if machine.gpu and known else None


def cores_needed(step_rate: float, input_rate: float, input_cores: int) -> float:
    """How many cores keep a device busy that trains `step_rate` images a second, where `input_cores` make `input_rate`."""
    return step_rate / (input_rate / input_cores)


def _rows(machine: Engine, config, architecture, images, labels, operations) -> list[Row]:
    """Rows whose `work` makes, when it is first called, the step that it then is: memory is taken by those that run."""
    bf16 = machine.precision == "mixed_bfloat16"

    def row(name, begin):
        return Row(name, len(images), begin, operations)

    found = [row(OURS, lambda: machine.step(architecture, config, machine.precision, images, labels))]
    if _like_applications(architecture):
        name = architecture.name
        found.append(row(KERAS, lambda: peers.applications_step(name, "float32", images, labels)))
        if bf16:
            plainly = {"jit_compile": False} if machine.name == "tensorflow" and not machine.gpu else {}
            found.append(
                row(KERAS_BF16, lambda: peers.applications_step(name, machine.precision, images, labels, **plainly))
            )
    if _installed("torch") and not architecture.batch_norm and architecture.head == "fc":
        found.append(row(_torch_name(machine), lambda: peers.torch_step(architecture, bf16, images, labels)))
    found.append(row(CEILING, lambda: _layers_alone(machine, architecture, len(images))))
    return found


def _torch_name(machine: Engine) -> str:
    return f"{TORCH}, {'bf16' if machine.precision == 'mixed_bfloat16' else 'float32'}, channels last"


def _like_applications(architecture: Architecture) -> bool:
    """Whether Keras Applications have this very net: theirs are D and E at full size."""
    plain = Architecture(architecture.name, num_classes=1000, mean=architecture.mean, dropout=architecture.dropout)
    return architecture.name in peers.APPLICATIONS and architecture == plain


def _installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def _begun_once(begin: Callable[[], Callable[[], object]]) -> Callable[[], None]:
    """A step that is made when it is first called for."""
    made = []

    def work():
        if not made:
            made.append(begin())
        made[0]()

    return work


def _layers_alone(machine: Engine, architecture: Architecture, batch: int) -> Callable[[], None]:
    """All products of a step, each layer by itself."""
    dtype = "bfloat16" if machine.precision == "mixed_bfloat16" else "float32"
    calls, channels, side = [], 3, architecture.crop
    for cost in costs(architecture):
        layer = cost.layer
        if layer.kind in ("conv", "fc"):
            calls += machine.layer(layer, batch, side, channels, dtype, bool(calls))
        channels, side = layer.units, cost.output_side

    def work():
        for call in calls:
            call()

    return work


def _profile(machine: Engine, row: Row, folder: Path) -> None:
    """One more step of the first row, recorded."""
    work = _begun_once(row.work)
    work()
    with machine.profile(str(folder)):
        work()
    print(
        f"{folder}: a step of {row.name}; tensorboard --logdir={folder} shows it with the plugin tensorboard-plugin-profile"
    )
