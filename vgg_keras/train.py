"""Trains a net as the paper does (3.1), evaluates it (3.2), and writes everything into one folder.

python -m vgg_keras.train --config=quickstart
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E  # the whole chain, a folder for each stage
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E --stages=S384,jitter --dry_run
python -m vgg_keras.train --config=D --data=photos/ --set=training.learning_rate=5e-3 --set=training.weight_decay=2.5e-5
python -m vgg_keras.train --config=finetune --data=photos/ --weights=imagenet --workdir=runs/photos

Ctrl-C, SIGTERM or a closed terminal saves and stops with status 75; the same command resumes with the same bits.
"""

import sys

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.data.naming import require_source
from vgg_keras.training import stages
from vgg_keras.training.rate_warning import rate_warning

FLAGS = flags.FLAGS
cli.define("config", "data", "strategy", "set", "workdir", "weights", "sha256")
flags.DEFINE_list("stages", [], "Stages of the configuration's chain, with commas between them. Default: all.")
flags.DEFINE_string(
    "init_from", "", "A run that replaces the chain's first stage, or from whose net a single run starts."
)
flags.DEFINE_bool(
    "dry_run", False, "Check and print the plan, and the time to expect after timing a few images of each net."
)


def main() -> None:
    fields = {"weights": "training.weights", "sha256": "training.weights_sha256"}
    config = cli.configuration(**fields)
    require_source(config.data.source, config.data.data_dir)
    if stages.leaves_chain_out(config):
        names = ", ".join(stage.name for stage in config.stages)
        one = f"fine-tuning from {config.training.weights}: one training, without the chain's stages ({names})"
        print(one, flush=True)
    overrides = cli.overrides(**fields)
    stages.require_used(config, overrides, FLAGS.stages, FLAGS.init_from)
    runs = stages.plan(config, cli.workdir(FLAGS), FLAGS.stages, FLAGS.init_from, overrides)
    for warning in dict.fromkeys(filter(None, (rate_warning(run.config) for run in runs))):
        print(warning, file=sys.stderr, flush=True)
    if FLAGS.dry_run:
        nets = ", ".join(f"{run.name} ({run.config.architecture.name}, S={run.scale})" for run in runs)
        print(f"plan: {nets}; batches of {config.data.batch} images", flush=True)
    stop.listen(hangup=True)
    if FLAGS.dry_run:
        from vgg_keras.training.dry_run import dry_run

        dry_run(runs)
    else:
        from vgg_keras.training.job import train

        train(runs)


if __name__ == "__main__":
    cli.run(main, outlives_output=True, huge_pages=True)
