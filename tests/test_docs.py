"""README.md and docs/: what is generated is up to date, links lead somewhere, pictures are small."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from tests.conftest import write_images
from vgg_keras import config
from vgg_keras.commands import COMMANDS
from vgg_keras.files import sha256_of_names
from vgg_keras.reproduction import merging, plan, results, suites

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def generator(name="configuration"):
    """A script of docs/, which is no module of a package."""
    spec = importlib.util.spec_from_file_location(f"{name}_page", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_configuration_page_is_what_its_generator_makes():
    module = generator()
    assert module.PAGE.read_text() == module.page(), "run python docs/configuration.py"


def test_unfinished_results_are_taken_over_on_request_alone(tmp_path, monkeypatch):
    module = generator("results")
    monkeypatch.setattr(module, "RECORDS", tmp_path)
    monkeypatch.setattr(module, "IMAGES", tmp_path)
    (tmp_path / "small_old.png").touch()
    (tmp_path / "out").mkdir()
    cells = [{"name": "cifar10 table3 E small", "top1_errors": {"0": 9.0, "1": 9.0}, "seeds_planned": 3}]
    content = {"suite": "small", "cells": cells, "sets": {}, "trainings": [], "passes": [], "failed": {}}
    (tmp_path / "out/results.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="1 of 1 cells lack seeds, such as cifar10 table3 E small"):
        module.take_over(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small_old.png"]
    module.take_over(tmp_path / "out", unfinished=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out",
        "small.json",
    ]  # nor is a chart of older results left


def test_an_unfinished_suite_makes_pages_that_say_so(tmp_path, monkeypatch):
    """Runs that have not begun are in no list of the results; the charts are drawn from the results, not copied."""
    module = generator("results")
    suite = suites.of("small", {}).on({"cifar10": "/of/one/machine/cifar10_jpeg"})
    out = tmp_path / "out"
    out.mkdir()
    found = results.collect(
        suite, plan.runs_of(suite, out), {"cifar10/E-small/0/train": "status 2: no /of/one/machine/x.jpg: 1/2"}
    )
    for place, cell in enumerate(cell for cell in found["cells"] if cell["name"].startswith("cifar10 table3")):
        cell |= {"top1_errors": {"0": 20.0 - place}, "top1_error": 20.0 - place}
    words = ["--data=/of/one/machine/cifar10_jpeg", "--set=architecture.name=E", "--set=runtime.cache_dir=/tmp/scans"]
    folders = [
        f"--{flag}=/of/one/small/runs/cifar10/{net}-small/seed-0"
        for flag, net in (("init_from", "A"), ("workdir", "E"))
    ]
    command = " ".join(["python", "-m", "vgg_keras.train", *words, *folders])
    run = {"name": "cifar10/E-small", "seed": 0, "finished": False, "epochs": 3, "command": command}
    run |= {"loss": 1.0, "top1_error": 30.0, "val_top1_error": None, "hours": 0.5, "precision": "float32"}
    found |= {"trainings": [run], "designs": {run["name"]: {"start": "cifar10/A-small"}}}
    (out / "results.json").write_text(json.dumps(found))
    for name in ("others", "by_hand"):
        shutil.copy(module.RECORDS / f"{name}.json", tmp_path)
    monkeypatch.setattr(module, "RECORDS", tmp_path)
    monkeypatch.setattr(module, "IMAGES", tmp_path)
    module.take_over(out, unfinished=True)
    text, readme = module.page(), module.readme()
    assert "0 of 43 cells have all their seeds; runs trained: 0, begun: 1. 0.5 hours of epochs." in text
    assert "- cifar10/E-small/0/train: status 2: no x.jpg: 1/2" in text
    assert "--suite=small --data=cifar10=cifar10_jpeg --data=photographs=flowers17/ --out=reports/small" in text
    claims = sum(bool(claim.section and claim.expected) for claim in suite.claims)
    assert f"| Section 4 in small: the paper's claims | {claims} not measured yet; unfinished |" in readme
    assert [path.name for path in tmp_path.glob("*.png")] == [
        "small_cifar10_depth.png"
    ] and "small_cifar10_depth.png" in text
    assert ".png" not in readme.partition(module.BEGIN)[2]  # one seed's chart convinces nobody
    (training,) = json.loads((tmp_path / "small.json").read_text())["trainings"]
    assert training["command"] == (
        "python -m vgg_keras.train --data=cifar10_jpeg --set=architecture.name=E --set=runtime.cache_dir=scans "
        "--init_from=reports/small/runs/cifar10/A-small/seed-0 --workdir=reports/small/runs/cifar10/E-small/seed-0"
    )
    assert "/of/one" not in (tmp_path / "small.json").read_text()
    merging.read([tmp_path / "small.json"], suite, [])  # the suite can be continued from it
    assert module._without_path("--workdir=runs/cifar10/E-small/seed-0", "R/") == "--workdir=R/cifar10/E-small/seed-0"
    assert "ImageNet has not been run" in text
    shutil.copy(tmp_path / "small.json", tmp_path / "imagenet.json")
    assert "ImageNet has not been run" not in module.page()


@pytest.mark.parametrize(
    ("suite", "message"), [(None, "no results.json"), ("smoke", "of smoke"), ("{", "a damaged one")]
)
def test_a_folder_of_no_suite_of_the_pages_gets_one_line(tmp_path, suite, message):
    if suite:
        (tmp_path / "results.json").write_text(json.dumps({"suite": suite}) if suite == "smoke" else suite)
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        generator("results").take_over(tmp_path)


def test_results_page_and_readme_are_what_their_generator_makes():
    module = generator("results")
    assert module.PAGE.read_text() == module.page(), "run python docs/results.py"
    assert module.README.read_text() == module.readme(), "run python docs/results.py"


def test_the_division_of_17_flowers_is_that_of_the_results():
    """Else nobody could train on the images that the results are of, nor go on from their file."""
    numbers = set(map(int, (ROOT / "docs/results/flowers17_val.txt").read_text().split()))
    stated = json.loads((ROOT / "docs/results/small.json").read_text())["sets"]["photographs"]
    names = {"train": [], "val": []}
    for number in range(1, 1361):
        split = "val" if number in numbers else "train"
        names[split].append(f"{split}/c{(number + 79) // 80:02d}/image_{number:04d}.jpg")
    for split, found in names.items():
        assert (len(found), sha256_of_names(found)) == (stated[split]["images"], stated[split]["sha256_of_names"])


def test_configuration_page_has_a_row_with_a_meaning_for_every_field():
    page = generator().page()
    for name, section in typing.get_type_hints(config.Config).items():
        prefix, cls = ("", None) if name == "seed" else (f"{name}.", section)
        if name == "stages":
            prefix, cls = "stages.N.", config.Stage
        for field in typing.get_type_hints(cls) if cls else [name]:
            rows = [line for line in page.splitlines() if line.startswith(f"| `{prefix}{field}` |")]
            assert len(rows) == 1, f"{prefix}{field}"
            assert not rows[0].endswith("|  |"), f"{prefix}{field} needs a comment in config.py"


def test_comments_of_a_field_are_those_above_and_behind_it():
    source = """
