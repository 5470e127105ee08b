"""Folders that the tests of sources share: class folders, splits, and pictures with a list of their boxes."""

import pytest

from tests.conftest import write_images
from tests.data.rectangles import config_of, draw, opened, write_list


@pytest.fixture
def class_folders(tmp_path):
    """Two class folders of five images each."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(8, 8)] * 5)
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 6), ("val", 2)):
        for name in ("cat", "dog"):
            write_images(tmp_path / "photos" / split / name, [(40, 50)] * count)
    return tmp_path / "photos"


@pytest.fixture
def pictures(tmp_path):
    """Twenty PNGs of 100 x 80, a.png to t.png, and a function that opens a list of them."""
    for name in "abcdefghijklmnopqrst":
        draw(tmp_path / f"{name}.png", (100, 80), (10, 10, 60, 70))

    def listed(changed, *changes):
        """Every picture with one right box, `changed` rows instead of that of some."""
        rows = []
        for place, name in enumerate("abcdefghijklmnopqrst"):
            split = "val" if place >= 16 else "train"
            boxes = changed.get(name, [(10, 10, 60, 70)])
            rows += [(f"{name}.png", box[4] if len(box) > 4 else "xy"[place % 2], split, *box[:4]) for box in boxes]
        return opened(config_of(write_list(tmp_path, rows), *changes))

    return listed
