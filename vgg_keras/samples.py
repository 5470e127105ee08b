"""A picture of the training images (3.1): a few of them, and the crops that the first epochs make of them.

python -m vgg_keras.samples --data=photos/ --out=samples.png
python -m vgg_keras.samples --config=single_scale --data=photos/ --set=data.scale=384 --out=samples.png
"""

from pathlib import Path

from absl import flags

from vgg_keras import cli
from vgg_keras.data.naming import require_source
from vgg_keras.overrides import require_effect

FLAGS = flags.FLAGS
cli.define("data", "set")
flags.DEFINE_string("config", "multi_scale", "A name in configs/ or a path to a .py file with config().")
flags.DEFINE_string("out", "samples.png", "The picture.")
flags.DEFINE_integer("images", 6, "Rows: images, evenly spaced over the training set.", lower_bound=1, upper_bound=300)
flags.DEFINE_integer("epochs", 7, "Columns behind the image itself: epochs.", lower_bound=1, upper_bound=300)
cli.key("config")


def main() -> None:
    path = Path(FLAGS.out)
    cli.require_picture(path)
    cli.require_read("architecture", "data", "seed", "runtime", "stages")
    config, overrides = cli.configuration(), cli.overrides()
    require_effect([config], overrides)
    require_source(config.data.source, config.data.data_dir)
    from vgg_keras.training.samples import draw

    drawn = draw(config, path, FLAGS.images, FLAGS.epochs, overrides)
    print(f"{path}: {drawn} images, crops of epochs 1 to {FLAGS.epochs}")


if __name__ == "__main__":
    cli.run(main)
