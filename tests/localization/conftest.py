"""What the tests of boxes share: a list for nets with random weights, and runs that are trained once."""

import pytest

from tests.data.rectangles import draw
from tests.localization.box_runs import box_runs
from tests.localization.toy import BOX


@pytest.fixture
def rows(tmp_path):
    """Six pictures of two classes, three of them to test, the first of these with two boxes."""
    for place in range(6):
        draw(tmp_path / f"{place}.png", (100, 80), BOX)
    known = [(f"{place}.png", "ab"[place % 2], "val" if place < 3 else "train", *BOX) for place in range(6)]
    return [*known, ("0.png", "a", "val", 0, 0, 20, 20)]


@pytest.fixture(scope="session")
def folder(shared_folder):
    """The folder of `box_runs`."""
    return box_runs(shared_folder)


@pytest.fixture
def scr(folder):
    """The run of a net with one box for all classes, in `folder`."""
    return folder / "scr"


@pytest.fixture
def pcr(folder):
    """The run of a net with a box for each class, in `folder`."""
    return folder / "pcr"
