"""A training from its images to its final evaluation, in the order of section 3.1.

open and scan the images -> measure their colours -> resolve the configuration -> create the state ->
restore or initialize it -> loop over the epochs -> final evaluation
"""

import contextlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from vgg_keras import processor, runtime, stop
from vgg_keras.cluster import VARIABLE, Cluster
from vgg_keras.config import Config
from vgg_keras.data import pipeline
from vgg_keras.data.multi_label import for_training
from vgg_keras.data.scan import BadImage, remarks, without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source
from vgg_keras.errors import UserError
from vgg_keras.evaluation.measures import percent
from vgg_keras.locks import locked
from vgg_keras.runs import CHECKPOINTS, begun, read_config
from vgg_keras.text_table import text_table
from vgg_keras.training import class_weights, final_evaluation, schedule, stages, workdir
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.loop import Job, Loop, Outcome
from vgg_keras.training.records import Records
from vgg_keras.training.stages import PlannedRun
from vgg_keras.training.state import TrainingState, create_state
from vgg_keras.training.workers import Workers
from vgg_keras.weights import initialize


def train(runs: Sequence[PlannedRun]) -> None:
    """Trains the planned runs. A run with a checkpoint is resumed; a finished stage of a chain is skipped.

    Raises:
        UserError: a mistake in the configuration, the data or a folder.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
        WorkerLostError: one of several workers ended or did not start.
    """
    results = finished_results(runs)
    strategy, workers, precision = choose_devices(runs)
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
    """One run; returns its result on the chief, and {} on other workers.

    What the final evaluation would refuse, of this run or of the `later` ones of its chain, is refused before the first step.
    """
    workers.chief_first(stop.raise_if_requested)  # of any worker, as in the final evaluation of the stage before
    starting_weights = inspect_start(run, workers)
    with contextlib.ExitStack() as stack:
        workers.chief_only(lambda: stack.enter_context(locked(run.workdir, "--workdir")))

        # ---- open and scan the images
        source, bad_images = _open_images(run, workers)
        for planned in (run, *later):
            final_evaluation.require_possible(planned, source)
            require_trainable(planned.config, source)

        # ---- measure their colours and resolve the configuration: classes, mean, colour shift
        hardware = {
            "devices": list(strategy.extended.worker_devices),
            "processor": processor.description(),
            "precision": precision,
        }
        config, statistics = workers.chief_first(
            lambda: workdir.prepare(run.workdir, run.config, source, hardware, starting_weights, writes=workers.chief)
        )
        print(f"colours of {statistics.images} training images: {statistics}", flush=True)
        if (weights := class_weights.of_classes(config.training, source.train)) is not None:
            print(class_weights.described(weights, source.classes), flush=True)

        # ---- create the state, restore or initialize it, loop over the epochs (3.1)
        job = Job(config, run.config, source, statistics, bad_images, run.workdir, strategy, workers, precision)
        outcome = train_job(job)

        # ---- final evaluation (3.2) of the kept net
        def evaluate() -> dict:
            result = final_evaluation.of_run(run, job, outcome)
            if run.name != "single":
                stages.finish(run.workdir, result)
            return result

        return workers.chief_only(evaluate) or {}


def train_job(job: Job) -> Outcome:
    """Trains a job up to its last epoch, from its newest checkpoint if there is one.

    Raises:
        UserError: the loss or a weight is not finite, an image can no longer be read, or the workers see different folders.
        StoppedError: by a signal, with everything saved.
    """
    state = create_state(job.config, job.strategy, job.precision)
    chief = job.workers.chief
    checkpoints = Checkpoints(job.workdir / CHECKPOINTS, state.checkpoint(), job.config.checkpoint, writes=chief)
    records = _restore_or_initialize(job, state, checkpoints)
    outcome = Loop(job, state, checkpoints, records).train()
    state.release()
    return outcome


