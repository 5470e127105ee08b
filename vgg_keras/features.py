"""A trained net on other images (appendix B): a descriptor of each, a linear SVM on them, the images nearest to a photograph.

python -m vgg_keras.features --weights=imagenet --data=photos/ --scales=256,384,512 --out=features/ --classify
python -m vgg_keras.features --model=runs/E/jitter --data=caltech101 --out=features/E --classify --per_class=30
python -m vgg_keras.features --weights=imagenet --data=photos/ --out=features/ --query=photo.jpg --top=8
python -m vgg_keras.features --weights=vgg16_notop.h5 --data=photos/ --layer=block5_pool --out=features/conv --classify

features.npz holds the descriptors. Values that --out already has are not computed again: another --combine, --classify or --query
then takes seconds. Ctrl-C or SIGTERM saves and stops with status 75; the same command continues.
"""

from pathlib import Path

from absl import flags

from vgg_keras import cli
from vgg_keras.config import Config
from vgg_keras.data.naming import require_source_of_run
from vgg_keras.errors import UserError
from vgg_keras.overrides import choices
from vgg_keras.transfer import job
from vgg_keras.weights import open_model

FLAGS = flags.FLAGS
cli.define("model", "weights", "sha256", "config", "data", "set", "out")
flags.DEFINE_string("layer", None, "Whose values make the descriptor, such as fc2, block5_pool. Sets features.layer.")
flags.DEFINE_list("more_layers", [], "Layers whose values are kept too, so that --layer needs no other pass for them.")
flags.DEFINE_string("scales", None, "Values of Q with commas between them. Sets evaluation.scales.")
flags.DEFINE_enum("combine", None, choices("features.combine"), "Of several scales. Sets features.combine.")
flags.DEFINE_enum("pooling", None, choices("features.pooling"), "Over positions. Sets features.pooling.")
flags.DEFINE_enum("split", "all", ["val", "train", "test", "all"], "The images of --data; all: every one.")
flags.DEFINE_bool("classify", False, "Train and test a linear SVM on the descriptors.")
flags.DEFINE_list("with", [], "features.npz files of other nets, stacked with this one's for --classify.")
flags.DEFINE_integer("per_class", None, "Training images of a class in random divisions. Sets features.per_class.")
flags.DEFINE_integer("splits", None, "How many random divisions. Sets features.splits.")
flags.DEFINE_list("query", [], "Photographs whose nearest images are shown.")
flags.DEFINE_integer("top", 8, "How many images nearest to each.", lower_bound=1)

FIELDS = {
    "layer": "features.layer",
    "scales": "evaluation.scales",
    "combine": "features.combine",
    "pooling": "features.pooling",
    "per_class": "features.per_class",
    "splits": "features.splits",
}


def main() -> None:
    cli.require_one_net()
    cli.require("out", *(["data"] if FLAGS.weights else []), rule="--out is needed, and --data beside --weights.")
    overrides = cli.overrides(**FIELDS)
    if not FLAGS.query:
        cli.refuse("top", rule="--top counts the images nearest to each of --query.")
    options = job.Options(
        split=FLAGS.split,
        more_layers=tuple(FLAGS.more_layers),
        classify=FLAGS.classify,
        others=tuple(Path(path) for path in FLAGS["with"].value),
        queries=tuple(FLAGS.query),
        top=FLAGS.top,
    )
    job.require_possible(options)
    source = (FLAGS.model, FLAGS.weights, FLAGS.config)
    flags = {"--classify": FLAGS.classify}
    config, open_net = open_model.resolve(
        *source, overrides, FLAGS.sha256, job.MAY_CHANGE, convolutions=True, flags=flags
    )
    combined = "features.combine" in overrides
    if combined and (FLAGS.model or FLAGS.config):
        _require_several(config)
    require_source_of_run(FLAGS.model, overrides, config.data.source, config.data.data_dir)

    def opened(dtype: str):
        net, its_config = open_net(dtype)
        if combined:  # a run that --weights names has Q of its own
            _require_several(its_config)
        return net, its_config

    job.run(config, opened, Path(FLAGS.out), options)


def _require_several(config: Config) -> None:
    if len(config.evaluation.scales) < 2:
        raise UserError(
            "features.combine, which --combine sets, is of several Q. Received: it with one. Name them, as in "
            "--scales=256,384,512, or leave it out."
        )


if __name__ == "__main__":
    cli.run(main, huge_pages=True)
