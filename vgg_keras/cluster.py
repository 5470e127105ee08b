"""The workers of one run on several machines: TF_CONFIG, their meeting before the run, and the error of a lost one.

Starts no framework. TensorFlow waits for an absent worker without end, and no Python runs meanwhile, not even for Ctrl-C. So
the workers meet here first, within a time limit, and compare the run that they are about to make.
"""

import contextlib
import json
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from vgg_keras import stop
from vgg_keras.errors import UserError, WorkerLostError
from vgg_keras.plain_values import difference

VARIABLE = "TF_CONFIG"
GREETING_BYTES = 2**20  # of a worker's message at most
ANSWER_SECONDS = 5.0  # for the answer of a worker that is connected
POLL_SECONDS = 0.5  # how often a wait checks for a request to stop


@dataclass(frozen=True)
class Cluster:
    """The workers of a run, as TF_CONFIG names them; a `chief`, if there is one, is the first.

    Attributes:
        addresses: host:port of each.
        rank: this process's place among them; 0, the chief, writes.
    """

    addresses: tuple[str, ...]
    rank: int

    @classmethod
    def from_environment(cls) -> "Cluster | None":
        """The cluster of TF_CONFIG; None if it is not set or names a single worker.

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
            addresses = tuple(map(_address, chiefs + workers))
            kind, index = task.get("type", "worker"), int(task.get("index", 0))
            mine = {"chief": chiefs, "worker": workers}[kind]
            if len(addresses) > 1 and not 0 <= index < len(mine):
                raise ValueError(f"task {index} of {len(mine)}")
            if len(set(addresses)) < len(addresses):
                raise ValueError("two workers of one address")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(
                f"{VARIABLE} must name host:port of each worker, and which this one is, as in "
                '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}. '
                f"Received: {text} ({type(error).__name__}: {error})"
            ) from None
        return cls(addresses, index + len(chiefs) * (kind == "worker")) if len(addresses) > 1 else None

    def tf_config(self) -> str:
        """The value of TF_CONFIG for this process."""
        task = {"type": "worker", "index": self.rank}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})

    def name(self, rank: int) -> str:
        """A worker's rank and address, for messages."""
        return f"worker {rank} ({self.addresses[rank]})"

    def lost(self, text: str) -> WorkerLostError:
        """What TensorFlow's error of a collective operation means: the workers that it names, with their addresses."""
        ranks = {int(rank) for rank in re.findall(r"/job:worker(?:/replica:\d+)?/task:(\d+)", text)} - {self.rank}
        if not ranks and "CoordinationService" in text:  # which the first worker runs
            ranks = {0}
        names = ", ".join(self.name(rank) for rank in sorted(ranks) if rank < len(self.addresses))
        return WorkerLostError(
            f"All workers make each step together. Received: one that ended or does not answer: {names or 'an unknown one'}. "
            "Start all again: the same command resumes from the last checkpoint."
        )


def meet(cluster: Cluster, seconds: float, must_match: dict[str, Any]) -> None:
    """Returns when all workers are connected, with their ports free again for TensorFlow.

    The others connect to the first, which finds out who is missing and sends them the list.

    Args:
        cluster: as this process sees it.
        seconds: how long to wait for the others.
        must_match: plain JSON values that must equal the first worker's.

    Raises:
        WorkerLostError: a worker did not come; it is named.
        UserError: a worker was started for another run; the difference is named.
        StoppedError: by a signal, while it waited.
    """
    deadline = time.monotonic() + seconds
    # else TensorFlow waits for a worker that only some of them name
    must_match = {**must_match, "workers": len(cluster.addresses)}
    missing = (
        _gather(cluster, deadline, must_match) if cluster.rank == 0 else _report(cluster, deadline, seconds, must_match)
    )
    if missing:
        names = ", ".join(cluster.name(rank) for rank in missing)
        raise WorkerLostError(
            f"All {len(cluster.addresses)} workers must be there within {seconds:g} s (runtime.start_seconds). "
            f"Received: none of {names}."
        )


def _gather(cluster: Cluster, deadline: float, must_match: dict[str, Any]) -> list[int]:
    """The first worker's part: the ranks that did not come."""
    others = range(1, len(cluster.addresses))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_own_server(cluster))
        came: dict[int, tuple[socket.socket, dict]] = {}
        while len(came) < len(others) and (remaining := deadline - time.monotonic()) > 0:
            stop.raise_if_requested()
            server.settimeout(min(remaining, POLL_SECONDS))
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no worker of this run
                connection = stack.enter_context(server.accept()[0])
                greeting = _read(connection, ANSWER_SECONDS)
                if greeting["rank"] in others:
                    came[greeting["rank"]] = connection, greeting["must_match"]
        missing = [rank for rank in others if rank not in came]
        refused = None
        for rank, (_, theirs) in sorted(came.items()):
            if found := difference(must_match, theirs):
                refused = refused or f"All workers make one run. Received: {cluster.name(rank)} with {found}."
        for connection, _ in came.values():
            with contextlib.suppress(OSError):
                _write(connection, {"missing": missing, "refused": refused})
        for connection, _ in came.values():
            # they close first: the system keeps the port of the side that does for a minute, and this one is needed
            connection.settimeout(ANSWER_SECONDS)
            with contextlib.suppress(OSError):
                connection.recv(1)
        if refused:
            raise UserError(refused)
        return missing


def _report(cluster: Cluster, deadline: float, seconds: float, must_match: dict[str, Any]) -> list[int]:
    """Another worker's part: the ranks that did not come, from the first worker, or the first worker itself."""
    _own_server(cluster).close()  # TensorFlow ends in a traceback where another process has the port
    host = cluster.addresses[0].rsplit(":", 1)[0]
    while (remaining := deadline - time.monotonic()) > 0:
        stop.raise_if_requested()
        try:
            with socket.create_connection(
                (host, _port(cluster.addresses[0])), timeout=min(remaining, ANSWER_SECONDS)
            ) as connection:
                _write(connection, {"rank": cluster.rank, "must_match": must_match})
                answer = _read(connection, seconds + ANSWER_SECONDS)  # its waiting may have begun just now
                missing, refused = answer["missing"], answer["refused"]
        except (OSError, ValueError, KeyError, TypeError):  # not connected yet, or lost again
            time.sleep(0.2)
            continue
        if refused:
            raise UserError(refused)
        return missing
    return [0]


def _own_server(cluster: Cluster) -> socket.socket:
    """A server at this worker's port, which TensorFlow takes after the meeting."""
    try:
        return socket.create_server(("", _port(cluster.addresses[cluster.rank])))
    except OSError as error:
        name = cluster.name(cluster.rank)
        raise WorkerLostError(f"A worker's port must be free. Received: {name}: {error.strerror}.") from None


def _address(text: str) -> str:
    """host:port of TF_CONFIG; a `ValueError` where it is none."""
    host, _, port = text.rpartition(":")
    if not host or not 0 < int(port) < 2**16:
        raise ValueError(f"no host:port: {text!r}")
    return f"{host}:{int(port)}"


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def _write(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """One line of JSON; `ValueError` for anything else, `TimeoutError` where it is not there in time."""
    deadline, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n") and len(line) < GREETING_BYTES:
        stop.raise_if_requested()
        if (remaining := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        connection.settimeout(min(remaining, POLL_SECONDS))
        with contextlib.suppress(TimeoutError):
            if not (part := connection.recv(2**16)):
                break
            line += part
    return json.loads(line)
