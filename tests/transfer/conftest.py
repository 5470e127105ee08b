"""The judges of these tests: packages for torch, each in a folder of its own beside the test environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def judged_by():
    """Runs JUDGE.py with the packages of JUDGE.txt and returns what it prints.

    They are installed without what they require: that is torchvision, which would bring another torch. The judges replace it.
    """

    def run(judge: str, *arguments: Path) -> str:
        requirements = (HERE / f"{judge}.txt").read_text()
        folder = HERE.parents[1] / f".venv-{judge}"
        made_from = folder / "requirements.txt"
        if not made_from.exists() or made_from.read_text() != requirements:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--no-deps",
                "--upgrade",
            ]
            subprocess.run([*pip, "--target", folder, "-r", HERE / f"{judge}.txt"], check=True)
            made_from.write_text(requirements)
        done = subprocess.run(
            [sys.executable, HERE / f"{judge}.py", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
