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

import os
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgg_keras.config import Data
from vgg_keras.data.class_names import order_of
from vgg_keras.data.folders import hold_out, parts_of, test_part
from vgg_keras.data.image_files import split_of_files
from vgg_keras.data.list_rows import (
    SEPARATOR,
    SPLITS,
    Row,
    each_image_once,
    file_of,
    read_rows,
    require_files,
    require_labels,
)
from vgg_keras.data.listed_boxes import ListedBoxes
from vgg_keras.data.listing import Files
from vgg_keras.data.multi_label import label_row
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable, user_path


@dataclass(frozen=True)
class _Listed:
    """What a list says.

    Attributes:
        path: of the list.
        rows: each image once, by label and path, as `hold_out` needs them.
        numbers: of each label with what is ignored beside it; in a multi-label set that of its row in `table`.
        classes: the names.
        table: of a multi-label set its labels, (numbers, classes) int8; else None.
        boxes: of the images.
    """

    path: Path
    rows: Sequence[Row]
    numbers: dict[tuple[str, str], int]
    classes: tuple[str, ...]
    table: np.ndarray | None
    boxes: ListedBoxes

    @property
    def parts(self) -> list[str]:
        """The splits that its rows name."""
        return [split for split in SPLITS if any(row.split == split for row in self.rows)]

    def files(self, *splits: str) -> Files:
        """The files of these splits, one after the other, with the numbers of their labels."""
        of_splits = (row for split in splits for row in self.rows if row.split == split)
        return [(file_of(self.path, row), self.numbers[row.label, row.ignore]) for row in of_splits]

    def split(self, files: Files) -> Split:
        """The split of these files."""
        labels = [label for label, _ in self.numbers]
        made = split_of_files(self.path.parent, files, self.classes, self.boxes.notes(self.path), rows=self.table)
        return self.boxes.added_to(made, [(file, labels[number]) for file, number in files])

    def described(self, division: str) -> str:
        """A line on the set."""
        kind = ", any number of them per image" if self.table is not None else ""
        return f"{printable(self.path)}: {len(self.classes)} classes{kind}, {division}"


def open_list(data: Data) -> Source:
    """The data set of the list `data.source`.

    Raises:
        UserError: a file that is no such list, rows that are wrong or contradict each other, or images that do not exist; the
            lines are named.
    """
    return _source(_read(data), data)


