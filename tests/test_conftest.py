"""Which tests run by default: `full` ones only where `-m` names them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = """
import pytest

def test_fast(): pass

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.full
def test_full(): pass

@pytest.mark.parametrize("size", ["small", pytest.param("large", marks=pytest.mark.full)])
def test_sized(size): pass
"""


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        (None, {"test_fast", "test_slow", "test_sized[small]"}),
        ("not slow", {"test_fast", "test_sized[small]"}),
        ("slow", {"test_slow"}),
        ("full", {"test_full", "test_sized[large]"}),
        ("slow or full", {"test_slow", "test_full", "test_sized[large]"}),
    ],
)
def test_full_tests_are_selected_only_by_name(tmp_path, expression, selected):
    (tmp_path / "test_example.py").write_text(EXAMPLE)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"]
    command += [str(tmp_path), "--collect-only", "-q", *(["-m", expression] if expression else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert {line.split("::")[1] for line in done.stdout.splitlines() if "::" in line} == selected, done.stdout
