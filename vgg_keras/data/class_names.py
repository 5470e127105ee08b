"""The names of classes: one text on every machine, and their order."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from vgg_keras.errors import UserError, described
from vgg_keras.paths import printable


def class_name(text: Path | str | bytes) -> str:
    """A folder's name or a label as the name of a class: one line of text, in Unicode's composed form (NFC).

    macOS gives the names of folders with accents apart from their letters (NFD). Of two machines the same class would else have
    two names that look the same.
    """
    return unicodedata.normalize("NFC", printable(text))


def require_list(classes: Any) -> None:
    """Refuses what a user gives for the names of classes and is no list: a text, or what has no order."""
    if isinstance(classes, str | bytes | Mapping | Set) or not isinstance(classes, Iterable):
        raise UserError(f"classes must be a list of names. Received: {described(classes)}.")


def order_of(names: Iterable[str]) -> type:
    """What labels are sorted by: `int` where all are numbers, as of a net whose classes have no names, else `str`."""
    return int if all(map(_is_number, names)) else str


def _is_number(name: str) -> bool:
    """Whether a label is a whole number as it is usually written; 007 is a name."""
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", name) is not None
