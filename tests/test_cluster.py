"""How workers find and meet each other, in threads of one process; no framework is started."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import free_ports
from vgg_keras import stop
from vgg_keras.cluster import Cluster, meet
from vgg_keras.errors import StoppedError, UserError, WorkerLostError


def test_tf_config_names_the_workers_and_a_chief_is_the_first(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert Cluster.from_environment() is None
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    for task, rank in ((("worker", 0), 1), (("worker", 1), 2), (("chief", 0), 0)):
        described = {"cluster": jobs, "task": dict(zip(("type", "index"), task, strict=True))}
        monkeypatch.setenv("TF_CONFIG", json.dumps(described))
        cluster = Cluster.from_environment()
        assert cluster == Cluster(("c:3", "a:1", "b:2"), rank)
        monkeypatch.setenv("TF_CONFIG", cluster.tf_config())
        assert Cluster.from_environment() == cluster
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})
    )
    assert Cluster.from_environment() is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:99999"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", ":1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_another_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="TF_CONFIG must name host:port of each worker"):
        Cluster.from_environment()


def together(addresses, values, seconds=20.0):
    """How the meeting ends for each worker of `values`, a dict from rank to what must match; and how long it took."""
    ends, began = {}, time.monotonic()

    def run(rank):
        try:
            ends[rank] = meet(Cluster(addresses, rank), seconds, values[rank])
        except (WorkerLostError, UserError, StoppedError) as error:
            ends[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends, time.monotonic() - began


@pytest.fixture
def addresses():
    return tuple(f"127.0.0.1:{port}" for port in free_ports(3))


def test_all_meet_and_the_port_is_free_at_once(addresses):
    ends, seconds = together(addresses, {rank: {"seed": 0} for rank in range(3)})
    assert ends == dict.fromkeys(range(3))
    print(f"three workers met in {seconds:.2f} s")
    assert seconds < 5
    # as TensorFlow takes it: without waiting for the connections that were
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        server.bind(("127.0.0.1", int(addresses[0].rsplit(":", 1)[1])))


@pytest.mark.parametrize(("there", "missing"), [((0, 1), 2), ((0, 2), 1), ((1, 2), 0), ((2,), 0)])
def test_all_that_are_there_name_the_one_that_is_not(addresses, there, missing):
    ends, seconds = together(addresses, {rank: {} for rank in there}, seconds=1.0)
    for rank in there:
        assert isinstance(ends[rank], WorkerLostError)
        assert f"within 1 s (runtime.start_seconds). Received: none of worker {missing} ({addresses[missing]})" in str(
            ends[rank]
        )
    assert seconds < 7


@pytest.mark.parametrize("there", [(0,), (1,), (0, 1)])
def test_a_request_to_stop_ends_the_wait(addresses, monkeypatch, there):
    """The first worker alone, another one alone, and one that has greeted the first and waits for its answer."""
    monkeypatch.setattr(stop, "_requested", False)
    signal = threading.Timer(1.0, monkeypatch.setattr, (stop, "_requested", True))
    signal.start()
    ends, seconds = together(addresses, {rank: {} for rank in there}, seconds=30.0)
    signal.join()
    print(f"workers {there} ended {seconds - 1:.2f} s after the request")
    assert all(isinstance(ends[rank], StoppedError) for rank in there)
    assert 1 <= seconds < 10


def test_workers_of_different_runs_do_not_meet(addresses):
    ends, _ = together(addresses, {0: {"run": {"seed": 0}}, 1: {"run": {"seed": 0}}, 2: {"run": {"seed": 1}}})
    for error in ends.values():
        assert isinstance(error, UserError)
        assert f"Received: worker 2 ({addresses[2]}) with run.seed: 0, now 1." in str(error)


def test_workers_that_name_different_numbers_of_workers_do_not_meet(addresses):
    """TensorFlow would wait for the third one, and end in a traceback when the time of the start is over."""
    ends = []
    two = threading.Thread(target=lambda: ends.append(together(addresses[:2], {0: {}})))
    two.start()
    ends.append(together(addresses, {1: {}}))
    two.join()
    for found, _ in ends:
        for error in found.values():
            assert isinstance(error, UserError) and f"worker 1 ({addresses[1]}) with workers: 2, now 3." in str(error)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_workers_port_must_be_free(addresses, rank):
    """As behind an earlier run that has not ended: TensorFlow would end in a traceback."""
    with socket.create_server(("", int(addresses[rank].rpartition(":")[2]))):
        ends, seconds = together(addresses, {rank: {}})
    assert isinstance(ends[rank], WorkerLostError) and seconds < 5
    assert f"A worker's port must be free. Received: worker {rank} ({addresses[rank]}): Address already" in str(
        ends[rank]
    )


def test_whoever_else_calls_is_not_counted(addresses):
    """Lines that are no greeting, and one that claims to be a worker that there is not."""
    port, done = int(addresses[0].rsplit(":", 1)[1]), threading.Event()

    def call():
        for line in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"rank": 7, "must_match": {}}\n', b'{"rank": "1"}\n', b""):
            while not done.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                        connection.sendall(line)
                    break
                except ConnectionRefusedError:
                    time.sleep(0.02)
        done.set()

    stranger = threading.Thread(target=call)
    stranger.start()
    ends, _ = together(addresses, {0: {}, 1: {}}, seconds=2.0)
    done.set()
    stranger.join()
    assert all(f"none of worker 2 ({addresses[2]})" in str(error) for error in ends.values())


def test_tensorflows_errors_name_the_worker(addresses):
    cluster = Cluster(addresses, 1)
    heartbeats = (
        "Collective ops is aborted by: Error reported from /job:worker/task:2: The following tasks are unhealthy"
    )
    assert f"worker 2 ({addresses[2]})" in str(cluster.lost(heartbeats))
    remote = "remote target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/CompleteInstance"
    assert f"worker 0 ({addresses[0]})" in str(cluster.lost(remote))
    leader = "Collective ops is aborted by: Deadline Exceeded RPC: /tensorflow.CoordinationService/Heartbeat"
    assert f"worker 0 ({addresses[0]})" in str(cluster.lost(leader))
    assert "an unknown one" in str(cluster.lost("Connection reset by peer"))


def test_the_documented_slurm_script_names_the_workers_to_each(tmp_path):
    """With stand-ins for SLURM's commands, and for Python one that prints how it was called."""
    page = (Path(__file__).parents[1] / "docs" / "distributed.md").read_text()
    script = page.split("<!-- the SLURM script -->\n```bash\n")[1].split("```")[0]
    (tmp_path / "job.sh").write_text(script)
    for name, text in {
        "scontrol": 'if [ "$1" = show ]; then echo node9; echo node10; else echo "$@" >> requeued; fi',
        "srun": 'while [[ $1 == --* ]]; do echo "$1" >> options; shift; done; highest=0; for rank in 0 1; do '
        'SLURM_PROCID=$rank "$@"; status=$?; ((status > highest)) && highest=$status; done; exit $highest',
        "python": 'echo "$TF_CONFIG" >> called; echo "$@" >> words; read -r first other < statuses; '
        "[[ $TF_CONFIG == *'\"index\": 0'* ]] && exit $first; exit $other",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[9-10]",
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "32",
    }
    requeued = tmp_path / "requeued"
    for statuses, restarts, status, again in (
        ("75 75", "99", 75, True),  # the time limit comes as often as it must
        ("69 137", "", 137, True),
        ("2 69", "19", 69, True),
        ("2 69", "20", 69, False),
        ("2 2", "", 2, False),
        ("74 69", "", 74, False),
        ("0 0", "", 0, False),
    ):
        (tmp_path / "statuses").write_text(f"{statuses}\n")
        count = {"SLURM_RESTART_COUNT": restarts} if restarts else {}
        for old in ("called", "requeued", "options"):
            (tmp_path / old).unlink(missing_ok=True)
        done = subprocess.run(["bash", "job.sh"], cwd=tmp_path, env=environment | count)
        assert done.returncode == status
        assert (requeued.read_text() if requeued.exists() else "") == ("requeue 7\n" if again else ""), statuses
    assert (tmp_path / "options").read_text().split() == ["--cpus-per-task=32", "--kill-on-bad-exit=0"]
    assert (tmp_path / "words").read_text().startswith("-m vgg_keras.train --config=E")
    for rank, text in enumerate((tmp_path / "called").read_text().splitlines()):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("TF_CONFIG", text)
            assert Cluster.from_environment() == Cluster(("node9:12345", "node10:12345"), rank)