class Data:
    first: int = 1  # 3.1: behind
    # above the second,
    # on two lines
    second: int = 2
    third: str = (
        "x"  # 4: behind a value on several lines
    )
    fourth: int = 4
"""
    found = generator()._comments(source)
    assert found["Data", "first"] == "3.1: behind"
    assert found["Data", "second"] == "above the second, on two lines"
    assert found["Data", "third"] == "4: behind a value on several lines"
    assert found["Data", "fourth"] == ""


@pytest.mark.parametrize(
    ("comment", "paper", "meaning"),
    [
        ("3.1: at most", "3.1", "at most"),
        ("3.1", "3.1", ""),
        ("4: the paper's", "4", "the paper's"),
        ("0: as many as the data has", "", "0: as many as the data has"),
        ("3.1's multiplier shrinks", "", "3.1's multiplier shrinks"),
        ("of the images, 1 to 16. 1: grey, 3: RGB", "", "of the images, 1 to 16. 1: grey, 3: RGB"),
    ],
)
def test_paper_section_is_split_from_the_meaning(comment, paper, meaning):
    assert generator()._split(comment) == (paper, meaning)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if heading:
            assert heading in headings(file), f"{page.name} links to {target}"


def headings(page):
    """A page's headings as GitHub writes them into a link."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# Reads command lines and parses each as the command does: its flags, its configuration and the overrides. One that names no files
