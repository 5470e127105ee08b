"""What an installed package must have: its data files, its types, and the `vgg-keras` command."""

import ast
import configparser
import fnmatch
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vgg_keras
from vgg_keras import __main__, provenance
from vgg_keras.commands import COMMANDS

ROOT = Path(vgg_keras.__file__).parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT.parent / "setup.cfg")


def vgg_keras_command(*arguments, **options):
    """`vgg-keras ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "vgg_keras", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_package_data_lists_every_file_that_is_no_python_source():
    patterns = {package: value.split() for package, value in SETUP["options.package_data"].items()}
    for path in ROOT.rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts or "configs" in path.parts or path.suffix == ".py":
            continue
        package = ".".join(("vgg_keras", *path.parent.relative_to(ROOT).parts))
        names = patterns.get(package, [])
        assert any(fnmatch.fnmatch(path.name, name) for name in names), f"setup.cfg does not package {path}"


def test_stub_names_every_public_name_and_its_module():
    stub = ast.parse((ROOT / "__init__.pyi").read_text())
    homes = {
        alias.asname: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert homes == vgg_keras._HOMES


def test_a_name_that_is_none_gets_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'load_run'\. Did you mean 'load_net'\?"):
        vgg_keras.load_run  # noqa: B018
    for name, meant in (("VGG16", r"build\('D'\)\? load_net"), ("vgg11_bn", r"build\('A', batch_norm=True\)")):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}'\. Did you mean {meant}"):
            getattr(vgg_keras, name)
    assert not hasattr(vgg_keras, "x")


@pytest.mark.slow
def test_public_api_passes_the_type_checker():
    done = subprocess.run([sys.executable, "-m", "mypy"], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_lists_every_command_in_one_line(arguments):
    done = vgg_keras_command(*arguments)
    assert done.returncode == 0
    listed = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [name for name, _ in listed] == list(COMMANDS)
    assert all(len(summary) > 10 for _, summary in listed)


def test_help_into_a_closed_pipe_ends_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "vgg_keras"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_the_packages():
    done = vgg_keras_command("--version")
    assert done.returncode == 0 and done.stdout.startswith(f"vgg_keras {vgg_keras.__version__} (Python ")


def test_version_is_printed_where_a_package_is_not_installed(monkeypatch):
    """As of TensorFlow under another name (tensorflow-cpu), or with JAX alone."""
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "nowhere"))
    monkeypatch.setattr(provenance, "versions", provenance.versions.__wrapped__)
    versions = rf"vgg_keras .* \(Python {platform.python_version()}, numpy [\d.]+\)"
    assert re.fullmatch(versions, __main__.version())


def test_unknown_command_names_the_nearest_with_status_2():
    done = vgg_keras_command("evalute", "--model=runs/E")
    assert done.returncode == 2
    assert done.stderr == "error: vgg-keras takes a command. Received: 'evalute'. Did you mean 'evaluate'?\n"


def test_help_of_a_command_is_that_of_its_module():
    ours = vgg_keras_command("summarize", "--help")
    theirs = subprocess.run([sys.executable, "-m", "vgg_keras.summarize", "--help"], capture_output=True, text=True)
    assert ours.returncode == theirs.returncode == 0
    assert ours.stdout == theirs.stdout


def test_help_imports_no_framework():
    script = (
        "import sys, vgg_keras.__main__ as command; sys.argv = ['vgg-keras', *sys.argv[1:]]\n"
        "try:\n    command.main()\n"
        "finally:\n    print({'tensorflow', 'keras', 'numpy', 'tensorflow_datasets'} & set(sys.modules))\n"
    )
    for arguments in ((), ("--version",), ("train", "--help")):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.endswith("set()\n"), done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("-c", "import vgg_keras"), ("-m", "vgg_keras.summarize"), ("-m", "vgg_keras")])
def test_windows_gets_one_line(tmp_path, arguments):
    (tmp_path / "sitecustomize.py").write_text("import os, pathlib, site\nos.name = 'nt'\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT.parent}"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    last = done.stderr.splitlines()[-1]
    assert done.returncode and "vgg_keras runs on Linux and macOS. On Windows install it in WSL 2." in last
    if arguments[0] == "-m":
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_editable_installation_is_a_folder_on_the_path():
    """As setuptools decides it: with another package_dir it installs a finder, behind a folder vgg_keras/ where one works."""
    assert SETUP["options"]["package_dir"].split() == ["=", "."]
    recipes = [sorted(path.name for path in (above / "configs").glob("*.py")) for above in (ROOT, ROOT.parent)]
    assert recipes[0] == recipes[1] != []  # the first is a link, in a source distribution a copy


def test_a_process_that_the_script_starts_imports_nothing_from_the_working_folder(tmp_path):
    (tmp_path / "absl.py").write_text("raise SystemExit('absl.py of the working folder')")
    script = (
        "import subprocess, sys, vgg_keras.__main__ as command; sys.argv = ['vgg-keras', '--version']; command.main()\n"
        "sys.exit(subprocess.run([sys.executable, '-m', 'vgg_keras.compare', 'none']).returncode)"
    )
    # -P: the script is in a folder of its own, and so is its path
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "Received: none, which is none." in done.stderr


def test_command_runs_with_flags_and_exit_status_of_its_module(tmp_path):
    done = vgg_keras_command("summarize", "--config=quickstart", cwd=tmp_path)
    assert done.returncode == 0 and "block5_conv4" in done.stdout
    done = vgg_keras_command("train", "--config=quikstart", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'quickstart'" in done.stderr


def test_a_run_records_the_command_that_repeats_it(monkeypatch):
    """Without the word of the console script: `python -m vgg_keras.train` runs wherever the package is."""
    monkeypatch.setattr(__main__.runpy, "run_module", lambda *args, **kwargs: None)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.setattr(sys, "argv", ["vgg-keras", "train", "--config=E"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "/bin/vgg-keras", "train", "--config=E"])
    __main__.main()
    assert provenance.command() == [sys.executable, "-m", "vgg_keras.train", "--config=E"]
