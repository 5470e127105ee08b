"""A suite from its plan to its page: plan -> hours -> runs, the page after each -> page."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from vgg_keras import stop
from vgg_keras.errors import StoppedError
from vgg_keras.locks import locked, require_lockable
from vgg_keras.reproduction import hours, merging, plan, runner
from vgg_keras.reproduction.hours import Pace
from vgg_keras.reproduction.options import Options, require_sources
from vgg_keras.reproduction.plan import Job, Run
from vgg_keras.reproduction.suite import Suite
from vgg_keras.text_table import text_table

RENEWED_SECONDS = 60  # the page is renewed after a training, but not more often: charts take a second


def reproduce(suite: Suite, options: Options, start: runner.Start = runner.start_process) -> int:
    """Runs what is left of a suite and writes its page.

    Args:
        suite: of `options.suite_of`.
        options: of the command.
        start: starts a job's process.

    Returns:
        The exit status: 0, or that of the first job that failed; 137 where SIGKILL ended it.

    Raises:
        UserError: the folder holds other runs or is in use, or images that are still needed do not exist.
        StoppedError: by SIGTERM or Ctrl-C, with everything saved.
    """
    folder = options.folder
    if options.dry_run:
        require_lockable(folder, "--out")
    with nullcontext() if options.dry_run else locked(folder, "--out"):
        runs = plan.runs_of(suite, folder)
        merged = merging.read(options.merged, suite, runs)
        jobs = _planned(suite, runs, merged, options)
        if options.dry_run:
            return 0
        plan.note_given(suite, runs)
        from vgg_keras.reproduction import page  # reads posteriors, which starts TensorFlow

        renewed = time.monotonic()

        def write_page(failed: Mapping[str, int]) -> dict[str, Any]:
            lines = {
                name: f"{runner.ending(status)}: {runner.last_line(folder, name)}" for name, status in failed.items()
            }
            return page.write(suite, runs, folder, lines, merged)

        def ended(job: Job, failed: Mapping[str, int]) -> None:
            nonlocal renewed
            if job.test is not None or time.monotonic() - renewed < RENEWED_SECONDS:
                return
            try:
                write_page(failed)
                renewed = time.monotonic()
            except Exception as error:  # the trainings that are left take days: at their end it is raised
                print(f"the page was not renewed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

        failed = runner.run(jobs, folder, options.jobs, start, ended)
        if failed:  # before all that may raise
            names = ", ".join(f"{name} ({runner.ending(status)})" for name, status in failed.items())
            logs = folder / plan.LOGS
            print(f"failed: {names}; their output is in {logs}; the same command runs them again", flush=True)
        found = write_page(failed)
    if stop.requested():
        raise StoppedError(f"stopped; the same command resumes; {folder}/report.html has what is there")
    print(page.summary(found))
    print(f"the whole report: {folder}/report.html, report.md, results.json")
    return runner.exit_status(failed)


def _planned(suite: Suite, runs: Sequence[Run], merged: Sequence[dict[str, Any]], options: Options) -> Sequence[Job]:
    """The jobs of the tables that `--only` names, without those whose results are in `merged`; prints them and their hours."""
    asked = suite.only(options.only) if options.only else suite
    of_asked = [run for run in runs if run.training in asked.trainings]
    needed = merging.needed(of_asked, asked, merged)
    if merged:
        print(f"{len(of_asked) - len(needed)} of {len(of_asked)} runs are not needed: --merge has their results")
    jobs = plan.jobs_of(asked, needed, options.settings)
    tables, trained = ", ".join(dict.fromkeys(cell.table for cell in asked.cells)), sum(run.trained for run in needed)
    print(f"{suite.title}: tables {tables}; {len(needed)} runs, {trained} trained; {len(jobs)} jobs left", flush=True)
    if jobs:
        require_sources(asked, {job.run.training.data for job in jobs}, options)
        paces = hours.paces(needed, options.settings)
        merging.require_images(options.merged, merged, {data: pace.images for data, pace in paces.items()})
        _print_plan(asked, needed, jobs, paces, options)
    return jobs


def _print_plan(
    suite: Suite, runs: Sequence[Run], jobs: Sequence[Job], paces: Mapping[str, Pace], options: Options
) -> None:
    """The nets, what each has left, and the hours of this machine."""
    of_jobs = {job: hours.hours(job, paces[job.run.training.data]) for job in jobs}
    rows = [["net", "S", "starts from", "seeds", "trained", "training, h", "tests, h"]]
    for training in suite.trainings:
        own = [job for job in jobs if job.run.training == training]
        done = sum(run.trained for run in runs if run.training == training)
        begin = training.weights or training.start or "random"
        spent = [sum(of_jobs[job] for job in own if (job.test is None) == is_training) for is_training in (True, False)]
        seeds = ",".join(map(str, training.seeds))
        rows.append([training.name, training.scale, begin, seeds, str(done), *(f"{one:.2f}" for one in spent)])
    print(text_table(rows))
    how = {True: "from epochs made here", False: "from a few steps timed now"}
    for data, pace in paces.items():
        training = f"{pace.train_images:,} training and " if pace.train_images else ""
        print(f"{data}: {training}{pace.test_images:,} test images; hours {how[pace.measured]}")
    if any(len(training.seeds) == 1 and not training.weights for training in suite.trainings):
        print("one seed decides no claim about nets that are trained: the page will say so")
    beside = f"; {options.jobs} jobs at once share the machine" if options.jobs > 1 else ""
    total = sum(of_jobs.values())
    amount = f"{total:.1f} hours" if total >= 1 else f"{60 * total:.1f} minutes"
    print(f"about {amount} in all on this machine, and some seconds for the start of each job{beside}", flush=True)
