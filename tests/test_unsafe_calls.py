"""No line of the package runs what a file holds, or a command line: read from the syntax trees."""

import ast
from pathlib import Path

import pytest

import vgg_keras
from vgg_keras.recipes import config_folder

PACKAGE = Path(vgg_keras.__file__).parent
FILES = sorted({*PACKAGE.rglob("*.py"), *config_folder().glob("*.py")})
# Whose functions run what they read.
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "code",
    "runpy",
}
# By the last part of their names, whatever the module is called where it is used.
CALLS = {
    *("eval", "exec", "compile", "__import__", "load_model", "model_from_json", "model_from_config", "unsafe_load"),
    *("deserialize_keras_object", "enable_unsafe_deserialization", "system", "popen", "getoutput", "getstatusoutput"),
    *("add_safe_globals", "hub_load"),
}
# A configuration that is a .py file is its author's code: `--config=mine.py` runs it, and says so. The `vgg-keras` command
# runs the package's own commands.
ALLOWED = {("recipes.py", "exec_module"), ("__main__.py", "runpy")}


def unsafe(source: str, name: str = "file.py") -> list[str]:
    """What a file does that it must not, with the lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [
                f"{node.lineno}: imports {one}"
                for one in imported
                if (one or "").split(".")[0] in MODULES and (name, one) not in ALLOWED
            ]
            if isinstance(node, ast.ImportFrom):
                found += [f"{node.lineno}: imports {one.name}" for one in node.names if one.name in CALLS]
        if not isinstance(node, ast.Call):
            continue
        whole = ast.unparse(node.func)
        last = whole.split(".")[-1]
        if (last in CALLS and whole not in ("re.compile", "model.compile", "torch.compile")) or (
            last == "exec_module" and (name, last) not in ALLOWED
        ):
            found.append(f"{node.lineno}: calls {whole}")
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for keyword, safe in (("allow_pickle", "False"), ("shell", "False"), ("safe_mode", "True")):
            if given.get(keyword, safe) != safe:
                found.append(f"{node.lineno}: {whole}({keyword}={given[keyword]})")
        if whole == "torch.load" and "weights_only" not in given:
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        if given.get("weights_only", "True") != "True":
            found.append(f"{node.lineno}: {whole}(weights_only={given['weights_only']})")
        if None in given and whole in ("torch.load", "np.load", "numpy.load"):
            found.append(f"{node.lineno}: {whole} with keywords that are not seen here")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_that_is_read_is_run(path):
    assert unsafe(path.read_text(), str(path.relative_to(PACKAGE)) if PACKAGE in path.parents else path.name) == []


def test_the_exceptions_are_there():
    for name, call in ALLOWED:
        assert any(call in line for line in unsafe((PACKAGE / name).read_text(), "elsewhere.py"))
    assert len(FILES) > 60


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "from os import system",
        "keras.models.load_model(path)",
        "keras.saving.load_model(path, safe_mode=True)",
        "from keras.models import load_model",
        "tf.keras.layers.TFSMLayer(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "numpy.load(path, **options)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "eval(text)",
        "exec(text)",
        "builtins.exec(text)",
        "compile(text, 'f', 'exec')",
        "__import__(name)",
        "spec.loader.exec_module(module)",
        "os.system(command)",
        "os.popen(command)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=flag)",
    ],
)
def test_a_planted_line_is_found(line):
    assert unsafe(f"def innocent():\n    pass\n\n\ndef planted():\n    {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "re.compile(pattern)",
        "model.compile(optimizer)",
        "subprocess.run(['git', 'status'])",
        "json.loads(text)",
    ],
)
def test_an_innocent_line_is_not(line):
    assert not unsafe(line)
