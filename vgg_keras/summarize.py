"""The paper's Tables 1 and 2 from the data: layers, parameters, multiply-adds, receptive field, activation memory.

python -m vgg_keras.summarize
python -m vgg_keras.summarize --config=E --set=architecture.width=0.5
python -m vgg_keras.summarize --side=256 --batch=256
python -m vgg_keras.summarize --scaling --teraflops=100

Starts no framework: every number follows from `nets/architectures.py` by arithmetic.
"""

from absl import flags

from vgg_keras import cli
from vgg_keras.benchmarks.expected_scaling import summarize_scaling
from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.summary import summarize_family, summarize_net

cli.define("config", "set")
flags.DEFINE_integer("side", None, "Side of the square input image in pixels. Default: the crop's.", lower_bound=1)
flags.DEFINE_integer("batch", 256, "Images in the batch whose activations or time are counted.", lower_bound=1)
flags.DEFINE_bool("scaling", False, "Instead: what several GPUs and machines should bring in training, by arithmetic.")
flags.DEFINE_float(
    "teraflops", 100.0, "For --scaling: 10^12 operations per second that a GPU sustains in training.", lower_bound=1e-3
)


def main() -> None:
    side, batch = flags.FLAGS.side, flags.FLAGS.batch
    cli.require_read("architecture", "stages")
    if flags.FLAGS.scaling:
        if side or (flags.FLAGS.set and not flags.FLAGS.config):
            raise UserError("--scaling takes --config with --set, --batch and --teraflops. Received another flag.")
        family = {name: Architecture(name, num_classes=1000) for name in CONFIGURATIONS}
        if flags.FLAGS.config:
            architecture = cli.configuration().architecture
            family = {architecture.name: architecture.resolved(1000, ())}
        print(summarize_scaling(family, batch, flags.FLAGS.teraflops))
        return
    cli.refuse("teraflops", rule="--teraflops belongs to --scaling.")
    if flags.FLAGS.config:
        architecture = cli.configuration().architecture
        architecture = architecture.resolved(1000, ())
        crop, summary = architecture.crop, lambda side: summarize_net(architecture, side, batch)
    elif flags.FLAGS.set:
        raise UserError("--set changes the net of --config. Received: --set without --config.")
    else:
        crop, summary = Architecture().crop, lambda side: summarize_family(side, batch)
    side = side or crop
    if side < crop:
        raise UserError(f"--side must be the crop's {crop} or more. Received: {side}")
    print(summary(side))


if __name__ == "__main__":
    cli.run(main)
