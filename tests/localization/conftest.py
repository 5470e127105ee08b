"""What the tests of boxes share: a list for nets with random weights, and runs that are trained once."""

import numpy as np
import pytest

from tests.conftest import made_once
from tests.data.test_boxes import draw, write_list
from tests.localization.toy import BOX, BOXES, CLASSES, train


@pytest.fixture
def rows(tmp_path):
    """Six pictures of two classes, three of them to test, the first of these with two boxes."""
    for place in range(6):
        draw(tmp_path / f"{place}.png", (100, 80), BOX)
    known = [(f"{place}.png", "ab"[place % 2], "val" if place < 3 else "train", *BOX) for place in range(6)]
    return [*known, ("0.png", "a", "val", 0, 0, 20, 20)]


@pytest.fixture(scope="session")
def folder(shared_folder):
    """A list of 32 rectangles of four classes, some pictures with two boxes, and the runs classes, scr and pcr on it."""

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
        out = train(folder, *BOXES, "--weights=classes", "--set=architecture.boxes=scr", "--workdir=scr")
        # four classes and the four numbers of a box have one shape
        assert "fc1, fc2; random: predictions" in out and "validation box error" in out and "mean box" in out
        train(folder, *BOXES, "--weights=classes", "--workdir=pcr")

    return made_once(shared_folder / "box_runs", make)


@pytest.fixture
def scr(folder):
    """The run of a net with one box for all classes, in `folder`."""
    return folder / "scr"


@pytest.fixture
def pcr(folder):
    """The run of a net with a box for each class, in `folder`."""
    return folder / "pcr"
