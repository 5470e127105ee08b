"""Memory in huge pages: what the kernel says of a process that started itself again, and where none does."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vgg_keras import huge_pages

SETTING = "glibc.malloc.hugetlb"
# vgg_keras.command is in the place of a command's module; the kernel counts the process's huge pages.
PROGRAM = """
import os, re, sys
from vgg_keras.huge_pages import restart_with_huge_pages
restart_with_huge_pages()
import numpy as np
memory = [np.ones(1 << 23) for _ in range(4)]
kib = int(re.search(r"AnonHugePages: +(\\d+)", open("/proc/self/smaps_rollup").read())[1])
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), kib, *sys.argv[1:])
"""


@pytest.fixture
def helps(monkeypatch):
    monkeypatch.setattr(huge_pages, "_helps", lambda: True)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vgg_keras.train", "--config=E"])
    started = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append((os.environ[huge_pages.VARIABLE], words)))
    return started


@pytest.mark.skipif(not huge_pages._helps(), reason="this system gives no huge pages on request")
@pytest.mark.parametrize(
    "chosen, given", [(None, f"{SETTING}=1"), ("glibc.malloc.arena_max=2", f"glibc.malloc.arena_max=2:{SETTING}=1")]
)
def test_a_command_starts_again_as_the_same_process_with_huge_pages(chosen, given):
    environment = {name: value for name, value in os.environ.items() if name != huge_pages.VARIABLE}
    if chosen:
        environment[huge_pages.VARIABLE] = chosen
    words = ["vgg_keras.command", "two words", "--set=a.b='c'"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], env=environment, stdout=subprocess.PIPE, text=True
    )
    number, setting, kib, *rest = process.communicate()[0].split(" ", 3)
    assert (int(number), setting, rest[0].strip()) == (process.pid, given, " ".join(words))
    print(f"{int(kib) / 1024:.0f} MiB in huge pages of 256 MiB")
    assert int(kib) > 64 * 1024  # without the setting: 0


def test_what_the_user_has_chosen_stays(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "vgg_keras.train"])
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    monkeypatch.setenv(huge_pages.VARIABLE, f"{SETTING}=0")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    huge_pages.restart_with_huge_pages()


def test_the_command_line_is_the_same(helps, monkeypatch):
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    huge_pages.restart_with_huge_pages()
    assert helps == [(f"{SETTING}=1", [sys.executable, "-m", "vgg_keras.train", "--config=E"])]


def test_a_command_goes_on_where_its_interpreter_cannot_be_started_again(helps, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "execv", refused)
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    huge_pages.restart_with_huge_pages()


@pytest.mark.parametrize("words", [["python", "-m", "ipykernel_launcher", "-f", "kernel.json"], ["pytest", "tests"]])
def test_another_program_is_not_started_again(helps, monkeypatch, words):
    monkeypatch.setattr(sys, "orig_argv", words)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    huge_pages.restart_with_huge_pages()
    assert not helps


def test_nothing_happens_once_tensorflow_is_imported(helps, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    huge_pages.restart_with_huge_pages()
    assert not helps


@pytest.mark.parametrize(
    "state, glibc, expected",
    [
        ("always [madvise] never", "2.36", True),
        ("[always] madvise never", "2.36", False),
        ("always [madvise] never", "2.31", False),
    ],
)
def test_where_it_helps(monkeypatch, tmp_path: Path, state, glibc, expected):
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    (tmp_path / "enabled").write_text(state + "\n")
    monkeypatch.setattr(huge_pages, "_SYSTEM", tmp_path / "enabled")
    monkeypatch.setattr(huge_pages, "has_gpu", lambda: False)
    monkeypatch.setattr(huge_pages.platform, "libc_ver", lambda: ("glibc", glibc))
    assert huge_pages._helps() == expected
