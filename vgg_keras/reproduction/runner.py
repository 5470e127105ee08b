"""Runs the jobs of a suite, some at a time: each waits for the run that it needs; a failure stops only what needs it."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vgg_keras import stop
from vgg_keras.errors import INTERRUPTED, NO_ROOM
from vgg_keras.reproduction.plan import LOGS, Job, finished_training

POLL_SECONDS = 0.2


class Process(Protocol):
    """What a started job is: a `Popen`, or in tests a forked process."""

    pid: int

    def poll(self) -> int | None: ...
    def send_signal(self, number: signal.Signals) -> None: ...


Start = Callable[[Sequence[str], Path], Process]  # a command line and its log


def start_process(command: Sequence[str], log: Path) -> subprocess.Popen:
    """A job as a process in a group of its own: Ctrl-C of the terminal is ours to pass on, once. It stops if we are killed."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=stop.environment(),
            start_new_session=True,
        )


def run(
    jobs: Sequence[Job],
    folder: Path,
    at_once: int,
    start: Start = start_process,
    ended: Callable[[Job, Mapping[str, int]], None] = lambda job, failed: None,
) -> dict[str, int]:
    """Runs jobs to their end, in their order where they need not wait.

    Args:
        jobs: of `plan.jobs_of`.
        folder: of the suite; logs go there.
        at_once: how many jobs run at the same time.
        start: starts one.
        ended: called after each job that has ended, with those that failed so far.

    Returns:
        The exit status of each job that failed, by name.

    After a stop request, and when the disk is full, no job is started any more and those that run are asked to save. An error
    ends them in the same way, since nobody would be left who could stop them.
    """
    running: dict[Job, tuple[Process, float]] = {}
    try:
        return _run(list(jobs), running, folder, at_once, start, ended)
    except BaseException:
        _ask_to_save(running)
        for process, _ in running.values():
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
        raise


def _ask_to_save(running: Mapping[Job, tuple[Process, float]]) -> None:
    for process, _ in running.values():
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)


def _run(
    waiting: list[Job],
    running: dict[Job, tuple[Process, float]],
    folder: Path,
    at_once: int,
    start: Start,
    ended: Callable[[Job, Mapping[str, int]], None],
) -> dict[str, int]:
    """The loop of `run`; `running` holds what runs, also when it is left by an error."""
    failed: dict[str, int] = {}
    stopping = False
    while waiting or running:
        if stop.requested() and not stopping:
            stopping, waiting = True, []
            _ask_to_save(running)
        while len(running) < at_once and (job := _next(waiting, running)):
            waiting.remove(job)
            log = _log_of(folder, job.name)
            log.parent.mkdir(parents=True, exist_ok=True)
            print(f"begin {job.name}, output in {log}", flush=True)
            running[job] = start(job.command, log), time.monotonic()
        if not running:
            break  # what waits needs a run that failed
        for job, (process, began) in list(running.items()):
            status = process.poll()
            if status is None:
                continue
            del running[job]
            seconds = time.monotonic() - began
            if status == 0:
                print(f"end   {job.name}, {seconds:,.0f} s", flush=True)
                ended(job, failed)
            # a request may have reached the jobs too, while `ended` wrote the page
            elif not ((stopping or stop.requested()) and status in (INTERRUPTED, -signal.SIGTERM)):
                failed[job.name] = status
                print(f"fail  {job.name}, {ending(status)}: {last_line(folder, job.name)}", flush=True)
                if status == NO_ROOM and not stopping:  # what the others would write has no room either
                    stopping, waiting = True, []
                    _ask_to_save(running)
                ended(job, failed)
        time.sleep(POLL_SECONDS if running else 0)
    return failed


def _next(waiting: Sequence[Job], running: dict[Job, tuple]) -> Job | None:
    """The first job that can start: its net, or the one that it starts from, is trained, and no other job works in its run."""
    busy = {job.run.folder for job in running}
    for job in waiting:
        if job.run.folder in busy:
            continue
        if job.test is not None and not job.run.trained:
            continue
        if job.test is None and job.run.start and not finished_training(job.run.start):
            continue
        return job
    return None


def _log_of(folder: Path, name: str) -> Path:
    """The file of a job's output."""
    return folder / LOGS / f"{name.replace('/', '_')}.log"


def exit_status(failed: Mapping[str, int]) -> int:
    """The exit status of a suite: 0, or that of the first job that failed; after a signal a shell's, such as 137 of SIGKILL."""
    return next((status if status > 0 else 128 - status for status in failed.values()), 0)


def ending(status: int) -> str:
    """How a process that failed has ended: its exit status, or the signal that ended it, as where memory was full."""
    return f"status {status}" if status > 0 else f"ended by {signal.Signals(-status).name}"


def last_line(folder: Path, name: str) -> str:
    """The last line of the output of a job."""
    log = _log_of(folder, name)
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][-300:] if lines else "no output"
