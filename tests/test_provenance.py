"""Where a number comes from: the command, the versions and the commit."""

import importlib.metadata
import subprocess
import sys

from vgg_keras import __version__, provenance


def test_versions_are_those_of_the_installed_packages():
    found = provenance.versions()
    assert found.pop("vgg_keras") == __version__
    assert found.pop("python") == ".".join(map(str, sys.version_info[:3]))
    assert {"tensorflow", "keras", "numpy"} <= set(found) <= set(provenance.PACKAGES)
    assert found == {name: importlib.metadata.version(name) for name in found}


def test_the_command_is_that_of_the_process():
    code = "from vgg_keras.provenance import command; print(command())"
    done = subprocess.run([sys.executable, "-c", code, "--a=1 2"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([sys.executable, "-c", code, "--a=1 2"])


def test_a_clone_that_differs_from_its_commit_is_marked(tmp_path, monkeypatch):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    (tmp_path / "vgg_keras").mkdir()
    (tmp_path / "vgg_keras" / "provenance.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "vgg_keras" / "provenance.py"))
    commit = provenance.git_commit.__wrapped__  # without its cache
    assert commit() is None
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    (tmp_path / "vgg_keras" / "provenance.py").write_text("changed")
    assert commit() == f"{head}-dirty"
