"""Imports run down only, as docs/architecture.md states; `nets/` imports Keras alone, no command another; `--help` is quick."""

import ast
import configparser
from pathlib import Path

import pytest

import vgg_keras
from vgg_keras.commands import COMMANDS

ROOT = Path(vgg_keras.__file__).parent
# Each part, a file or a folder of the package, may import the parts behind it, and files of its own; never back. The bottom
# parts come first.
BOTTOM = {
    *("cluster", "commands", "config", "errors", "exit_status", "field_types", "files", "flag_hints"),
    *("huge_pages", "locks", "log_filter"),
    *("overrides", "paths", "plain_values", "processor", "progress", "provenance", "recipes"),
    *("runs", "runtime"),
    *("startup", "stop", "streams", "synonyms", "text_table", "__init__"),
}
BELOW_BOTTOM = {
    "__init__": {"startup", "synonyms"},
    "cluster": {"errors", "plain_values", "stop"},
    "config": {"errors", "field_types"},
    "errors": {"synonyms"},
    "exit_status": {"errors", "files", "streams"},
    "field_types": {"errors"},
    "files": {"errors", "locks"},
    "flag_hints": {"errors", "overrides", "synonyms"},
    "huge_pages": {"log_filter"},
    "locks": {"errors", "paths"},
    "overrides": {"config", "errors", "field_types", "plain_values", "synonyms"},
    "paths": {"errors"},
    "plain_values": {"errors", "field_types"},
    "provenance": {"__init__"},
    "recipes": {"config", "errors"},
    "runs": {"config", "errors", "files", "paths", "plain_values"},
    "runtime": {"cluster", "config", "errors", "processor"},
    "startup": {"errors", "files", "log_filter"},
    "stop": {"errors"},
}
BELOW = {
    "nets": set(),
    "data": set(),
    "weights": {"nets"},
    "evaluation": {"data", "weights", "nets"},
    "localization": {"evaluation", "data", "weights", "nets"},
    "training": {"localization", "evaluation", "data", "weights", "nets"},
    "exports": {"localization", "evaluation", "data", "weights", "nets"},
    "transfer": {"evaluation", "data", "weights", "nets"},
    "reproduction": {"training", "evaluation", "data", "weights", "nets"},
    "benchmarks": {"cli", "training", "transfer", "evaluation", "data", "weights", "nets"},
    "cli": set(),
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it the line stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_parts(path: Path) -> set[str]:
    """The package's parts that a file imports; a name of the package's top counts as __init__."""
    names = [name.split(".")[1] for name in imports(path) if name.startswith("vgg_keras.")]
    return {name for name in names if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists()}


FILES = sorted(path for path in ROOT.rglob("*.py") if "configs" not in path.parts)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_down_only(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    used = imported_parts(path) - {part}
    if part in BOTTOM:
        allowed = BELOW_BOTTOM.get(part, set())
    elif part in {*COMMANDS, "__main__"}:
        allowed = BOTTOM | set(BELOW)
    else:
        assert part in BELOW, f"{part} has no place in BELOW"
        allowed = BOTTOM | BELOW[part]
    assert used <= allowed, f"{path.relative_to(ROOT)} reaches up to {used - allowed}"


@pytest.mark.slow
def test_files_of_a_part_import_each_other_without_a_circle():
    graph = {}
    for path in FILES:
        name = ".".join(("vgg_keras", *path.relative_to(ROOT).with_suffix("").parts))
        graph[name] = {module for module in imports(path) if module.startswith("vgg_keras.")}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"circle: {' -> '.join([*open_, name])}"
        if name in graph and name not in done:
            open_.append(name)
            for module in graph[name]:
                visit(module)
            open_.pop()
            done.add(name)

    for name in graph:
        visit(name)
    assert len(done) == len(FILES)


def test_nets_import_keras_alone():
    for path in (ROOT / "nets").glob("*.py"):
        outside = {name.split(".")[0] for name in imports(path)} - {"vgg_keras"}
        assert outside <= {"keras", "collections", "dataclasses", "functools", "itertools", "typing"}, path


def test_setup_cfg_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT.parent / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {".".join(("vgg_keras", *path.parent.relative_to(ROOT).parts)) for path in FILES}
    assert listed == found | {"vgg_keras.configs"}
