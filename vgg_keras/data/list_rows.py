"""The rows of a CSV list: read and checked, each mistake named by its line."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.data.boxes import COLUMNS
from vgg_keras.data.listed_boxes import Box, parsed
from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import printable

SPLITS = ("train", "val", "test")
SEPARATOR = "|"  # between the labels of an image
_SPACE_AFTER_QUOTE = re.compile(r'" +(?=[,;\t\r\n]|$)')  # which csv refuses
_NAMED = 3  # mistakes of one kind that a message names


@dataclass(frozen=True)
class Row:
    """An image of a list, or a box of one; the line is that of the file, from 1. Several labels are joined by `|`."""

    line: int
    path: str
    label: str
    ignore: str
    split: str
    box: Box = ()
    any_number: bool = False  # whether it shows that the list is of a multi-label set


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a list, without spaces around their values; empty lines are skipped."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
            missing = [name for name in ("path", "label") if name not in names]
            if missing:
                raise UserError(
                    "A list begins with a line that names its columns, path and label among them. "
                    f"Received: {printable(path)} without {' and '.join(missing)}: {printable(header.strip()[:80])!r}."
                )
            boxes = set(COLUMNS) <= set(names)
            lines = (_SPACE_AFTER_QUOTE.sub('"', line) for line in file)
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
            for values in reader:
                line = reader.line_num + 1
                if not any(value.strip() for value in values):
                    continue
                if len(values) < len(names):
                    raise _wrong(path, line, f"{len(values)} values, where the first line names {len(names)}")
                row = dict(zip(names, map(str.strip, values), strict=False))
                label, ignore = (_normal(path, line, row.get(name, "")) for name in ("label", "ignore"))
                box = _box(path, line, [row[name] for name in COLUMNS]) if boxes else ()
                # a list of boxes has a row for each class of an image
                any_number = SEPARATOR in label or bool(ignore) or ("ignore" in names and not boxes)
                split = row.get("split", "").lower()
                yield _checked(path, Row(line, row["path"], label, ignore, split, box, any_number))
    except csv.Error as error:
        raise _wrong(path, reader.line_num + 1, str(error)) from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"A list is text in UTF-8. Received: {printable(path)}, whose byte {error.start} is none. Save it as UTF-8."
        ) from None


def _checked(path: Path, row: Row) -> Row:
    if not row.path:
        raise _wrong(path, row.line, "no path")
    if row.split not in ("", *SPLITS):
        raise _wrong(path, row.line, f"split {row.split!r}. {nearest(row.split, SPLITS)}")
    return row


def _normal(path: Path, line: int, text: str) -> str:
    """Several labels in alphabetical order, each once, without spaces around them."""
    names = [name.strip() for name in text.split(SEPARATOR)]
    if len(names) > 1 and not all(names):
        raise _wrong(path, line, f"the labels {text!r}, one of them empty")
    return SEPARATOR.join(sorted(set(names)))


def require_labels(path: Path, rows: Sequence[Row]) -> None:
    for row in rows:
        if not row.label:
            several = f"{SEPARATOR!r} between the labels of a row, or a column ignore"
            raise _wrong(path, row.line, f"no label. In a list with {several}, that is an image of no class")


def _box(path: Path, line: int, values: Sequence[str]) -> Box:
    try:
        return parsed(values)
    except ValueError:
        raise _wrong(path, line, f"the box {', '.join(values)}, where {', '.join(COLUMNS)} are numbers") from None


def each_image_once(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Each image once, of each of its classes in a list of boxes; refuses one of two labels or two splits, and a split that some
    rows lack."""
    if not rows:
        raise UserError(f"A list holds images. Received: {printable(path)}, with none.")
    first: dict[Any, Row] = {}  # of a file, and in a list of boxes of a class
    of_file: dict[str, Row] = {}
    for row in rows:
        place = os.path.normpath(row.path)
        several = row.box != () and SEPARATOR not in row.label  # of a list of boxes, an image of each class
        first.setdefault((place, row.label) if several else place, row)
        known = of_file.setdefault(place, row)
        for name in ("ignore", "split") if several else ("label", "ignore", "split"):
            ours, theirs = getattr(row, name), getattr(known, name)
            if ours != theirs:
                raise _wrong(
                    path, row.line, f"{row.path!r} with the {name} {ours!r}, which line {known.line} gives {theirs!r}"
                )
    kept = list(first.values())
    with_split = [row for row in kept if row.split]
    if with_split and len(with_split) < len(kept):
        without = next(row for row in kept if not row.split)
        raise _wrong(path, without.line, "no split, where other lines have one")
    return kept


def require_files(path: Path, rows: Sequence[Row]) -> None:
    missing = [row for row in rows if not os.path.lexists(file_of(path, row))]
    if missing:
        named = "; ".join(f"line {row.line}: {printable(row.path)}" for row in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise UserError(
            "The images of a list must exist; their paths are relative to its folder. "
            f"Received: {printable(path)}, {named}{more}."
        )


def file_of(path: Path, row: Row) -> str:
    """The path of a row's image."""
    return os.path.join(path.parent, os.path.expanduser(row.path))


def _wrong(path: Path, line: int, what: str) -> UserError:
    return UserError(
        f"Each line of a list is an image with its label. Received: {printable(path)}, line {line}: {what}."
    )
