"""Trains a net as the paper does (3.1), tests it (3.2), and leaves everything in one folder.

python -m vgg_keras.train --config=quickstart
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E
python -m vgg_keras.train --config=D --data=photos/ --set=data.micro_batch=32 --set=training.learning_rate=5e-3

Ctrl-C or SIGTERM saves and stops with status 75; the same command goes on where it stood, with the same bits.
"""

from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import Config

TEST = "closing_test"  # the folder of the test that closes a run

cli.define("config", "data", "set", "workdir")


def train(config: Config, workdir: Path) -> None:
    """Runs `config` in `workdir`, from its start or from where it stands.

    Raises:
        UserError: a mistake in the configuration, the data or the folder.
        Stopped: by SIGTERM or Ctrl-C, with everything saved.
    """
    # ---- what was asked, and on what
    stop.listen()
    from vgg_keras.training import devices
    from vgg_keras.training import workdir as folder

    folder.check(workdir, config)
    strategy = devices.make_strategy(config.runtime)
    precision = devices.choose_precision(config.runtime)
    print(f"devices: {strategy.num_replicas_in_sync} x {type(strategy).__name__}, precision: {precision}", flush=True)

    # ---- the images
    from vgg_keras.data.scan import without_bad_images
    from vgg_keras.data.sources import open_source
    from vgg_keras.files import locked

    stop.here()
    with locked(workdir, "--workdir"):
        source, bad_images = without_bad_images(open_source(config.data), config)
        for image in bad_images:
            print(f"skipped: {image}", flush=True)
        counts = f"{source.train.size} training and {source.val.size} validation images, {len(bad_images)} skipped"
        print(f"data: {source.description}: {counts}", flush=True)
        hardware = {"devices": list(strategy.extended.worker_devices), "precision": precision}
        config, statistics = folder.prepare(workdir, config, source, hardware)
        print(f"colours of {statistics.images} training images: {statistics}", flush=True)
        _train_and_test(config, source, statistics, strategy, precision, workdir, bad_images)


def _train_and_test(config, source, statistics, strategy, precision, workdir, bad_images) -> None:
    # ---- training (3.1)
    from vgg_keras.training import loop, records
    from vgg_keras.weights.stored import CONFIG, KERAS, MANIFEST, WEIGHTS

    outcome = loop.train(config, source, statistics, strategy, precision, workdir, bad_images)

    # ---- the test of the best net, from its files (3.2)
    result = _test(config, source, precision, workdir, bad_images)

    # ---- where everything is
    from vgg_keras.evaluation import report

    test = result["rows"][-1]
    described = f"{test['protocol']} test at Q={test['scales']}"
    net = f"{config.architecture.name} on {source.name}"
    error = records.percent(result["top1_error"])
    curve = records.draw_learning_curve(workdir, f"{config.architecture.name}: {described}, top-1 error {error}")
    print(f"{net}, best of {outcome.epochs} epochs: validation top-1 error {records.percent(outcome.best_top1_error)}")
    top5 = report.top5(result["top5_error"], len(source.classes))
    print(f"{described}: top-1 error {error}, top-5 error {top5}, {result['images']} images")
    for path, content in (
        (
            workdir / WEIGHTS,
            f"the best weights ({CONFIG} is the net, {MANIFEST} the digests, {KERAS} the same for Keras)",
        ),
        (workdir / records.METRICS, "a line an epoch"),
        (workdir / TEST / "report.html", "the test, class by class"),
        (curve, "loss and error over the epochs"),
        (workdir / "tensorboard", f"tensorboard --logdir={workdir}"),
    ):
        print(f"  {path}: {content}")


def _test(config: Config, source, precision: str, workdir: Path, bad_images: list) -> dict:
    """The test of the run's best weights on the validation set."""
    from vgg_keras.evaluation import folder
    from vgg_keras.evaluation.passes import UnlikeError
    from vgg_keras.files import locked
    from vgg_keras.weights.run import load_run

    run = load_run(workdir, dtype=precision)
    images = folder.Images(source.val, "val", source.description, tuple(str(image) for image in bad_images))
    out = workdir / TEST
    with locked(out, "--workdir"):
        try:
            return folder.evaluate(run, config, images, precision, out)
        except UnlikeError:  # of an earlier best net, or in another precision: the folder is this test's alone
            for stale in out.glob("*.npz"):
                stale.unlink()
            return folder.evaluate(run, config, images, precision, out)


def main() -> None:
    config = cli.configuration()
    train(config, Path(flags.FLAGS.workdir or Path("runs") / Path(flags.FLAGS.config).stem))


if __name__ == "__main__":
    cli.run(main)
