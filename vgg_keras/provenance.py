"""Where a number comes from: the command, the versions and the commit that made it."""

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

from vgg_keras import __version__

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "jax", "torch")


def command() -> list[str]:
    """This process's command line."""
    return [sys.executable, *sys.orig_argv[1:]]


@functools.cache
def versions() -> dict[str, str]:
    """The versions of this package, of Python and of the installed packages that numbers depend on."""
    found = {"vgg_keras": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # the nets run on JAX too
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def git_commit() -> str | None:
    """The commit of the clone that the package runs from, marked where files differ from it; None outside a clone."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