# of an earlier command also runs up to the point where the command would open its images.
PARSES = """
import contextlib, importlib, io, json, sys
from vgg_keras import stop
from vgg_keras.data import naming
from vgg_keras.weights import initialize
class Begins(Exception):
    pass
def begin(**options):
    raise Begins
stop.listen, naming.require_source, initialize.require_start = begin, lambda *a, **k: None, lambda *a, **k: None
name, lines = sys.argv[1], json.load(sys.stdin)
sys.argv = [name]
command = importlib.import_module(f"vgg_keras.{name}")
from absl import flags
from absl.testing import flagsaver
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.recipes import load
values = flags.FLAGS
values.set_gnu_getopt(name != "launch")
for line in lines:
    with flagsaver.flagsaver():
        try:
            words = values([name, *line])
            overrides = parse_assignments(values["set"].value) if "set" in values else {}
            if "config" in values and values.config and not values.config.endswith(".py"):
                override(load(values.config), overrides)
            earlier = ("--model=", "--stages=", "--fuse=", "--query=", "--with=", "--config=mine.py")
            if name in ("train", "evaluate", "predict", "features") and not any(word.startswith(earlier) for word in line):
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    command.main(*words[1:])
        except Begins:
            pass
        except Exception as error:
            print(f"{name} {' '.join(line)}: {error}")
"""


def commands_of_docs() -> dict[str, list[list[str]]]:
    """The command lines of the pages, of the recipes and of the commands' own files, by the command."""
    docstrings = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in ROOT.glob("configs/*.py")]
    docstrings += [ast.get_docstring(ast.parse((ROOT / f"vgg_keras/{name}.py").read_text())) for name in COMMANDS]
    blocks = ["\n".join(line for line in text.splitlines() if "vgg_keras." in line) for text in docstrings]
    for page in PAGES:
        blocks += re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    found = {name: [] for name in COMMANDS}
    for block in blocks:
        text = block.replace("\\\n", " ")
        variables = re.findall(r"for (\w+) in (\S+)", text) + re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE)
        for variable, value in variables:
            text = re.sub(rf"\${variable}\b", value, text)
        for name, words in re.findall(r"(?:python -m vgg_keras\.|vgg-keras )(\w+)\b *([^\n']*)", text):
            words = shlex.split(words.partition(" 2> ")[0], comments=True)
            if name in found:
                found[name].append([word for word in words if "..." not in word])
    return found


@pytest.mark.slow
def test_every_command_of_the_docs_is_one():
    found = commands_of_docs()
    assert sum(map(len, found.values())) > 150 and all(found.values())
    for name, lines in found.items():
        script = [sys.executable, "-c", PARSES, name]
        done = subprocess.run(script, input=json.dumps(lines), capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_pictures_are_200_kb_at_most_and_shown():
    shown = "".join(page.read_text() for page in PAGES)
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size <= 200_000, picture
        assert f"images/{picture.name}" in shown, f"no page shows {picture.name}"


@pytest.mark.slow
def test_readme_python_builds_fits_and_predicts(tmp_path, monkeypatch):
    """As it stands, but for one epoch of large batches of a thin net, and with the fitted net in the place of the download."""
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    changes = {
        "epochs=20": "epochs=1",
        "width=0.25": "width=0.0625",
        "batch=32": "batch=360",
        '"imagenet"': '"net.keras"',
    }
    for text, other in changes.items():
        assert code.count(text) == 1
        code = code.replace(text, other)
    fit, predict = code.split("\nnet =")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(fit, "README.md", "exec"), names)
    assert names["model"].output_shape == (None, 10)
    names["model"].save("net.keras")
    write_images(tmp_path, [(40, 50)])[0].rename("photo.jpg")
    exec(compile(f"net ={predict}", "README.md", "exec"), names)
    assert names["dense"].output_shape == (None, None, None, 10)