def _restore_or_initialize(job: Job, state: TrainingState, checkpoints: Checkpoints) -> Records:
    """Restores the newest checkpoint into the state, or initializes its weights from those that the run starts from."""
    config, workers = job.config, job.workers
    resumed = workers.chief_first(checkpoints.restore)  # which renames damaged ones
    if resumed:
        print(f"resumed from {checkpoints.newest()}", flush=True)
    if not workers.all_equal(state.step):
        raise UserError(
            f"All workers must see one --workdir. Received: {job.workdir}, where this one finds step {state.step}."
        )
    records = Records(job.workdir, int(state.epochs_done) if resumed else None, writes=workers.chief)
    if resumed:
        return records
    if job.bad_images:
        records.add({"bad_images": [str(image) for image in job.bad_images]})
    if config.training.start:
        with job.strategy.scope():
            digest = read_config(job.workdir)["started_from"]
            layers = initialize.initialize(state.model, config, job.source.classes, digest, job.given)
            if state.averaged is not None:
                state.averaged.set_weights(state.model.get_weights())
        copied, random = (", ".join(names) or "none" for names in (layers.copied, layers.random))
        print(f"started from {config.training.start}: copied {copied}; random: {random}", flush=True)
        records.add({"started_from": config.training.start, "copied": layers.copied, "random": layers.random})
    return records


def finished_results(runs: Sequence[PlannedRun]) -> list[dict | None]:
    """The result of each finished stage, None for other runs. Each folder must be empty or hold this very run."""
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
    if workers.count > 1:
        stop.listen()  # again: TensorFlow has replaced our signal handler by its own
    with workers.together():
        several = f" over {workers.count} workers" if workers.count > 1 else ""
        chosen = runtime.choices(strategy, precision)
        print(f"chosen: {chosen}{several}; input: {pipeline.choices(config.data)}", flush=True)
    return strategy, workers, precision


def _require_one_run(strategy: str) -> None:
    """Refuses a strategy by which each of several workers would train the run by itself, all in one workdir."""
    cluster = Cluster.from_environment()
    if cluster and strategy not in ("auto", "multi_worker"):
        raise UserError(
            f"{len(cluster.addresses)} workers, of {VARIABLE}, make one run by runtime.strategy=auto or multi_worker. "
            f"Received: {strategy}. Leave it out, or unset {VARIABLE}."
        )


def require_trainable(config: Config, source: Source) -> None:
    """Refuses a schedule, class weights or a metric that are impossible with these images, before the first step."""
    schedule.require_possible(config.training, pipeline.steps_per_epoch(source.train.size, config.data.batch))
    class_weights.require_possible(config.training, source)
    if source.multi_label and config.training.plateau_metric == "balanced_error":
        raise UserError(
            "The balanced error is of images of one class. "
            f"Received: training.plateau_metric=balanced_error for {source.name}, whose images have any number. "
            "top1_error follows the mean average precision there."
        )


def inspect_start(run: PlannedRun, workers: Workers) -> initialize.Start | None:
    """The inspected weights that a run starts from; None for a run that is resumed.

    The chief goes first, because it may have to download them.
    """
    return workers.chief_first(lambda: None if begun(run.workdir) else initialize.inspect(run.config))


def _open_images(run: PlannedRun, workers: Workers) -> tuple[Source, list[BadImage]]:
    """The images of a run without the bad ones, and the bad ones; both are printed.

    The chief goes first: the others read its scan from the cache, if they share it.
    """
    config = run.config
    source, bad_images = workers.chief_first(lambda: without_bad_images(open_source(config.data, run.stated), config))
    source = for_training(source, config.architecture)
    for line in remarks(bad_images, source.notes):
        print(line, flush=True)
    counts = f"{source.train.size} training and {source.val.size} validation images"
    counts += f" and {source.test.size} test images" if source.test else ""
    print(f"data: {source.description}: {counts}, {len(bad_images)} skipped", flush=True)
    if config.data.validation == "held_out" and not source.test:
        print("there are no test images: the final evaluation uses the validation images", flush=True)
    return source, bad_images


def _chain_table(runs: Sequence[PlannedRun], results: Sequence[dict]) -> list[list[str]]:
    """The stages and their errors."""
    name, key = "top-1 error", "top1_error"
    if "mean_average_precision" in results[-1]:
        name, key = "mAP", "mean_average_precision"
    rows = [["stage", "net", "S", "epochs", f"validation {name}", f"final evaluation, {name}"]]
    for run, result in zip(runs, results, strict=True):
        errors = percent(result[f"validation_{key}"]), percent(result[key])
        rows.append([run.name, run.config.architecture.name, run.scale, str(result["epochs"]), *errors])
    return rows
