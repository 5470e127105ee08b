"""What the tests of evaluations share."""

import pytest

from vgg_keras.evaluation import rows


@pytest.fixture
def small_memory(monkeypatch):
    """More than 50 bytes of rows are a mapped file, in blocks of two rows of three classes."""
    monkeypatch.setattr(rows, "IN_MEMORY", 50)
    monkeypatch.setattr(rows, "BLOCK", 4 * 3 * 2)
