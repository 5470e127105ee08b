"""What `--data` may name, checked before any framework starts: digits, a folder, a list, or a set of TensorFlow Datasets.

A name with a slash, a backslash or a dot is most often a folder that does not exist. TensorFlow Datasets would take seconds to
report that, in many lines.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path

from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import printable

# [namespace:]name[/configuration][:version][/arguments], of tensorflow_datasets/core/naming.py
_NAME = re.compile(
    r"(?P<namespace>[\w\-]+:)?(?P<name>[a-zA-Z]\w*)(/[\w+\-.]+)?(:(\d+|\*)(\.(\d+|\*)){2})?(/(\w+=[^,]+,?)+)?",
    re.ASCII,
)


LIST = ".csv"  # the ending of a list


def require_source(source: str, data_dir: str = "") -> None:
    """Refuses what is neither `digits` nor a folder nor a list, and no name of a set that TensorFlow Datasets could have.

    Args:
        source: as `data.source`.
        data_dir: where TensorFlow Datasets keeps its sets; empty: its own default.

    Raises:
        UserError: it is a file, or such a name.
    """
    path = Path(os.path.expanduser(source))
    if source == "digits" or path.is_dir() or (path.is_file() and path.suffix.lower() == LIST):
        return
    known = f"'digits', a TensorFlow Datasets name, a folder or a {LIST} list"
    rule = f"--data takes {known}. Received: '{printable(source)}', which is"
    if os.path.lexists(path):
        if not path.exists():
            raise UserError(f"{rule} a link that leads nowhere.")
        raise UserError(f"{rule} {'a file' if path.is_file() else 'a FIFO, a socket or a device'}.")
    if source.startswith((".", "/", "~")):
        raise UserError(f"{rule} no folder.{_neighbour(path)}")
    parts = _NAME.fullmatch(source)
    if not parts:
        raise UserError(f"{rule} no folder and no such name.{_neighbour(path)}")
    if "/" in source and not parts["namespace"] and not _may_be_a_set(parts["name"], data_dir):
        raise UserError(
            f"{rule} none. There is no folder of that name, and no set {parts['name']!r}.{_neighbour(path)}"
        )


def require_source_of_run(run: str | None, overrides: Collection[str], source: str, data_dir: str = "") -> None:
    """Refuses the images that a run names where they are no more: moved, or named from another working folder.

    Args:
        run: its folder, as the command was given it; None: the net is no run's.
        overrides: the paths of the fields that the command states; where the images are among them, the run's are not read.
        source, data_dir: as in `require_source`, of the run's configuration.

    Raises:
        UserError: they are neither on the disk nor in TensorFlow Datasets.
    """
    if not run or "data.source" in overrides:
        return
    parts = _NAME.fullmatch(source)
    a_set = parts and (parts["namespace"] or _may_be_a_set(parts["name"], data_dir))
    if source != "digits" and not os.path.lexists(os.path.expanduser(source)) and not a_set:
        raise UserError(
            f"A run's images are those of its configuration, unless --data names others. Received: {run}, of "
            f"'{printable(source)}', which is not here. Give --data, such as the place that they were moved to."
        )


def _neighbour(path: Path) -> str:
    """A sentence with the folder beside the missing one whose name is most like it; empty where there is none."""
    above = path.parent
    try:
        folders = [entry.name for entry in os.scandir(above) if entry.is_dir()]
    except OSError:
        return f" There is no {printable(above)} either." if not above.exists() else ""
    hint = nearest(path.name, folders)
    return f" {hint}" if hint.startswith("Did") else ""


def is_set(source: str, data_dir: str = "") -> bool:
    """Whether a source names a set of TensorFlow Datasets: one of the package, or one that is prepared on the disk.

    Args:
        source, data_dir: as in `require_source`.
    """
    parts = _NAME.fullmatch(source)
    return bool(parts) and _is_known(parts["name"], data_dir)


def _may_be_a_set(name: str, data_dir: str) -> bool:
    """Whether a set of this name is part of TensorFlow Datasets, was defined by the user, or is prepared on the disk."""
    # imported already, such as by a recipe that defines a set: it will report unknown names quickly
    if "tensorflow_datasets" in sys.modules:
        return True
    return _is_known(name, data_dir)


def _is_known(name: str, data_dir: str) -> bool:
    prepared = Path(os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"))
    return (prepared / name).is_dir() or _plain(name) in _known_sets()


# Folders of the package without sets, and `datasets`, which has a folder for each set.
_WITHOUT_SETS = ("core", "datasets", "proto", "scripts", "testing", "url_checksums")


def _known_sets() -> set[str]:
    """The names of the sets in the package, and of its other classes, from its files: importing it takes seconds."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    root = Path(spec.submodule_search_locations[0])
    names = [folder.name for folder in (root / "datasets").iterdir()]
    others = [folder for folder in root.iterdir() if folder.is_dir() and folder.name not in _WITHOUT_SETS]
    for file in [file for folder in others for file in folder.rglob("*.py") if not file.name.endswith("_test.py")]:
        names += re.findall(r"^class (\w+)\(", file.read_text(errors="replace"), re.MULTILINE)
    return set(map(_plain, names))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
