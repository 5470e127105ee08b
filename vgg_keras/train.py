"""Trains a net as the paper does (3.1), tests it densely (3.2), and leaves everything in one folder.

python -m vgg_keras.train --config=quickstart
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E
python -m vgg_keras.train --config=D --data=photos/ --set=data.micro_batch=32 --set=training.learning_rate=5e-3

Ctrl-C or SIGTERM saves and stops with status 75; the same command goes on where it stood, with the same bits.
"""

import time
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.config import Config

EVALUATION = "evaluation.json"

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

    stop.here()
    with folder.locked(workdir):
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
    from vgg_keras.weights.run import CONFIG, KERAS, MANIFEST, WEIGHTS

    outcome = loop.train(config, source, statistics, strategy, precision, workdir, bad_images)

    # ---- the dense test of the best net, from its files (3.2)
    result = _test(config, source, precision, workdir, len(bad_images))

    # ---- where everything is
    net = f"{config.architecture.name} on {source.name}"
    error, top5 = records.percent(result["top1_error"]), records.percent(result["top5_error"])
    curve = records.draw_learning_curve(workdir, f"{config.architecture.name}: dense test error {error}")
    print(f"{net}, best of {outcome.epochs} epochs: validation top-1 error {records.percent(outcome.best_top1_error)}")
    print(f"dense test at Q={result['scales']}: top-1 error {error}, top-5 error {top5}, {result['images']} images")
    for path, content in (
        (
            workdir / WEIGHTS,
            f"the best weights ({CONFIG} is the net, {MANIFEST} the digests, {KERAS} the same for Keras)",
        ),
        (workdir / records.METRICS, "a line an epoch"),
        (workdir / EVALUATION, "the dense test"),
        (curve, "loss and error over the epochs"),
        (workdir / "tensorboard", f"tensorboard --logdir={workdir}"),
    ):
        print(f"  {path}: {content}")


def _test(config: Config, source, precision: str, workdir: Path, bad_images: int) -> dict:
    """The dense test of the run's best weights on the validation set, kept in evaluation.json."""
    from vgg_keras.evaluation import metrics, protocols
    from vgg_keras.files import write_json
    from vgg_keras.weights.run import load_run

    run = load_run(workdir, dtype=precision)
    started = time.perf_counter()
    posteriors = protocols.dense(
        run.model, source.val, config.data, config.test_scales, config.evaluation.flip, config.evaluation.batch
    )
    result = {
        "protocol": "dense",
        "model": str(workdir),
        "architecture": config.architecture.name,
        "training_scale": list(config.data.scale),
        "scales": list(config.test_scales),
        "flip": config.evaluation.flip,
        "interpolation": config.data.interpolation,
        "precision": precision,
        "data": source.description,
        "images": source.val.size,
        "bad_images": bad_images,
        "top1_error": metrics.top_k_error(posteriors.probabilities, posteriors.labels, 1),
        "top5_error": metrics.top_k_error(posteriors.probabilities, posteriors.labels, 5),
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_json(workdir / EVALUATION, result)
    return result


def main() -> None:
    config = cli.configuration()
    train(config, Path(flags.FLAGS.workdir or Path("runs") / Path(flags.FLAGS.config).stem))


if __name__ == "__main__":
    cli.run(main)
