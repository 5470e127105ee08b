"""A CSV list as a data set: a row for each image, with its path and its label or labels.

    path,label,split
    photos/a.jpg,tulip,train
    photos/b.jpg,iris,val

Paths are relative to the list's folder. `split` is optional: train, val or test. Without it a share of each class is held out.
Columns of other names are ignored. The same path may come again with the same label.

With several labels in a row, as in `cat|dog`, or with a column `ignore`, the set is a multi-label set: each row has any number of
labels, or none. Labels in the column `ignore` are neither trained nor counted for the image.

    path,label,xmin,ymin,xmax,ymax
    photos/a.jpg,tulip,31,40,212,199
    photos/a.jpg,tulip,250,38,402,230

A row of such a list is a box, in pixels of the image as it is shown; empty columns: the image has none. An image with boxes of
several classes is an image of each of them. What is wrong with a box is known once the image's size is: see `scan.py`.
"""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.config import Data
from vgg_keras.data.boxes import COLUMNS
from vgg_keras.data.folders import hold_out
from vgg_keras.data.image_files import split_of_files
from vgg_keras.data.listed_boxes import Box, ListedBoxes, parsed
from vgg_keras.data.multi_label import label_row
from vgg_keras.data.splits import Source
from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import printable, user_path

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


def open_list(data: Data) -> Source:
    """The data set of the list `data.source`.

    Raises:
        UserError: a file that is no such list, rows that are wrong or contradict each other, or images that do not exist; the
            lines are named.
    """
    path = user_path(data.source)
    listed = list(_read(path))
    rows = _require_consistent(path, listed)
    boxes = ListedBoxes([(_file(path, row), row.label, row.box) for row in listed])
    _require_files(path, rows)
    multi_label = any(row.any_number for row in rows)
    if not multi_label:
        _require_labels(path, rows)
    # the labels of an image have one number, in a multi-label set that of its row in a table
    numbers = {pair: number for number, pair in enumerate(sorted({(row.label, row.ignore) for row in rows}))}
    classes = tuple(sorted({name for pair in numbers for name in (_names(pair) if multi_label else pair[:1])}))
    if len(classes) < 2 and listed[0].box == ():  # one box for all classes needs no second one
        raise UserError(
            f"A list holds images of two or more classes. Received: {printable(path)} with {classes[0]!r} alone."
        )
    parts: dict[str, list[tuple[str, int]]] = {name: [] for name in ("", *SPLITS)}
    for row in sorted(rows, key=lambda row: (row.label, row.path)):  # `hold_out` needs class after class
        parts[row.split].append((_file(path, row), numbers[row.label, row.ignore]))
    table = _label_rows(classes, numbers) if multi_label else None

    def held_out(files):
        train, val = hold_out(path, files, data.holdout, by_class=not multi_label)
        if multi_label:
            kept = set(_without_only_images(path, train, val, table))
            train, val = [one for one in files if one not in kept], [one for one in val if one in kept]
        train, val = _whole_pictures(train, val)
        return train, val, f"about {data.holdout:.0%} of {'the images' if multi_label else 'each class'}"

    if parts[""]:
        train, val, share = held_out(parts[""])
        test, division = None, f"{share} held out"
    else:
        train, val, test, division = _own_division(path, parts, data, held_out)
    _require_trained(path, classes, train, table)
    labels, notes = [label for label, _ in numbers], boxes.notes(path)

    def split(files):
        made = split_of_files(path.parent, files, classes, notes, rows=table)
        return boxes.added_to(made, [(file, labels[number]) for file, number in files])

    kind = ", any number of them an image" if multi_label else ""
    return Source(
        name=printable(data.source),
        description=f"{printable(path)}: {len(classes)} classes{kind}, {division}",
        classes=classes,
        train=split(train),
        val=split(val),
        test=split(test) if test else None,
    )


def _names(texts: Iterable[str]) -> list[str]:
    """The labels in texts."""
    return [name for text in texts for name in text.split(SEPARATOR) if name]


