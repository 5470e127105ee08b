"""Trains a net as the paper does (3.1), tests it (3.2), and leaves everything in one folder.

python -m vgg_keras.train --config=quickstart
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E  # the whole chain, a folder for each stage
python -m vgg_keras.train --config=E --data=imagenet2012 --workdir=runs/E --stages=S384,jitter --dry_run
python -m vgg_keras.train --config=D --data=photos/ --set=data.micro_batch=32 --set=training.learning_rate=5e-3
python -m vgg_keras.train --config=D --data=photos/ --weights=imagenet --set=training.learning_rate=1e-3  # fine-tunes

Ctrl-C or SIGTERM saves and stops with status 75; the same command goes on where it stood, with the same bits.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from vgg_keras import cli, stop
from vgg_keras.cluster import VARIABLE, Cluster
from vgg_keras.config import Config, UserError
from vgg_keras.data.naming import require_source
from vgg_keras.training import stages, start
from vgg_keras.training.stages import Planned

TEST = "closing_test"  # the folder of the test that closes a run

FLAGS = flags.FLAGS
cli.define("config", "data", "strategy", "set", "workdir", "weights", "sha256")
flags.DEFINE_list("stages", [], "Stages of the configuration's chain, with commas between them. Default: all.")
flags.DEFINE_string(
    "init_from", "", "A run that stands for the chain's first stage, or whose net a single run starts from."
)
flags.DEFINE_bool(
    "dry_run", False, "Check and print the plan, and the time to expect after timing a few images of each net."
)


def train(runs: Sequence[Planned]) -> None:
    """Makes the planned runs, each from its start or from where it stands; a finished stage of a chain is not made again.

    Raises:
        UserError: a mistake in the configuration, the data or a folder.
        Stopped: by SIGTERM or Ctrl-C, with everything saved.
        Lost: one of several workers is gone or never came.
    """
    # ---- what was asked, and on what
    stop.listen()
    import keras

    left = _standing(runs)
    strategy, workers, precision = _devices(runs)
    stop.listen()  # again: with several workers TensorFlow has put a listener of its own in the place of ours
    with workers.together():
        for place, run in enumerate(runs):
            if left[place] is None:
                if run.name != "single":
                    print(f"---- {run.name}: {run.config.architecture.name}, S={_scale(run.config)}", flush=True)
                left[place] = _train_one(run, runs[place + 1 :], strategy, workers, precision)
                keras.utils.clear_session()
        if runs[0].name != "single" and workers.chief:
            print(cli.table(_chain(runs, left)))


def dry_run(runs: Sequence[Planned]) -> None:
    """Prints what `train` would do, and how long its steps would take here; nothing is written into the workdir.

    What `train` refuses before its first step is refused here too.
    """
    epochs, batch = runs[0].config.training.epochs, runs[0].config.data.batch
    stages_of = ", ".join(f"{run.name} ({run.config.architecture.name}, S={_scale(run.config)})" for run in runs)
    print(f"plan: {stages_of}; at most {epochs} epochs each in batches of {batch} images", flush=True)
    left = _standing(runs)
    strategy, workers, precision = _devices(runs)
    with workers.together():
        _estimate(runs, left, strategy, workers, precision)


def _estimate(runs, left, strategy, workers, precision) -> None:
    from vgg_keras.data.scan import without_bad_images
    from vgg_keras.data.sources import open_source
    from vgg_keras.training import rehearsal, start
    from vgg_keras.training import workdir as folder

    # ---- the plan, as the listing of the images has it
    source = open_source(runs[0].config.data)
    print(cli.table(_plan(runs, left, source)), flush=True)

    # ---- all that the run refuses
    made_before = {str(run.workdir) for run, done in zip(runs, left, strict=True) if not done}
    beginnings = [None if run.config.training.init_from in made_before else _look(run, workers) for run in runs]
    listed = source.train.size
    source, _ = workers.chief_first(lambda: without_bad_images(source, runs[0].config))
    for run, done, beginning in zip(runs, left, beginnings, strict=True):
        if not done:
            folder.check_images(run.workdir, run.config, source, beginning)
            _require_testable(run, source)
        if beginning and run.config.training.init_from:  # of training.weights `_look` has seen all
            start.check_fill(run.config, len(source.classes), beginning.digest)
    if source.train.size != listed:
        print(f"images that cannot be read are left out:\n{cli.table(_plan(runs, left, source))}", flush=True)

    # ---- the time
    speeds = rehearsal.speeds([run.config for run in runs], source, strategy, precision)
    replicas, total = strategy.num_replicas_in_sync, 0.0
    rows = [["stage", "timed", "an image", "a step", "all steps"]]
    for run, done, speed in zip(runs, left, speeds, strict=True):
        seconds = speed.run(rehearsal.Work.of(run.config, source), replicas)
        total += 0.0 if done else seconds
        a_step = speed.step(min(run.config.data.batch, source.train.size) / replicas)
        times = f"{speed.image:.3g} s", f"{a_step:.3g} s", rehearsal.duration(seconds)
        rows.append([run.name, f"{speed.images} images", *times])
    print(cli.table(rows))
    print(
        f"about {rehearsal.duration(total)} for the steps, at most {runs[0].config.training.epochs} epochs a training, "
        "validation left out; the plateau rule may end one before. A step's time is an image's, times the batch, and that of "
        "the weights' update"
    )


def _plan(runs, left, source) -> list[list[str]]:
    """The stages, what each does and how much it is, as a table."""
    from vgg_keras.training import checkpoints, rehearsal

    rows = [["stage", "net", "S", "rate", "trained", "starts from", "steps", "images", "operations", "state"]]
    for run, done in zip(runs, left, strict=True):
        work, training = rehearsal.Work.of(run.config, source), run.config.training
        begun = "begun" if checkpoints.stored(run.workdir / checkpoints.FOLDER) else "new"
        what = [run.name, run.config.architecture.name, _scale(run.config), f"{training.learning_rate:g}"]
        size = [f"{work.steps:,}", f"{work.images:,}", f"{work.operations:.2g}"]
        rows.append([*what, training.layers, training.start or "random", *size, "finished" if done else begun])
    return rows


def _standing(runs: Sequence[Planned]) -> list[dict | None]:
    """What the finished stages left, None for what is still to be done; each folder must hold what is asked for."""
    from vgg_keras.training import workdir as folder

    for run in runs:
        folder.check(run.workdir, run.config, finished=run.left is not None)
    return [run.left for run in runs]


def _devices(runs: Sequence[Planned]):
    from vgg_keras.data import pipeline
    from vgg_keras.training import devices
    from vgg_keras.training import workdir as folder
    from vgg_keras.training.workers import Workers

    config = runs[0].config
    _require_one_run(config.runtime.strategy)
    strategy = devices.make_strategy(config.runtime, {run.name: folder.decisive(run.config) for run in runs})
    precision, workers = devices.choose_precision(config.runtime), Workers(strategy)
    with workers.together():
        several = f" over {workers.count} workers" if workers.count > 1 else ""
        chosen = devices.choices(strategy, precision)
        print(f"chosen: {chosen}{several}; input: {pipeline.choices(config.data)}", flush=True)
    return strategy, workers, precision


def _require_one_run(strategy: str) -> None:
    """Refuses a strategy by which each of several workers would make the run for itself, all in one workdir."""
    cluster = Cluster.from_environment()
    if cluster and strategy not in ("auto", "multi_worker"):
        raise UserError(
            f"{len(cluster.addresses)} workers, of {VARIABLE}, make one run by runtime.strategy=auto or multi_worker. "
            f"Received: {strategy}. Leave it out, or start train alone."
        )


def _look(run: Planned, workers):
    """Its start, which the chief may have to download before the others look too; None for a run that goes on."""
    from vgg_keras.training import workdir as folder

    return workers.chief_first(lambda: None if folder.begun(run.workdir) else start.look(run.config))


def _scale(config: Config) -> str:
    return "-".join(map(str, dict.fromkeys(config.data.scale)))


def _chain(runs: Sequence[Planned], left: Sequence[dict]) -> list[list[str]]:
    """The stages and what each reached, as a table."""
    from vgg_keras.training.records import percent

    rows = [["stage", "net", "S", "epochs", "validation top-1 error", "closing test, top-1 error"]]
    for run, done in zip(runs, left, strict=True):
        errors = percent(done["validation_top1_error"]), percent(done["top1_error"])
        rows.append([run.name, run.config.architecture.name, _scale(run.config), str(done["epochs"]), *errors])
    return rows


def _train_one(run: Planned, later: Sequence[Planned], strategy, workers, precision: str) -> dict:
    """One run, and what it leaves for the mark that it is finished, to the chief; {} to other workers.

    What the tests of `later` runs of the chain would refuse is refused before the first step.
    """
    config, workdir = run.config, run.workdir
    from vgg_keras.data.scan import without_bad_images
    from vgg_keras.data.sources import open_source
    from vgg_keras.files import locked
    from vgg_keras.training import loop
    from vgg_keras.training import workdir as folder

    stop.here()
    beginning = _look(run, workers)
    with locked(workdir, "--workdir") if workers.chief else contextlib.nullcontext():
        # ---- the images; what the chief found the others need not look for again, where they share its cache
        source, bad_images = workers.chief_first(lambda: without_bad_images(open_source(run.config.data), run.config))
        for image in bad_images:
            print(f"skipped: {image}", flush=True)
        for note in source.notes:
            print(f"note: {note}", flush=True)
        counts = f"{source.train.size} training and {source.val.size} validation images"
        counts += f" and {source.test.size} test images" if source.test else ""
        counts += f", {len(bad_images)} skipped"
        print(f"data: {source.description}: {counts}", flush=True)
        if config.data.validation == "held_out" and not source.test:
            print("no images are apart for a test: those that validate close the run", flush=True)
        for planned in (run, *later):
            _require_testable(planned, source)
        hardware = {"devices": list(strategy.extended.worker_devices), "precision": precision}
        config, statistics = workers.chief_first(
            lambda: folder.prepare(workdir, run.config, source, hardware, beginning, writes=workers.chief)
        )
        print(f"colours of {statistics.images} training images: {statistics}", flush=True)

        # ---- training (3.1), and the test of the best net
        outcome = loop.train(config, source, statistics, strategy, precision, workdir, bad_images)

        def close():
            left = _test_and_tell(config, source, outcome, precision, workdir, bad_images)
            if run.name != "single":
                stages.finish(workdir, left)
            return left

        return workers.chief_alone(close) or {}


def _require_testable(run: Planned, source) -> None:
    """Refuses what the test that closes the run would refuse: an image that is too large, a disk without room."""
    from vgg_keras.evaluation.folder import require_room
    from vgg_keras.evaluation.protocols import require_few_pixels
    from vgg_keras.training import workdir as folder

    config, split = run.config, source.split(source.closing)
    remedy = "A run keeps its images." if folder.begun(run.workdir) else "Or leave the image out."
    require_few_pixels(split, config.evaluation, config.test_scales, remedy)
    if not (run.workdir / TEST).exists():
        require_room(run.workdir, split.size, len(source.classes), config.evaluation, config.test_scales)


def _test_and_tell(config, source, outcome, precision, workdir, bad_images) -> dict:
    from vgg_keras.training import records
    from vgg_keras.weights.stored import CONFIG, KERAS, MANIFEST, WEIGHTS

    # ---- the test of the best net, from its files (3.2)
    result = _test(config, source, precision, workdir, bad_images)

    # ---- where everything is
    from vgg_keras.evaluation import report

    test = result["rows"][-1]
    described = f"{test['protocol']} test at Q={test['scales']}"
    net = f"{config.architecture.name} on {source.name}"
    error = records.percent(result["top1_error"])
    title = f"{config.architecture.name}: {described}, top-1 error {error}"
    curve = records.draw_learning_curve(workdir, title, config.training.plateau_metric)
    print(f"{net}, best of {outcome.epochs} epochs: validation top-1 error {records.percent(outcome.best_top1_error)}")
    top5 = report.top5(result["top5_error"], len(source.classes))
    print(f"{described}: top-1 error {error}, top-5 error {top5}, {result['images']} images")
    for note in source.split(source.closing).notes:  # such as of classes that the error does not count
        print(f"note: {note}")
    for path, content in (
        (
            workdir / WEIGHTS,
            f"the best weights ({CONFIG} is the net, {MANIFEST} the digests, {KERAS} the same for Keras)",
        ),
        (workdir / records.METRICS, "a line an epoch"),
        (workdir / TEST / "report.html", "the test, class by class"),
        *([(curve, "loss and error over the epochs")] if curve else []),
        (workdir / records.TENSORBOARD, f"tensorboard --logdir={workdir}"),
    ):
        print(f"  {path}: {content}")
    return {
        "epochs": outcome.epochs,
        "validation_top1_error": outcome.best_top1_error,
        "top1_error": result["top1_error"],
        "top5_error": result["top5_error"],
    }


def _test(config: Config, source, precision: str, workdir: Path, bad_images: list) -> dict:
    """The test of the run's best weights: on the test images, where they are others than those of the validation."""
    from vgg_keras.evaluation import folder
    from vgg_keras.evaluation.passes import UnlikeError
    from vgg_keras.files import locked
    from vgg_keras.weights.run import load_run

    run = load_run(workdir, dtype=precision)
    name = source.closing
    images = folder.Images(source.split(name), name, source.description, tuple(str(image) for image in bad_images))
    out = workdir / TEST
    with locked(out, "--workdir"):
        try:
            return folder.evaluate(run, config, images, precision, out)
        except UnlikeError:  # of an earlier best net, or in another precision: the folder is this test's alone
            for stale in out.glob("*.npz"):
                stale.unlink()
            return folder.evaluate(run, config, images, precision, out)


def main() -> None:
    config = cli.configuration(*cli.wish("weights", "training.weights"), *cli.wish("sha256", "training.weights_sha256"))
    require_source(config.data.source, config.data.data_dir)
    if config.training.weights and config.stages:
        names = ", ".join(stage.name for stage in config.stages)
        print(
            f"fine-tuning from {config.training.weights}: one training, without the chain's stages ({names})",
            flush=True,
        )
    runs = stages.plan(config, cli.workdir(FLAGS), FLAGS.stages, FLAGS.init_from)
    if warning := start.warning(config):
        print(warning, file=sys.stderr, flush=True)
    (dry_run if FLAGS.dry_run else train)(runs)


if __name__ == "__main__":
    cli.run(main, outlives_output=True)
