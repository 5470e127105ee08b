"""The commands: `python -m vgg_keras.NAME` is `vgg-keras NAME`."""

import ast
from pathlib import Path

COMMANDS = (
    "train",
    "evaluate",
    "predict",
    "localize",
    "features",
    "export",
    "compare",
    "reproduce",
    "samples",
    "summarize",
    "benchmark",
    "launch",
)


def summary(name: str) -> str:
    """The first line of a command's file, which is read and not imported: an import defines the command's flags."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
