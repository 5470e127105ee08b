"""The suites of `benchmark` by their names, and which flags each reads. No framework is imported before one runs."""

import dataclasses
import os
from collections.abc import Sequence

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import IMAGENET_MEAN, mean_of_channels
from vgg_keras.startup import BACKEND, TENSORFLOW

CLASSES = 1000
SUITES = ("input", "train", "forward", "evaluate", "scaling", "all")
# The suites that read a flag which not all read.
READ_BY = {
    "images": ("input", "evaluate", "scaling"),
    "batch": ("train", "forward", "scaling"),
    "only": ("input", "train", "forward", "evaluate"),
    "times": ("input",),
    "profile": ("train",),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """The values of the flags.

    Attributes:
        config: its data and its net, untrained.
        images: of a round; None: the suite's own number.
        batch: images of a training step; None: the suite's own.
        repeats: rounds that are counted.
        only: rows, by the beginnings of their names; empty: all.
        times: how often the list of files is repeated.
        profile: a folder for a profile of training steps; None: none.
        passed: the flags of the configuration, for another process.
    """

    config: Config
    images: int | None
    batch: int | None
    repeats: int
    only: Sequence[str]
    times: int
    profile: str | None
    passed: Sequence[str]

    def __post_init__(self):
        if (classes := self.config.architecture.num_classes) not in (0, CLASSES):
            raise UserError(f"The benchmark's nets have {CLASSES} classes. Received: {classes}.")
        if (channels := self.config.architecture.channels) != 3:  # as in the nets that it compares with
            raise UserError(
                f"The benchmark's images are in RGB. Received: architecture.channels={channels}. Leave it out."
            )

    @property
    def architecture(self) -> Architecture:
        """The net; no data decide its classes and its mean."""
        return self.config.architecture.resolved(
            CLASSES, mean_of_channels(IMAGENET_MEAN, self.config.architecture.channels)
        )


def run(suite: str, options: Options) -> None:
    """Runs a suite, which prints a table and a line of JSON.

    Raises:
        UserError: a net of boxes, whose outputs are no classes, where a net runs. Frozen layers where one is trained. Another
            backend of Keras than TensorFlow where the protocols or the training loop's micro-batches run.
    """
    if options.config.predicts_boxes and suite != "input":
        raise UserError(
            f"The benchmark's nets give classes. Received: `benchmark {suite}` of a net of boxes. "
            "Name a --config without boxes: only the last layer differs."
        )
    layers = options.config.training.layers
    if layers != "all" and suite in ("train", "scaling", "all"):
        raise UserError(
            f"The benchmark's step trains all layers, as those beside it do. Received: training.layers={layers}. Leave it out."
        )
    backend = os.environ.get(BACKEND) or TENSORFLOW
    if backend != TENSORFLOW and suite in ("evaluate", "scaling", "all"):
        raise UserError(
            f"`benchmark {suite}` runs on Keras's {TENSORFLOW} backend. Received: {BACKEND}={backend}. Leave it out; "
            "train and forward run on jax too."
        )
    {
        "input": _input,
        "train": _train,
        "forward": _forward,
        "evaluate": _evaluate,
        "scaling": _scaling,
        "all": _all,
    }[suite](options)


def _input(options: Options) -> None:
    from vgg_keras.benchmarks import inputs

    inputs.run(options.config, options.images or 1024, options.repeats, options.only, options.times)


def _train(options: Options) -> None:
    from vgg_keras.benchmarks import steps

    steps.run(options.config, options.architecture, options.batch or 16, options.repeats, options.only, options.profile)


def _forward(options: Options) -> None:
    from vgg_keras.benchmarks import forward

    forward.run(options.config, options.architecture, options.batch or 16, options.repeats, options.only)


def _evaluate(options: Options) -> None:
    from vgg_keras.benchmarks import evaluation

    evaluation.run(options.config, options.architecture, options.images or 32, options.repeats, options.only)


def _scaling(options: Options) -> None:
    from vgg_keras.benchmarks import scaling

    batches = [options.batch] if options.batch else [16, 64, 256]
    scaling.run(options.config, options.passed, options.images or 1024, options.repeats, batches)


def _all(options: Options) -> None:
    """Every other suite in a process of its own, and how many cores the input needs to keep a GPU busy."""
    from vgg_keras.benchmarks.processes import benchmark

    found = {}
    for suite in SUITES[:-1]:
        print(f"---- {suite}", flush=True)
        found[suite] = benchmark([suite, f"--repeats={options.repeats}", *options.passed], shown=True)
    if found["train"]["gpu"]:
        from vgg_keras.benchmarks.inputs import OURS, cores_needed

        trained, read = (
            next(row["images_per_second"] for row in found[suite]["rows"] if row["name"] == OURS)
            for suite in ("train", "input")
        )
        needed = cores_needed(trained, read, found["input"]["cores"])
        print(f"{needed:.2g} cores keep the GPU busy, which trains {trained:.3g} images/s")
