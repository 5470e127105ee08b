"""Several processes of one training on this machine: started together, and started again together when one dies."""

import contextlib
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
# A lost worker is noticed within 10 s; then those that are left end by themselves, and say which one it was.
SETTLE_SECONDS = 12.0


class Worker:
    """One process of the run.

    Attributes:
        process: it.
        name: its rank and address, for a person.
        log: where its output goes; None: to ours.
    """

    def __init__(self, cluster: Cluster, arguments: Sequence[str], gpus: str | None, log: Path | None):
        environment = {**os.environ, VARIABLE: cluster.described()}
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus
        with contextlib.ExitStack() as stack:
            output = None if log is None else stack.enter_context(open(log, "a"))
            # a session of its own: Ctrl-C of the terminal is ours to pass on, once
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.name, self.log = cluster.name(cluster.rank), log


def launch(arguments: Sequence[str], workers: int, restarts: int, workdir: Path, program: Sequence[str] = TRAIN) -> int:
    """Runs `vgg_keras.train` with these arguments in so many processes until it is done; returns its status.

    Args:
        arguments: of the command.
        workers: processes.
        restarts: after a death, at most so often without a new checkpoint.
        workdir: that the arguments name.
        program: what Python runs.
    """
    failures, gpus, made = 0, deal_gpus(workers), missing(workdir)
    while True:
        before = _progress(workdir)
        with _started([*program, *arguments], gpus, workdir) as running:
            statuses = _watched(running)
        status = _of_all(statuses)
        if status in (0, WRONG_USE, NO_ROOM, INTERRUPTED):
            if status in (WRONG_USE, NO_ROOM):
                _quote(running, statuses, status)
            _clear(workdir, made)
            return status
        for worker, found in zip(running, statuses, strict=True):
            if found not in (0, LOST):
                _tell(f"{worker.name} {_ended(found)}")
        _quote(running, statuses, LOST)
        if stop.requested():
            return status
        failures = 1 if _progress(workdir) - before else failures + 1
        if failures > restarts:
            _tell(f"given up: started again {failures - 1} times without a new checkpoint (--restarts={restarts})")
            return status
        _tell(f"starting all {workers} workers again, from the last checkpoint")


def deal_gpus(workers: int) -> list[str | None]:
    """The value of CUDA_VISIBLE_DEVICES for each worker; None where the machine has no GPU.

    Raises:
        UserError: they cannot be dealt out equally.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    gpus = sorted(found, key=int) if named is None else [gpu for gpu in named.split(",") if gpu not in ("", "-1")]
    if not gpus:
        return [None] * workers
    if len(gpus) % workers:
        raise UserError(f"GPUs are dealt out equally. Received: {len(gpus)} GPUs for --workers={workers}.")
    return [",".join(gpus[rank * len(gpus) // workers : (rank + 1) * len(gpus) // workers]) for rank in range(workers)]


@contextlib.contextmanager
def _started(arguments: Sequence[str], gpus: Sequence[str | None], workdir: Path) -> Iterator[list[Worker]]:
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
            if log:
                log.parent.mkdir(parents=True, exist_ok=True)
            running.append(Worker(Cluster(addresses, rank), arguments, share, log))
            where = f", output in {log}" if log else ""
            _tell(f"{running[-1].name}: process {running[-1].process.pid}{where}")
        yield running
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.wait()


def _watched(running: Sequence[Worker]) -> list[int]:
    """The statuses of all; once one has failed the others have `SETTLE_SECONDS` to end by themselves."""
    told, deadline = False, None
    while True:
        statuses = [worker.process.poll() for worker in running]
        if None not in statuses:
            return statuses
        if stop.requested() and not told:
            told = True
            for worker in running:
                worker.process.send_signal(signal.SIGTERM)
        # not after a wish to stop: the first worker may take its time to save
        if deadline is None and any(status not in (None, 0, INTERRUPTED) for status in statuses):
            deadline = time.monotonic() + SETTLE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            for worker, status in zip(running, statuses, strict=True):
                if status is None:
                    _tell(f"{worker.name} does not end by itself: killed")
                    worker.process.kill()
                    worker.process.wait()
        time.sleep(0.1)


def _of_all(statuses: Sequence[int]) -> int:
    """One status for the run: what only a user can mend before a wish to stop, a death's cause before those that noticed it."""
    for status in (WRONG_USE, NO_ROOM, INTERRUPTED):
        if status in statuses:
            return status
    found = [status for status in statuses if status not in (0, LOST)] or [status for status in statuses if status]
    return (found[0] if found[0] > 0 else 128 - found[0]) if found else 0


def _quote(running: Sequence[Worker], statuses: Sequence[int], wanted: int) -> None:
    """The last line of those workers' logs that ended with this status."""
    for worker, status in zip(running, statuses, strict=True):
        if status == wanted and worker.log:
            lines = worker.log.read_text(errors="replace").splitlines()
            _tell(f"{worker.name}: {lines[-1] if lines else _ended(status)}")


def _clear(workdir: Path, made: list[Path]) -> None:
    """Leaves no logs behind of workers that did nothing, and none of the folders that were `made` for them."""
    if workdir.is_dir() and {path.name for path in workdir.iterdir()} <= {WORKER_LOGS, LOCK}:
        shutil.rmtree(workdir / WORKER_LOGS, ignore_errors=True)
        (workdir / LOCK).unlink(missing_ok=True)
        remove_empty(made)


def _ended(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _progress(workdir: Path) -> set[Path]:
    """The checkpoints and finished stages of a run or a chain: there are more of them as it goes on."""
    folders = [workdir, *workdir.glob("*/")]
    finished = {folder / FINISHED for folder in folders if (folder / FINISHED).exists()}
    return finished.union(*(checkpoints_in(folder / CHECKPOINTS) for folder in folders))


def _tell(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)
