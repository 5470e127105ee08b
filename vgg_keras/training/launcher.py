"""Several processes of one training on this machine: all are started together, and all again when one dies."""

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vgg_keras import stop
from vgg_keras.cluster import VARIABLE, Cluster
from vgg_keras.errors import INTERRUPTED, LOST, NO_ROOM, WRONG_USE, UserError
from vgg_keras.locks import LOCK, missing, remove_empty
from vgg_keras.runs import CHECKPOINTS, FINISHED, WORKER_LOGS, checkpoints_in

TRAIN = ("-m", "vgg_keras.train")
# A lost worker is noticed within 10 s; then the others end by themselves and name it.
END_SECONDS = 12.0
DEVICES = Path("/dev")  # with a file for each GPU, nvidia0 and so on


@dataclasses.dataclass(frozen=True)
class Worker:
    """One process of the run.

    Attributes:
        name: its rank and address.
        process: it.
        log: the file of its output; None: the output is ours.
    """

    name: str
    process: subprocess.Popen
    log: Path | None


def launch(arguments: Sequence[str], workers: int, restarts: int, workdir: Path, program: Sequence[str] = TRAIN) -> int:
    """Runs `vgg_keras.train` in several processes until it is done.

    Args:
        arguments: of the command.
        workers: how many processes.
        restarts: how often all are started again without a new checkpoint in between.
        workdir: the run's folder, which the arguments name.
        program: what Python runs.

    Returns:
        The exit status of the run.
    """
    failures, gpus, made = 0, deal_gpus(workers), missing(workdir)
    while True:
        before = _progress(workdir)
        with _started([*program, *arguments], gpus, workdir) as running:
            _wait(running)
        statuses = [worker.process.returncode for worker in running]
        for worker, status in zip(running, statuses, strict=True):
            if status not in (0, INTERRUPTED):
                _print(f"{worker.name} {_ended(status)}{_last_line(worker)}")
        status = _of_all(statuses)
        if status in (0, WRONG_USE, NO_ROOM, INTERRUPTED):
            _clear(workdir, made)
            return status
        if stop.requested():
            return status
        failures = 1 if _progress(workdir) - before else failures + 1
        if failures > restarts:
            _print(f"given up: started again {failures - 1} times without a new checkpoint (--restarts={restarts})")
            return status
        _print(f"starting all {workers} workers again, from the last checkpoint")


def deal_gpus(workers: int) -> list[str | None]:
    """The value of CUDA_VISIBLE_DEVICES for each worker; None if the machine has no GPU.

    Raises:
        UserError: they cannot be dealt out equally.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA counts from 0 what a container holds; the names of their files keep the machine's numbers
    found = [str(place) for place, _ in enumerate(DEVICES.glob("nvidia[0-9]*"))]
    gpus = found if named is None else [gpu for gpu in named.split(",") if gpu not in ("", "-1")]
    if not gpus:
        return [None] * workers
    if len(gpus) % workers:
        raise UserError(f"GPUs are dealt out equally. Received: {len(gpus)} GPUs for --workers={workers}.")
    return [",".join(gpus[rank * len(gpus) // workers : (rank + 1) * len(gpus) // workers]) for rank in range(workers)]


@contextlib.contextmanager
def _started(command: Sequence[str], gpus: Sequence[str | None], workdir: Path) -> Iterator[list[Worker]]:
    """A worker for each entry of `gpus`; none outlives this context."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in gpus]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    running: list[Worker] = []
    try:
        for rank, share in enumerate(gpus):
            log = workdir / WORKER_LOGS / f"{rank}.log" if rank else None
            running.append(_start(command, Cluster(addresses, rank), share, log))
            where = f", output in {log}" if log else ""
            _print(f"{running[-1].name}: process {running[-1].process.pid}{where}")
        yield running
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.wait()


def _start(command: Sequence[str], cluster: Cluster, gpus: str | None, log: Path | None) -> Worker:
    environment = {**stop.environment(), VARIABLE: cluster.tf_config()}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    with contextlib.ExitStack() as stack:
        output = None
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(open(log, "a"))
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C of the terminal is ours to pass on, once
        )
    return Worker(cluster.name(cluster.rank), process, log)


def _wait(running: Sequence[Worker]) -> None:
    """Returns when all have ended. Once one has failed, the others have `END_SECONDS` to end by themselves."""
    passed_on, deadline = False, None
    while None in (statuses := [worker.process.poll() for worker in running]):
        if stop.requested() and not passed_on:
            passed_on = True
            for worker in running:
                worker.process.send_signal(signal.SIGTERM)
        # none after a request to stop: the first worker may take its time to save
        if deadline is None and any(status not in (None, 0, INTERRUPTED) for status in statuses):
            deadline = time.monotonic() + END_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            for worker, status in zip(running, statuses, strict=True):
                if status is None:
                    _print(f"{worker.name} does not end by itself: killed")
                    worker.process.kill()
                    worker.process.wait()
        time.sleep(0.1)


def _of_all(statuses: Sequence[int]) -> int:
    """One status for the run: what only a user can correct, then a request to stop, then a death, then its consequences."""
    for status in (WRONG_USE, NO_ROOM, INTERRUPTED):
        if status in statuses:
            return status
    found = [status for status in statuses if status not in (0, LOST)] or [status for status in statuses if status]
    return (found[0] if found[0] > 0 else 128 - found[0]) if found else 0


def _ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _last_line(worker: Worker) -> str:
    """The end of a failed worker's log, such as its error: `_clear` may remove the log."""
    lines = worker.log.read_text(errors="replace").splitlines() if worker.log else []
    return f": {lines[-1]}" if lines else ""


def _clear(workdir: Path, made: list[Path]) -> None:
    """Removes the logs of workers that did nothing, and the folders that were `made` for them."""
    if workdir.is_dir() and {path.name for path in workdir.iterdir()} <= {WORKER_LOGS, LOCK}:
        shutil.rmtree(workdir / WORKER_LOGS, ignore_errors=True)
        (workdir / LOCK).unlink(missing_ok=True)
        remove_empty(made)


def _progress(workdir: Path) -> set[Path]:
    """The checkpoints and finished stages of a run or a chain, of which there are more as it trains."""
    folders = [workdir, *workdir.glob("*/")]
    finished = {folder / FINISHED for folder in folders if (folder / FINISHED).exists()}
    return finished.union(*(checkpoints_in(folder / CHECKPOINTS) for folder in folders))


def _print(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)
