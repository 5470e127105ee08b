"""What a training would do and how long its steps would take here, with its error messages; no run is begun."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.data.multi_label import for_training
from vgg_keras.data.scan import remarks, without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.data.splits import Source
from vgg_keras.locks import require_lockable
from vgg_keras.runs import CHECKPOINTS, checkpoints_in
from vgg_keras.text_table import text_table
from vgg_keras.training import estimate, final_evaluation, workdir
from vgg_keras.training.checkpoints import newest_intact, step_of
from vgg_keras.training.job import choose_devices, finished_results, inspect_start, require_trainable
from vgg_keras.training.stages import PlannedRun
from vgg_keras.training.workers import Workers
from vgg_keras.weights.initialize import Start


def dry_run(runs: Sequence[PlannedRun]) -> None:
    """Prints the plan, checks it as `job.train` does, and prints the time to expect.

    Raises:
        UserError: what `job.train` refuses before its first step.
    """
    results = finished_results(runs)
    strategy, workers, precision = choose_devices(runs)
    with workers.together():
        # ---- the plan, from the list of images
        source = workers.chief_first(lambda: open_source(runs[0].config.data, runs[0].stated))  # which may prepare it
        print(text_table(_plan_table(runs, results, source)), flush=True)

        # ---- what the run refuses
        checkpoints = workers.chief_only(  # the lock is tried, which two workers cannot at once
            lambda: [None if result else _require_resumable(run) for run, result in zip(runs, results, strict=True)]
        ) or [None] * len(runs)
        starts = _starts(runs, results, workers)
        listed = source.train.size
        source, bad_images = workers.chief_first(lambda: without_bad_images(source, runs[0].config))
        source = for_training(source, runs[0].config.architecture)
        for line in remarks(bad_images, source.notes):
            print(line, flush=True)
        for run, result, start in zip(runs, results, starts, strict=True):
            if not result:
                workdir.check_images(run.workdir, run.config, source, start)
                final_evaluation.require_possible(run, source)
                require_trainable(run.config, source)
        runs = [
            dataclasses.replace(run, config=workdir.with_layers(run.config, start)) if start else run
            for run, start in zip(runs, starts, strict=True)
        ]
        if source.train.size != listed:
            print(
                f"without the images that cannot be read:\n{text_table(_plan_table(runs, results, source))}",
                flush=True,
            )

        # ---- the time
        speeds = estimate.speeds([run.config for run in runs], source, strategy, precision)
        _print_times(runs, results, checkpoints, speeds, source, strategy.num_replicas_in_sync)


def _require_resumable(run: PlannedRun) -> Path | None:
    """Refuses a folder in use, or without an intact checkpoint where there should be one; returns the newest."""
    require_lockable(run.workdir, "--workdir")
    newest, damaged = newest_intact(run.workdir / CHECKPOINTS)
    for path, reason in damaged:
        print(f"damaged checkpoint: {path}: {reason}; the run would resume from an older one", flush=True)
    return newest


def _starts(runs: Sequence[PlannedRun], results: Sequence[dict | None], workers: Workers) -> list[Start | None]:
    """The inspected start of each run that is still to begin; None where it is another stage of the plan."""
    trained_before = {str(run.workdir) for run, result in zip(runs, results, strict=True) if not result}
    return [
        None if result or run.config.training.start in trained_before else inspect_start(run, workers)
        for run, result in zip(runs, results, strict=True)
    ]


def _plan_table(runs: Sequence[PlannedRun], results: Sequence[dict | None], source: Source) -> list[list[str]]:
    """The stages, what each does and how much it is."""
    rows = [["stage", "net", "S", "rate", "trained", "starts from", "steps", "images", "operations", "state"]]
    for run, result in zip(runs, results, strict=True):
        work, training = estimate.Work.of(run.config, source), run.config.training
        begun = "begun" if checkpoints_in(run.workdir / CHECKPOINTS) else "new"
        what = [run.name, run.config.architecture.name, run.scale, f"{training.learning_rate:g}", training.layers]
        size = [f"{work.steps:,}", f"{work.images:,}", f"{work.operations:.2g}"]
        rows.append([*what, training.start or "random", *size, "finished" if result else begun])
    return rows


def _print_times(
    runs: Sequence[PlannedRun],
    results: Sequence[dict | None],
    checkpoints: Sequence[Path | None],
    speeds: Sequence[estimate.Speed],
    source: Source,
    replicas: int,
) -> None:
    total, rows = 0.0, [["stage", "timed", "an image", "a step", "all steps"]]
    for run, result, checkpoint, speed in zip(runs, results, checkpoints, speeds, strict=True):
        work = estimate.Work.of(run.config, source)
        seconds = speed.run(work, replicas)
        total += 0.0 if result else seconds * (1 - step_of(checkpoint) / work.steps if checkpoint else 1)
        step = speed.step(min(run.config.data.batch, source.train.size) / replicas)
        times = f"{speed.image:.3g} s", f"{step:.3g} s", estimate.duration(seconds)
        rows.append([run.name, f"{speed.images} images", *times])
    print(text_table(rows))
    by_plateau = any(run.config.training.schedule == "plateau" for run in runs)
    earlier = "; the plateau rule may end a training before" if by_plateau else ""
    what = "the steps that are not made yet" if any(results) or any(checkpoints) else "all epochs"
    print(
        f"about {estimate.duration(total)} for {what}, without validation{earlier}. "
        "A step takes the time of an image, times the batch, plus the time of the weights' update"
    )
