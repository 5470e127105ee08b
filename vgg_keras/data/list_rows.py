"""The rows of a CSV list: read and checked, each mistake named by its line."""

import csv
import dataclasses
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vgg_keras.data.boxes import COLUMNS
from vgg_keras.data.class_names import class_name
from vgg_keras.data.listed_boxes import Box, parsed
from vgg_keras.data.split_names import DOUBTFUL, NAMES
from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import printable

SPLITS = ("train", "val", "test")
SEPARATOR = "|"  # between the labels of an image
_SPACE_AFTER_QUOTE = re.compile(r'" +(?=[,;\t\r\n]|$)')  # which csv refuses
_READ = ("path", "label", "ignore", "split", *COLUMNS)  # the columns
_LONGEST = 2**20  # characters of a line; of a file without line breaks, such as the image of a disk, no more is read
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
            following = _lines(path, file)
            header, empty = next(following, ""), []
            while header and not header.strip():
                empty.append(header)
                header = next(following, "")
            delimiter = max(",;\t", key=header.count)
            lines = (_SPACE_AFTER_QUOTE.sub('"', line) for line in itertools.chain(empty, [header], following))
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
            found = itertools.islice(_numbered(path, reader), len(empty), None)
            names = [name.strip().lower() for name in next(found)[1]]
            _require_columns(path, names, header)
            for line, values in found:
                if any(value.strip() for value in values):
                    yield _row(path, line, names, values, delimiter)
    except UnicodeDecodeError:
        line, place = _no_text(path)
        raise UserError(
            f"A list is text in UTF-8. Received: {printable(path)}, whose byte {place} is none, in line {line}. "
            "Save it as UTF-8."
        ) from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    for number in itertools.count(1):
        line = file.readline(_LONGEST)
        if not line:
            return
        if len(line) == _LONGEST:
            raise _wrong(path, number, f"{_LONGEST:,} characters or more")
        yield line


def _numbered(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The values of each row with the line of the file in which it begins: those between quotes may hold line breaks."""
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _wrong(path, line, str(error)) from None
        yield line, values


def _require_columns(path: Path, names: Sequence[str], header: str) -> None:
    """Refuses a list without a path or a label, or with two columns of one name, of which one would be read."""
    if missing := [name for name in ("path", "label") if name not in names]:
        raise UserError(
            "A list begins with a line that names its columns, path and label among them. "
            f"Received: {printable(path)} without {' and '.join(missing)}: {printable(header.strip()[:80])!r}."
        )
    if twice := [name for name in _READ if names.count(name) > 1]:
        raise UserError(f"A list names each column once. Received: {printable(path)} with {' and '.join(twice)} twice.")


def _row(path: Path, line: int, names: Sequence[str], values: Sequence[str], delimiter: str) -> Row:
    if len(values) < len(names):
        raise _wrong(path, line, f"{len(values)} values, where the first line names {len(names)}")
    if any(value.strip() for value in values[len(names) :]):  # else half of a label would be read
        quoted = f"A value with {delimiter!r} in it stands between quotes."
        raise _wrong(path, line, f"{len(values)} values, where the first line names {len(names)}", quoted)
    row, boxes = dict(zip(names, map(str.strip, values), strict=False)), set(COLUMNS) <= set(names)
    label, ignore = (_normal(path, line, row.get(name, "")) for name in ("label", "ignore"))
    box = _box(path, line, [row[name] for name in COLUMNS]) if boxes else ()
    # a list of boxes has a row for each class of an image
    any_number = SEPARATOR in label or bool(ignore) or ("ignore" in names and not boxes)
    if not row["path"]:
        raise _wrong(path, line, "no path")
    return Row(line, row["path"], label, ignore, _split(path, line, row.get("split", "")), box, any_number)


def _no_text(path: Path) -> tuple[int, int]:
    """The line of the first byte of a file that is no UTF-8, from 1, and its place in the file, from 0."""
    before = 0
    with open(path, "rb") as file:
        for line, content in enumerate(iter(lambda: file.readline(8 * _LONGEST), b""), start=1):
            try:
                content.decode()
            except UnicodeDecodeError as error:
                return line, before + error.start
            before += len(content)
    return 1, 0  # it was written anew since


def _split(path: Path, line: int, text: str) -> str:
    """The split that a word means, the same as of a folder of this name; empty for none."""
    word = text.lower()
    split = next((split for split, names in NAMES.items() if word in names), None)
    if split or not word:
        return split or ""
    meant = next((split for split, names in DOUBTFUL.items() if word in names), None)
    hint = f"Write {meant}, if it is meant." if meant else nearest(word, SPLITS)
    raise _wrong(path, line, f"split {text!r}", hint)


def _normal(path: Path, line: int, text: str) -> str:
    """Several labels in alphabetical order, each once, without spaces around them, as `class_name` writes them."""
    names = [class_name(name.strip()) for name in text.split(SEPARATOR)]
    if len(names) > 1 and not all(names):
        raise _wrong(path, line, f"the labels {text!r}, one of them empty")
    return SEPARATOR.join(sorted(set(names)))


def require_labels(path: Path, rows: Sequence[Row]) -> None:
    for row in rows:
        if not row.label:
            several = f"{SEPARATOR!r} between the labels of a row, or a column ignore"
            raise _wrong(path, row.line, "no label", f"In a list with {several}, that is an image of no class.")


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
        place = os.path.abspath(file_of(path, row))  # by a relative and by an absolute path it is one image
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
            f"Received: {printable(path)}, {named}{more}.{_remedy(path, missing[0])}"
        )


def _remedy(path: Path, missing: Row) -> str:
    """What to write for the path of an image that does not exist, a sentence; empty where nothing is known."""
    if os.path.lexists(file_of(path, dataclasses.replace(missing, path=missing.path.replace("\\", "/")))):
        return " Write / where its paths have \\."
    folder, name = os.path.split(file_of(path, missing))
    try:
        beside = os.listdir(folder)
    except (OSError, ValueError):  # the latter: of a name with a zero byte
        return ""
    wanted = unicodedata.normalize("NFC", name)
    for one in beside:
        composed = unicodedata.normalize("NFC", one)
        if composed == wanted:
            return " On the disk its name has the same letters in another Unicode form (NFC or NFD). Write it as it is there."
        if composed.casefold() == wanted.casefold():
            return f" Did you mean {printable(os.path.join(os.path.dirname(missing.path), one))}?"
    return ""


def file_of(path: Path, row: Row) -> str:
    """The path of a row's image."""
    return os.path.join(path.parent, os.path.expanduser(row.path))


def _wrong(path: Path, line: int, what: str, hint: str = "") -> UserError:
    return UserError(
        f"Each line of a list is an image with its label. Received: {printable(path)}, line {line}: {what}."
        + (f" {hint}" if hint else "")
    )
