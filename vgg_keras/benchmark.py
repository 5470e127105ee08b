"""Speed as ratios taken in one run on one machine: this package, its peers that are installed, the measured limits.

python -m vgg_keras.benchmark input --data=photos/
python -m vgg_keras.benchmark train --config=E --batch=64
python -m vgg_keras.benchmark evaluate --config=E --data=photos/ --set=runtime.precision=float32
python -m vgg_keras.benchmark scaling --data=photos/
python -m vgg_keras.benchmark all --data=photos/
KERAS_BACKEND=jax python -m vgg_keras.benchmark train

input: JPEG files to batches of crops, beside decoding alone, the straightforward chain and Pillow in a DataLoader.
train: a step beside Keras Applications, PyTorch and the net's layers alone; on Keras's TensorFlow and JAX backends.
evaluate: the protocols of 3.2, file to posterior, beside `model.predict` and the net's convolutions alone.
scaling: the input over cores and files, memory over files and batch, the commands' start.
Each prints a table and, last, a line of JSON. Rows are timed in turn, a first round is left out.
"""

import dataclasses
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import Config
from vgg_keras.errors import UserError
from vgg_keras.files import require_writable

FLAGS = flags.FLAGS
cli.define("data", "set")
flags.DEFINE_string("config", "D", "A name in configs/ or a path to a .py file with config(); its net, untrained.")
flags.DEFINE_integer("repeats", 5, "Rounds that are counted.", lower_bound=1)
flags.DEFINE_integer(
    "images",
    None,
    "Photographs of a round. Default: 1,024 of input; 32 of evaluate, whose crops take an eighth.",
    lower_bound=1,
)
flags.DEFINE_integer("batch", None, "Images of a training step. Default: 16; of scaling 16, 64 and 256.", lower_bound=1)
flags.DEFINE_list("only", [], "Rows by the beginnings of their names, with commas between them. Default: all.")
flags.DEFINE_integer("times", 1, "How often input's list of files is repeated.", lower_bound=1)
flags.DEFINE_string("profile", None, "A folder for a profile of three training steps, for TensorBoard.")
cli.key("config")

CLASSES = 1000
# The suites that read a flag which not all read.
READ_BY = {
    "images": ("input", "evaluate", "scaling"),
    "batch": ("train", "scaling"),
    "only": ("input", "train", "evaluate"),
    "times": ("input",),
    "profile": ("train",),
}


def _input(config: Config, architecture) -> None:
    from vgg_keras.benchmarks import inputs

    inputs.run(config, FLAGS.images or 1024, FLAGS.repeats, FLAGS.only, FLAGS.times)


def _train(config: Config, architecture) -> None:
    from vgg_keras.benchmarks import steps

    steps.run(config, architecture, FLAGS.batch or 16, FLAGS.repeats, FLAGS.only, FLAGS.profile)


def _evaluate(config: Config, architecture) -> None:
    from vgg_keras.benchmarks import evaluation

    evaluation.run(config, architecture, FLAGS.images or 32, FLAGS.repeats, FLAGS.only)


def _scaling(config: Config, architecture) -> None:
    from vgg_keras.benchmarks import scaling

    batches = [FLAGS.batch] if FLAGS.batch else [16, 64, 256]
    scaling.run(_passed(), FLAGS.images or 1024, FLAGS.repeats, batches)


def _all(config: Config, architecture) -> None:
    """Every suite in a process of its own, and how many cores the input needs to keep a GPU busy."""
    from vgg_keras.benchmarks.processes import benchmark

    found = {}
    for suite in ("input", "train", "evaluate", "scaling"):
        print(f"---- {suite}", flush=True)
        found[suite] = benchmark([suite, f"--repeats={FLAGS.repeats}", *_passed()], shown=True)
    if found["train"]["gpu"]:
        from vgg_keras.benchmarks.inputs import OURS, cores_needed

        trained, read = (
            next(row["images_per_second"] for row in found[suite]["rows"] if row["name"] == OURS)
            for suite in ("train", "input")
        )
        needed = cores_needed(trained, read, found["input"]["cores"])
        print(f"{needed:.2g} cores keep the GPU busy, which trains {trained:.3g} images/s")


def _passed() -> list[str]:
    """The flags that say what is measured, for another process."""
    data = [f"--data={FLAGS.data}"] if FLAGS.data else []
    return [f"--config={FLAGS.config}", *data, *(f"--set={assignment}" for assignment in FLAGS.set)]


SUITES = {"input": _input, "train": _train, "evaluate": _evaluate, "scaling": _scaling, "all": _all}


def main(suite: str) -> None:
    for name, suites in READ_BY.items():
        if FLAGS[name].present and suite not in suites:
            raise UserError(f"--{name} is read by {', '.join(suites)}. Received: it with {suite}. Leave it out.")
    if FLAGS.profile:
        require_writable(Path(FLAGS.profile) / "trace", "--profile", received=Path(FLAGS.profile))
    config = cli.configuration()
    if config.architecture.num_classes not in (0, CLASSES):
        raise UserError(f"The benchmark's nets have {CLASSES} classes. Received: {config.architecture.num_classes}.")
    stop.listen()
    architecture = dataclasses.replace(config.architecture, num_classes=CLASSES, mean=(123.68, 116.779, 103.939))
    SUITES[suite](config, architecture)


if __name__ == "__main__":
    cli.run(main, words=tuple(SUITES), any_backend=True)
