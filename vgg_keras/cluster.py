"""The workers of one run on several machines: who they are (TF_CONFIG), how they meet, and what is said of a lost one.

Starts no framework. TensorFlow's own start waits for an absent worker without end and lets no Python run meanwhile, not even
for Ctrl-C; so the workers come together here first, within a time, and see that they are about to make the same run.
"""

import contextlib
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from vgg_keras.config import difference
from vgg_keras.errors import UserError, WorkerLostError

VARIABLE = "TF_CONFIG"
GREETING_BYTES = 2**20  # more is no worker of ours
PATIENCE = 5.0  # seconds for an answer of one that is there


@dataclass(frozen=True)
class Cluster:
    """The workers of a run, as TF_CONFIG names them: a `chief`, if there is one, is the first.

    Attributes:
        addresses: host:port of each.
        rank: which of them this process is; 0, the chief, writes.
    """

    addresses: tuple[str, ...]
    rank: int

    @classmethod
    def from_environment(cls) -> "Cluster | None":
        """The cluster of TF_CONFIG; None where it is not set or names a single worker.

        Raises:
            UserError: it is no such description, or this process no training worker of it.
        """
        text = os.environ.get(VARIABLE, "").strip()
        if not text:
            return None
        try:
            described = json.loads(text)
            jobs, task = described.get("cluster", {}), described.get("task", {})
            chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
            addresses = tuple(f"{host}:{int(port)}" for host, port in (one.rsplit(":", 1) for one in chiefs + workers))
            kind, index = task.get("type", "worker"), int(task.get("index", 0))
            mine = {"chief": chiefs, "worker": workers}[kind]
            if len(addresses) > 1 and not 0 <= index < len(mine):
                raise ValueError(f"task {index} of {len(mine)}")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(
                f"{VARIABLE} must name host:port of each worker, and which this one is, as in "
                '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}. '
                f"Received: {text} ({type(error).__name__}: {error})"
            ) from None
        return cls(addresses, index + len(chiefs) * (kind == "worker")) if len(addresses) > 1 else None

    def described(self) -> str:
        """As TF_CONFIG says it."""
        task = {"type": "worker", "index": self.rank}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})

    def name(self, rank: int) -> str:
        """A worker, for a person."""
        return f"worker {rank} ({self.addresses[rank]})"

    def lost(self, text: str) -> WorkerLostError:
        """What TensorFlow's error of a collective operation means: the workers that it names, with their addresses."""
        ranks = {int(rank) for rank in re.findall(r"/job:worker(?:/replica:\d+)?/task:(\d+)", text)} - {self.rank}
        if not ranks and "CoordinationService" in text:  # which the first worker runs
            ranks = {0}
        names = ", ".join(self.name(rank) for rank in sorted(ranks) if rank < len(self.addresses))
        return WorkerLostError(
            f"All workers make each step together. Received: one that ended or does not answer: {names or 'not told which'}. "
            "Start all again: the same command goes on from the last checkpoint."
        )


def meet(cluster: Cluster, seconds: float, alike: dict[str, Any]) -> None:
    """Returns when all workers are there, and leaves their ports free for TensorFlow.

    The others call on the first, which knows who is missing and tells them.

    Args:
        cluster: as this process sees it.
        seconds: to wait for the others.
        alike: plain JSON values that must be the first worker's: all make one run.

    Raises:
        WorkerLostError: a worker did not come; it is named.
        UserError: a worker was started for another run; the difference is named.
    """
    deadline = time.monotonic() + seconds
    missing = _gather(cluster, deadline, alike) if cluster.rank == 0 else _report(cluster, deadline, seconds, alike)
    if missing:
        names = ", ".join(cluster.name(rank) for rank in missing)
        raise WorkerLostError(
            f"All {len(cluster.addresses)} workers must be there within {seconds:g} s (runtime.start_seconds). "
            f"Received: none of {names}."
        )


def _gather(cluster: Cluster, deadline: float, alike: dict[str, Any]) -> list[int]:
    """The first worker's part: the ranks that did not come."""
    others = range(1, len(cluster.addresses))
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(socket.create_server(("", _port(cluster.addresses[0]))))
        except OSError as error:
            raise WorkerLostError(
                f"A worker's port must be free. Received: {cluster.name(0)}: {error.strerror}."
            ) from None
        came: dict[int, tuple[socket.socket, dict]] = {}
        while len(came) < len(others) and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # one that is no worker of ours
                connection = stack.enter_context(server.accept()[0])
                greeting = _read(connection, PATIENCE)
                if greeting["rank"] in others:
                    came[greeting["rank"]] = connection, greeting["alike"]
        missing = [rank for rank in others if rank not in came]
        refused = None
        for rank, (_, theirs) in sorted(came.items()):
            if found := difference(alike, theirs):
                refused = refused or f"All workers make one run. Received: {cluster.name(rank)} with {found}."
        for connection, _ in came.values():
            with contextlib.suppress(OSError):
                _write(connection, {"missing": missing, "refused": refused})
        for connection, _ in came.values():
            # they close first: whoever does keeps its port for a minute, and this one is needed
            connection.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                connection.recv(1)
        if refused:
            raise UserError(refused)
        return missing


def _report(cluster: Cluster, deadline: float, seconds: float, alike: dict[str, Any]) -> list[int]:
    """Another worker's part: the ranks that did not come, as the first one tells, or itself."""
    host = cluster.addresses[0].rsplit(":", 1)[0]
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(
                (host, _port(cluster.addresses[0])), timeout=min(left, PATIENCE)
            ) as connection:
                _write(connection, {"rank": cluster.rank, "alike": alike})
                answer = _read(connection, seconds + PATIENCE)  # it may have begun to wait just now
                missing, refused = answer["missing"], answer["refused"]
        except (OSError, ValueError, KeyError, TypeError):  # not there yet, or gone again
            time.sleep(0.2)
            continue
        if refused:
            raise UserError(refused)
        return missing
    return [0]


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def _write(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """One line of JSON; `ValueError` for anything else."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as file:
        return json.loads(file.readline(GREETING_BYTES))
