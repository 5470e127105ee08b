"""Memory in huge pages: a fifth of a training's time on a CPU (docs/speed.md).

Layers' outputs are larger than what malloc keeps, so the system gives and takes their pages at each step. glibc reads the
setting when a process starts, so a command starts itself again with it.
"""

import contextlib
import os
import platform
import sys
from pathlib import Path

from vgg_keras.log_filter import has_gpu

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb"  # =1: malloc asks for huge pages by madvise
_FIRST_GLIBC = (2, 35)
_SYSTEM = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Starts this command again with memory in huge pages, if that is faster here and the user has not chosen himself.

    The process stays the same to its parent: its number, streams and working directory. To be called before TensorFlow is
    imported; afterwards, and in a process that Python did not start as this command, nothing happens.
    """
    if not (_helps() and _started_as_command()):
        return
    chosen = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = f"{chosen}:{SETTING}=1" if chosen else f"{SETTING}=1"
    sys.stdout.flush()
    sys.stderr.flush()
    # an error such as of an interpreter in a folder that another user started and this one may not enter
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _helps() -> bool:
    """Whether malloc can ask for huge pages, the system gives them on request only, and no GPU does the work."""
    if SETTING in os.environ.get(VARIABLE, "") or not _SYSTEM.exists() or has_gpu():
        return False
    library, version = platform.libc_ver()
    known = library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= _FIRST_GLIBC
    return known and "[madvise]" in _SYSTEM.read_text()


def _started_as_command() -> bool:
    return "tensorflow" not in sys.modules and any(word.startswith("vgg_keras.") for word in sys.orig_argv)