def _label_rows(classes: Sequence[str], pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """The labels of a multi-label set by their numbers, (pairs, classes) int8."""
    places = {name: place for place, name in enumerate(classes)}
    return np.stack([label_row(places, *(_names([text]) for text in pair)) for pair in pairs])


def _without_only_images(
    path: Path, train: Sequence[tuple[str, int]], held: Sequence[tuple[str, int]], table: np.ndarray
) -> list[tuple[str, int]]:
    """The held-out images of a multi-label set without those that alone have one of their classes: these are trained on.

    Raises:
        UserError: no image is left to validate.
    """
    known, val = _known(train, table), []
    for file in held:
        found = set(np.flatnonzero(table[file[1]] > 0).tolist())
        if found <= known:
            val.append(file)
        known |= found
    if not val:
        raise UserError(
            "An image that validates has classes of other images. "
            f"Received: {printable(path)}, where each held-out image is the only one of a class. "
            "Name a larger data.holdout, or give the list a column split."
        )
    return val


def _own_division(
    path: Path, parts: dict[str, list], data: Data, held_out: Callable
) -> tuple[list, list, list | None, str]:
    """Training, validation and test files of a list with splits, and a description."""
    train, val, test = (parts[name] for name in SPLITS)
    if not train or not (val or data.validation == "held_out" or test):
        given = ", ".join(name for name in SPLITS if parts[name])
        raise UserError(
            f"A list with splits has images of train and of val. Received: {printable(path)} with {given} alone. "
            "Or leave the column out, and a share of each class is held out."
        )
    if data.validation == "own" and val:
        names = "train, val and test" if test else "train and val"
        return train, val, test or None, f"its own {names}"
    # held out of the training images; the list's other images are the test's
    train, held, share = held_out(train)
    test = test or val
    rest = ", its other images for the test" if test else ""
    return train, held, test or None, f"{share} of train held out{rest}"


def _whole_pictures(train: list, held: list) -> tuple[list, list]:
    """The division with a picture of several classes on one side: that of the images held out, if one of its classes is."""
    files = {file for file, _ in held}
    return [one for one in train if one[0] not in files], held + [one for one in train if one[0] in files]


def _read(path: Path) -> Iterator[Row]:
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


def _require_labels(path: Path, rows: Sequence[Row]) -> None:
    for row in rows:
        if not row.label:
            several = f"{SEPARATOR!r} between the labels of a row, or a column ignore"
            raise _wrong(path, row.line, f"no label. In a list with {several}, that is an image of no class")


def _box(path: Path, line: int, values: Sequence[str]) -> Box:
    try:
        return parsed(values)
    except ValueError:
        raise _wrong(path, line, f"the box {', '.join(values)}, where {', '.join(COLUMNS)} are numbers") from None


def _require_consistent(path: Path, rows: Sequence[Row]) -> list[Row]:
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


def _require_files(path: Path, rows: Sequence[Row]) -> None:
    missing = [row for row in rows if not os.path.lexists(_file(path, row))]
    if missing:
        named = "; ".join(f"line {row.line}: {printable(row.path)}" for row in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise UserError(
            "The images of a list must exist; their paths are relative to its folder. "
            f"Received: {printable(path)}, {named}{more}."
        )


def _require_trained(
    path: Path, classes: Sequence[str], train: Sequence[tuple[str, int]], table: np.ndarray | None
) -> None:
    """Refuses classes that no training image has."""
    known = _known(train, table)
    if missing := [name for label, name in enumerate(classes) if label not in known]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"Every class has training images. Received: {printable(path)}, with none of {missing[0]!r}{more}."
        )


def _known(files: Sequence[tuple[str, int]], table: np.ndarray | None) -> set[int]:
    """The numbers of the classes that some of these images have."""
    numbers = {number for _, number in files}
    return numbers if table is None else set(np.flatnonzero((table[list(numbers)] > 0).any(axis=0)).tolist())


def _file(path: Path, row: Row) -> str:
    """The path of a row's image."""
    return os.path.join(path.parent, os.path.expanduser(row.path))


def _wrong(path: Path, line: int, what: str) -> UserError:
    return UserError(
        f"Each line of a list is an image with its label. Received: {printable(path)}, line {line}: {what}."
    )
