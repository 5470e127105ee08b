"""The recipes: configurations by their names in `configs/`, and those of a user's own files."""

import importlib.util
import sys
import types
from pathlib import Path

from vgg_keras.config import Config
from vgg_keras.errors import UserError, nearest_configuration


def config_folder() -> Path:
    """The folder of the named configurations; in a clone it is a link to the one at its top."""
    return Path(__file__).parent / "configs"


def load(name: str) -> Config:
    """The configuration of a name in `configs/` (`E`, `quickstart`) or of a path to a .py file with `config()`.

    Raises:
        UserError: no such name or file (the nearest is named), or a file without a `config()` of this kind.
    """
    path = Path(name) if name.endswith(".py") else config_folder() / f"{name}.py"
    if not path.is_file() or path.name.startswith("_"):
        raise UserError(f"--config takes a name or a path to a .py file. Received: {name!r}. {_hint(name)}")
    spec = importlib.util.spec_from_file_location("vgg_keras_config", path)
    module: types.ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass of the recipe looks for the names in its annotations
    try:
        spec.loader.exec_module(module)
        config = module.config()
    except UserError:
        raise
    except Exception as error:  # a recipe is its author's code
        raise UserError(f"{path} must define config(). It failed with {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise UserError(f"config() of {path} must return a vgg_keras.config.Config. Received: {config!r}")
    return config


def _hint(name: str) -> str:
    """What was meant by a name of no recipe."""
    known = [file.stem for file in config_folder().glob("*.py") if not file.name.startswith("_")]
    stem = Path(name).stem
    if name.endswith(".py"):
        return f"There is no such file.{f' Did you mean {stem!r}?' if stem in known else ''}"
    if Path(f"{name}.py").is_file():
        return f"Did you mean '{name}.py'?"
    return nearest_configuration(name.rpartition("/")[2], known, "--set=architecture.batch_norm=true")
