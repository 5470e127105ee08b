"""A classification net and the two nets of boxes that the command line trains from it, made once for every test of them."""

import numpy as np

from tests import warm
from tests.conftest import command, made_once
from tests.data.rectangles import draw, write_list
from vgg_keras.files import write_json
from vgg_keras.nets.builder import build
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load
from vgg_keras.weights.formats.run_folder import save_weights

NET = (
    "--set=architecture.name=A-LRN",
    "--set=architecture.width=0.0625",
    "--set=architecture.crop=32",
    "--set=data.batch=8",
    "--set=data.scale=36",
)
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
        write_classes(folder / "classes")
        train(folder, *BOXES, "--weights=classes", "--workdir=pcr")
        out = train(folder, *BOXES, "--weights=classes", "--set=architecture.boxes=scr", "--workdir=scr")
        # four classes and the four numbers of a box have one shape
        assert "fc1, fc2; random: predictions" in out and "validation box error" in out and "mean box" in out

    return made_once(shared_folder / "box_runs", make)


def write_classes(folder):
    """A run's folder with a net of four classes that has learnt nothing."""
    fields = {"architecture.num_classes": 4, "architecture.mean": (110.0, 110.0, 110.0), "data.source": "list.csv"}
    config = override(load("quickstart"), fields | parse_assignments([word.removeprefix("--set=") for word in NET]))
    write_json(folder / "config.json", {"config": to_dict(config), "classes": list("abcd")})
    save_weights(build(config.architecture, seed=1), folder)


def finished(folder, name, *words):
    return warm.finished(warm.run_command, command(name, *words, cache=folder), folder)


def train(folder, *words):
    done = finished(folder, "train", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout
