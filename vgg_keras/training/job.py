"""A training from its images to its final evaluation, in the order of section 3.1.

open and scan the images -> measure their colours -> resolve the configuration -> create the state ->
restore or initialize it -> loop over the epochs -> final evaluation
"""

import contextlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from vgg_keras import runtime, stop
from vgg_keras.cluster import VARIABLE, Cluster
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.scan import BadImage, without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source
from vgg_keras.errors import UserError
from vgg_keras.locks import locked
from vgg_keras.runs import CHECKPOINTS, read_config
from vgg_keras.text_table import text_table
from vgg_keras.training import final_evaluation, stages, start, workdir
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.loop import Job, Loop, Outcome
from vgg_keras.training.records import Records, percent
from vgg_keras.training.stages import PlannedRun
from vgg_keras.training.state import TrainingState, create_state
from vgg_keras.training.workers import Workers


def train(runs: Sequence[PlannedRun]) -> None:
    """Makes the planned runs, each from its start or from where it is; a finished stage of a chain is not made again.

    Raises:
        UserError: a mistake in the configuration, the data or a folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
        WorkerLostError: one of several workers is gone or never came.
    """
    results = finished_results(runs)
    strategy, workers, precision = choose_devices(runs)
    stop.listen()  # again: with several workers TensorFlow has put a listener of its own in the place of ours
    with workers.together():
        for place, run in enumerate(runs):
            if results[place] is None:
                if run.name != "single":
                    print(f"---- {run.name}: {run.config.architecture.name}, S={run.scale}", flush=True)
                results[place] = _train_one(run, runs[place + 1 :], strategy, workers, precision)
                keras.utils.clear_session()
        if runs[0].name != "single" and workers.chief:
            print(text_table(_chain_table(runs, results)))


def _train_one(
    run: PlannedRun, later: Sequence[PlannedRun], strategy: tf.distribute.Strategy, workers: Workers, precision: str
) -> dict:
    """One run; returns its result to the chief, and {} to other workers.

    What the final evaluations of `later` runs of the chain would refuse is refused before the first step.
    """
    stop.raise_if_requested()
    starting_weights = inspect_start(run, workers)
    with locked(run.workdir, "--workdir") if workers.chief else contextlib.nullcontext():
        # ---- the images
        source, bad_images = _open_images(run.config, workers)
        for planned in (run, *later):
            final_evaluation.require_possible(planned, source)

        # ---- what the images decide: the classes, the mean, the colour shift
        hardware = {"devices": list(strategy.extended.worker_devices), "precision": precision}
        config, statistics = workers.chief_first(
            lambda: workdir.prepare(run.workdir, run.config, source, hardware, starting_weights, writes=workers.chief)
        )
        print(f"colours of {statistics.images} training images: {statistics}", flush=True)

        # ---- the training (3.1)
        job = Job(config, source, statistics, bad_images, run.workdir, strategy, workers, precision)
        outcome = train_job(job)

        # ---- the final evaluation (3.2), of the best net
        def evaluate() -> dict:
            result = final_evaluation.evaluate(job, outcome)
            if run.name != "single":
                stages.finish(run.workdir, result)
            return result

        return workers.chief_alone(evaluate) or {}


def train_job(job: Job) -> Outcome:
    """Trains a job from where its folder is up to its last epoch.

    Raises:
        UserError: the loss or a weight is not finite, an image can no longer be read, or the workers see different folders.
        StoppedError: by a signal, with everything saved.
    """
    state = create_state(job.config, job.strategy, job.precision)
    chief = job.workers.chief
    checkpoints = Checkpoints(job.workdir / CHECKPOINTS, state.checkpoint(), job.config.checkpoint, writes=chief)
    records = _restore_or_initialize(job, state, checkpoints)
    return Loop(job, state, checkpoints, records).train()


def _restore_or_initialize(job: Job, state: TrainingState, checkpoints: Checkpoints) -> Records:
    """The newest checkpoint's state, or that of the first step with the weights that the run starts from."""
    config, workers = job.config, job.workers
    resumed = workers.chief_first(checkpoints.restore)  # which sets damaged ones aside
    if resumed:
        print(f"resumed from {checkpoints.newest()}", flush=True)
    if not workers.all_equal(state.step):
        raise UserError(
            f"All workers must see one --workdir. Received: {job.workdir}, where this one finds step {state.step}."
        )
    records = Records(job.workdir, int(state.validated) if resumed else None, writes=workers.chief)
    if resumed:
        return records
    if job.bad_images:
        records.add({"bad_images": [str(image) for image in job.bad_images]})
    if config.training.start:
        with job.strategy.scope():
            digest = read_config(job.workdir)["started_from"]
            moved = start.fill(state.model, config, job.source.classes, digest)
        random = f"left random: {', '.join(moved.left)}" if moved.left else "none left random"
        print(f"started from {config.training.start}: copied {', '.join(moved.copied)}; {random}", flush=True)
        records.add({"started_from": config.training.start, "copied": moved.copied, "left": moved.left})
    return records


def finished_results(runs: Sequence[PlannedRun]) -> list[dict | None]:
    """The results of finished stages, None for what is still to be done; each folder must hold what is asked for."""
    for run in runs:
        workdir.check(run.workdir, run.config, finished=run.result is not None)
    return [run.result for run in runs]


def choose_devices(runs: Sequence[PlannedRun]) -> tuple[tf.distribute.Strategy, Workers, str]:
    """The strategy, its workers and the precision, chosen for this machine and printed in a line."""
    config = runs[0].config
    _require_one_run(config.runtime.strategy)
    shared = {run.name: workdir.worker_fields(run.config) for run in runs}
    strategy = runtime.make_strategy(config.runtime, shared)
    precision, workers = runtime.choose_precision(config.runtime), Workers(strategy)
    with workers.together():
        several = f" over {workers.count} workers" if workers.count > 1 else ""
        chosen = runtime.choices(strategy, precision)
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


def inspect_start(run: PlannedRun, workers: Workers) -> start.Start | None:
    """The weights that a run starts from; None for a run that is resumed.

    The chief goes first, since it may have to download them.
    """
    return workers.chief_first(lambda: None if workdir.begun(run.workdir) else start.look(run.config))


def _open_images(config: Config, workers: Workers) -> tuple[Source, list[BadImage]]:
    """The images of a run without the bad ones, and those; both are printed.

    The chief goes first: what it found the others read from its cache, where they share it.
    """
    source, bad_images = workers.chief_first(lambda: without_bad_images(open_source(config.data), config))
    for image in bad_images:
        print(f"skipped: {image}", flush=True)
    for note in source.notes:
        print(f"note: {note}", flush=True)
    counts = f"{source.train.size} training and {source.val.size} validation images"
    counts += f" and {source.test.size} test images" if source.test else ""
    print(f"data: {source.description}: {counts}, {len(bad_images)} skipped", flush=True)
    if config.data.validation == "held_out" and not source.test:
        print("no images are apart for a test: those that validate close the run", flush=True)
    return source, bad_images


def _chain_table(runs: Sequence[PlannedRun], results: Sequence[dict]) -> list[list[str]]:
    """The stages and what each reached."""
    rows = [["stage", "net", "S", "epochs", "validation top-1 error", "final evaluation, top-1 error"]]
    for run, result in zip(runs, results, strict=True):
        errors = percent(result["validation_top1_error"]), percent(result["top1_error"])
        rows.append([run.name, run.config.architecture.name, run.scale, str(result["epochs"]), *errors])
    return rows
