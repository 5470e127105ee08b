"""A folder of two classes for the tests of sources."""

import pytest

from tests.conftest import write_images


@pytest.fixture
def class_folders(tmp_path):
    """Two class folders of five images each."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "photos" / name, [(8, 8)] * 5)
    return tmp_path / "photos"
