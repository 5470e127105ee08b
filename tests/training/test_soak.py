"""A long run: what a process holds, and its speed, are the same at its end as at its beginning."""

import os
import statistics
import time
from pathlib import Path

import pytest

from tests.training.toy import start
from vgg_keras.training.records import read

EPOCHS = 200
TICKS = os.sysconf("SC_CLK_TCK")


def held(pid):
    """Of a process: resident MB, open files, threads, CPU seconds so far."""
    process = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    times = (process / "stat").read_text().rsplit(") ", 1)[1].split()[11:13]
    memory, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
    return memory, len(os.listdir(process / "fd")), threads, sum(map(int, times)) / TICKS


@pytest.mark.full
def test_nothing_grows_and_nothing_slows_down_in_200_epochs(tmp_path):
    process = start(
        tmp_path,
        "run",
        "--set=architecture.name=A",
        f"--set=training.epochs={EPOCHS}",
        f"--set=training.plateau_patience={EPOCHS}",
        "--set=checkpoint.every_steps=0",
    )
    after = {}  # epoch -> what was held when it had ended
    while process.poll() is None and len(after) < EPOCHS - 1:
        time.sleep(0.02)
        lines = read(tmp_path / "run")
        if lines and lines[-1]["epoch"] not in after:
            after[lines[-1]["epoch"]] = held(process.pid)
    assert process.wait() == 0, (tmp_path / "run.log").read_text()[-2000:]
    rates = [line["images_per_second"] for line in read(tmp_path / "run")]
    assert len(rates) == EPOCHS and len(after) > EPOCHS * 0.9

    epochs, tenth = sorted(after), len(after) // 10
    parts = [epochs[place * tenth : (place + 1) * tenth] for place in range(10)]
    found = {
        "memory, MB": [statistics.median(after[epoch][0] for epoch in part) for part in parts],
        "open files": [statistics.median(after[epoch][1] for epoch in part) for part in parts],
        "threads": [statistics.median(after[epoch][2] for epoch in part) for part in parts],
        "CPU ms per epoch": [1e3 * (after[part[-1]][3] - after[part[0]][3]) / (part[-1] - part[0]) for part in parts],
        "images/s": [statistics.median(rates[epoch - 1] for epoch in part) for part in parts],
    }
    for name, tenths in found.items():
        print(f"{name}, tenth by tenth: {', '.join(f'{value:.0f}' for value in tenths)}")
    memory, files, threads, costs, rates = found.values()
    # what TensorFlow keeps for itself is full by the half of the run; a leak would go on
    assert memory[9] - memory[4] < 0.01 * memory[4]
    assert files[9] <= files[1] and threads[9] <= threads[1]
    # the machine's other work decides what a second is worth; what an epoch costs it does not
    assert costs[9] < 1.1 * costs[1] and rates[9] > 0.8 * rates[1]