def _source(listed: _Listed, data: Data) -> Source:
    train, val, test, division = _divided(listed, data)
    _require_trained(listed.path, listed.classes, train, listed.table)
    return Source(
        name=printable(data.source),
        description=listed.described(division),
        classes=listed.classes,
        train=listed.split(train),
        val=listed.split(val),
        test=listed.split(test) if test else None,
        holds_out=data.validation == "held_out" or not listed.files("val"),
    )


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that an evaluation names; arguments and results as in `sources.open_test`.

    Unlike a training, it needs only rows of that split, of one class or more. `all` has every image, however few a class has.

    Raises:
        UserError: as in `open_list`.
    """
    listed = _read(data, least=1)
    parts = listed.parts
    name = name or ("test" if test_part(parts, data) else "val")
    wanted = parts_of(name, parts, data) if parts or name != "all" else [""]
    if not wanted:
        source = _source(listed, data)
        return source.description, source.classes, name, source.split(name)
    division = f"its own {' and '.join(wanted)}" if parts else "all images"
    return listed.described(division), listed.classes, name, listed.split(listed.files(*wanted))


def open_own_test(data: Data) -> Split | None:
    """The images of the rows of test, else those of val with `data.validation=held_out`; None where there are no such rows."""
    listed = _read(data)
    part = test_part(listed.parts, data)
    return listed.split(listed.files(part)) if part else None


def _read(data: Data, least: int = 2) -> _Listed:
    """What the list `data.source` says, of so many classes at least."""
    path = user_path(data.source)
    listed = list(read_rows(path))
    rows = each_image_once(path, listed)
    require_files(path, rows)
    multi_label = any(row.any_number for row in rows)
    if not multi_label:
        require_labels(path, rows)
    rows, numbers, classes = _numbered(rows, multi_label)
    if len(classes) < least and listed[0].box == ():  # one box for all classes needs no second one
        raise UserError(
            f"A list holds images of {'two' if least > 1 else 'one'} or more classes. Received: {printable(path)} with "
            + (f"{classes[0]!r} alone." if classes else "none.")
        )
    table = _label_rows(classes, numbers) if multi_label else None
    boxes = ListedBoxes([(file_of(path, row), row.label, row.box) for row in listed])
    return _Listed(path, rows, numbers, classes, table, boxes)


def _numbered(rows: Sequence[Row], multi_label: bool) -> tuple[list[Row], dict[tuple[str, str], int], tuple[str, ...]]:
    """The rows by label and path, the numbers of `_Listed`, and the classes."""
    pairs = {(row.label, row.ignore) for row in rows}
    names = {name for pair in pairs for name in (_names(pair) if multi_label else pair[:1])}
    order = order_of(names)
    of_label = str if multi_label else order
    numbers = {pair: number for number, pair in enumerate(sorted(pairs, key=lambda pair: (of_label(pair[0]), pair[1])))}
    return sorted(rows, key=lambda row: (of_label(row.label), row.path)), numbers, tuple(sorted(names, key=order))


def _divided(listed: _Listed, data: Data) -> tuple[Files, Files, Files | None, str]:
    """The training, validation and test files with the numbers of their labels, and how they were divided."""
    if files := listed.files(""):
        train, val, share = _held_out(listed, files, data)
        return train, val, None, f"{share} held out"
    train, val, test = (listed.files(name) for name in SPLITS)
    if not train or not (val or data.validation == "held_out" or test):
        raise UserError(
            "A list with splits has images of train and of val. "
            f"Received: {printable(listed.path)} with {', '.join(listed.parts)} alone. "
            "Or leave the column out, and a share of each class is held out."
        )
    if data.validation == "own" and val:
        names = "train, val and test" if test else "train and val"
        return train, val, test or None, f"its own {names}"
    # held out of the training images; the list's other images are the test's
    train, held, share = _held_out(listed, train, data)
    test = test or val
    rest = ", its other images for the test" if test else ""
    return train, held, test or None, f"{share} of train held out{rest}"


def _held_out(listed: _Listed, files: Files, data: Data) -> tuple[Files, Files, str]:
    """The files that train and those that are held out to validate, and the share of these."""
    multi_label = listed.table is not None
    train, val = hold_out(listed.path, files, data.holdout, by_class=not multi_label)
    if multi_label or listed.rows[0].box != ():  # else an image has one class, of which others are trained
        train, val = _by_pictures(listed, files, {os.path.abspath(file) for file, _ in val})
    return train, val, f"about {data.holdout:.0%} of {'the images' if multi_label else 'each class'}"


def _names(texts: Iterable[str]) -> list[str]:
    """The labels in texts."""
    return [name for text in texts for name in text.split(SEPARATOR) if name]


def _label_rows(classes: Sequence[str], pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """The labels of a multi-label set by their numbers, (pairs, classes) int8."""
    places = {name: place for place, name in enumerate(classes)}
    return np.stack([label_row(places, *(_names([text]) for text in pair)) for pair in pairs])


def _by_pictures(listed: _Listed, files: Files, held: Set[str]) -> tuple[Files, Files]:
    """The division of whole pictures: in a list of boxes several images may be of one, each of another class.

    Pictures held out that alone have one of their classes are trained on.

    Raises:
        UserError: no picture is left to validate.
    """
    pictures = [os.path.abspath(file) for file, _ in files]
    classes: dict[str, set[int]] = {}  # of each picture that is held out
    for picture, file in zip(pictures, files, strict=True):
        if picture in held:
            classes.setdefault(picture, set()).update(_known([file], listed.table))
    known = _known([file for picture, file in zip(pictures, files, strict=True) if picture not in held], listed.table)
    validating = set()
    for picture, found in classes.items():
        if found <= known:
            validating.add(picture)
        known |= found
    if not validating:
        raise UserError(
            "An image that validates has classes of other images. "
            f"Received: {printable(listed.path)}, where each held-out image is the only one of a class. "
            "Name a larger data.holdout, or give the list a column split."
        )
    divided: tuple[Files, Files] = [], []
    for picture, file in zip(pictures, files, strict=True):
        divided[picture in validating].append(file)
    return divided


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
