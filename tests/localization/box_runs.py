"""A classification run and the two nets of boxes that start from it, made once by the command lines for every test of them."""

import numpy as np

from tests import warm
from tests.conftest import command, made_once
from tests.data.rectangles import draw, write_list

NET = (
    "--set=architecture.name=A-LRN",
    "--set=architecture.width=0.0625",
    "--set=architecture.crop=32",
    "--set=data.batch=8",
    "--set=data.scale=36",
)
CLASSES = ("--config=quickstart", "--data=list.csv", *NET, "--set=training.epochs=1")
BOXES = (
    "--config=localisation",
    "--data=list.csv",
    *NET,
    "--set=architecture.dropout=0",  # whose masks differ from device to device
    "--set=training.learning_rate=1e-3",
    "--set=training.epochs=2",
)


def box_runs(shared_folder):
    """A folder with `classes`, `pcr` and `scr`, and their list: 32 rectangles of four classes, some pictures with two boxes."""

    def make(folder):
        random, rows = np.random.default_rng(1), []
        for place in range(32):
            width, height = map(int, random.integers(45, 90, 2))
            box = 3, 4, width - int(random.integers(2, 20)), height - int(random.integers(2, 20))
            draw(folder / f"{place}.jpg", (width, height), box, 6 if place == 5 else 1)
            split = "val" if place >= 24 else "train"
            rows.append((f"{place}.jpg", "abcd"[place % 4], split, *box))
            if place % 8 == 0:
                rows.append((f"{place}.jpg", "abcd"[place % 4], split, 1, 1, 9, 9))
        write_list(folder, rows)
        train(folder, *CLASSES, "--workdir=classes")
        train(folder, *BOXES, "--weights=classes", "--workdir=pcr")
        out = train(folder, *BOXES, "--weights=classes", "--set=architecture.boxes=scr", "--workdir=scr")
        # four classes and the four numbers of a box have one shape
        assert "fc1, fc2; random: predictions" in out and "validation box error" in out and "mean box" in out

    return made_once(shared_folder / "box_runs", make)


def finished(folder, name, *words):
    return warm.finished(warm.run_command, command(name, *words, cache=folder), folder)


def train(folder, *words):
    done = finished(folder, "train", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout
