"""Speed as ratios taken in one run on one machine: this package, its peers that are installed, the measured limits.

python -m vgg_keras.benchmark input --data=photos/
python -m vgg_keras.benchmark train --config=E --batch=64
python -m vgg_keras.benchmark forward --config=E --batch=64
python -m vgg_keras.benchmark evaluate --config=E --data=photos/ --set=runtime.precision=float32
python -m vgg_keras.benchmark scaling --data=photos/
python -m vgg_keras.benchmark all --data=photos/
KERAS_BACKEND=jax python -m vgg_keras.benchmark train

input: JPEG files to batches of crops, beside decoding alone, the straightforward chain and Pillow in a DataLoader.
train: a step beside Keras Applications, PyTorch and the net's layers alone; on Keras's TensorFlow and JAX backends.
forward: a forward pass in float32 and bf16, images in memory, beside PyTorch; on both backends, too.
evaluate: the protocols of 3.2, file to posterior, beside `model.predict` and the net's convolutions alone.
scaling: the input over cores and files, the scan over files, memory over files and batch, the commands' start.
Each prints a table and, last, a line of JSON. Rows are timed in turn, and the first round is not counted.
"""

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.benchmarks import suites
from vgg_keras.config import TEST, fields_with
from vgg_keras.overrides import require_effect
from vgg_keras.training.stages import require_used

FLAGS = flags.FLAGS
cli.define("data", "set")
flags.DEFINE_string("config", "D", "A name in configs/ or a path to a .py file with config(); its net, untrained.")
flags.DEFINE_integer("repeats", 5, "Rounds that are counted.", lower_bound=1)
flags.DEFINE_integer(
    "images",
    None,
    "Photographs of a round. Default: 1,024 of input and scaling; 32 of evaluate, whose slow rows take an eighth.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "batch", None, "Images of a training step or a forward pass. Default: 16; of scaling 16, 64 and 256.", lower_bound=1
)
flags.DEFINE_list("only", [], "Rows by the beginnings of their names, with commas between them. Default: all.")
flags.DEFINE_integer("times", 1, "How often input's list of files is repeated.", lower_bound=1)
flags.DEFINE_string("profile", None, "A folder for a profile of three training steps, for TensorBoard.")
cli.key("config")


def main(suite: str) -> None:
    for name, readers in suites.READ_BY.items():
        if suite not in readers:
            cli.refuse(name, rule=f"--{name} is read by {', '.join(readers)}, and not by {suite}.")
    cli.folder("profile")
    cli.require_read("architecture", "data", "training", "evaluation", "runtime", "seed", "stages")
    config, overrides = cli.configuration(), cli.overrides()
    # the crops of input, which the others run too, are those of the last stage
    if suite in ("input", "scaling", "all"):
        of_crops = {path: value for path, value in overrides.items() if path.startswith("data.")}
        require_used(config, of_crops, [stage.name for stage in config.stages[-1:]])
    require_effect([config], overrides, undecided=fields_with(TEST))
    data = [f"--data={FLAGS.data}"] if FLAGS.data else []
    options = suites.Options(
        config=config,
        images=FLAGS.images,
        batch=FLAGS.batch,
        repeats=FLAGS.repeats,
        only=FLAGS.only,
        times=FLAGS.times,
        profile=FLAGS.profile,
        passed=[f"--config={FLAGS.config}", *data, *(f"--set={assignment}" for assignment in FLAGS.set)],
    )
    stop.listen()
    suites.run(suite, options)


if __name__ == "__main__":
    cli.run(main, words=suites.SUITES, any_backend=True, huge_pages=True)
