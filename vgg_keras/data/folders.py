"""A folder as a data set: `train/CLASS/*`, `val/CLASS/*` and perhaps `test/CLASS/*`, or one level of class folders.

Without `val/` a share of each class is held out to validate. With `data.validation=held_out` it is too; `test/`, else `val/`, is
then the test's.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vgg_keras.config import Data
from vgg_keras.data.image_files import split_of_files
from vgg_keras.data.listing import Files, Listing, folders_in
from vgg_keras.data.split_folders import require_splits, split_folders
from vgg_keras.data.splits import Source, Split, held_out_images
from vgg_keras.errors import UserError
from vgg_keras.paths import printable, user_path


def open_folder(data: Data, least: int = 2) -> Source:
    """The data set in the folder `data.source`; files are listed, sorted by name, and read while training runs.

    Args:
        data: the source, and how it is divided.
        least: classes that it must have: a training needs two, a trained net is tested on images of one too.

    Raises:
        UserError: an empty folder or class, fewer classes, class folders inside class folders, `train` alone, or classes that
            differ between the splits.
    """
    root, test, listing = user_path(data.source), None, Listing()
    parts = split_folders(root, listing.notes)
    require_splits(root, parts)
    own = data.validation == "own" and "val" in parts
    if parts:
        classes, train = listing.classes(parts["train"], least)
        if own:
            names, val = listing.classes(parts["val"], least)
            _require_same_classes(root, parts, classes, names)
            division = "its own " + ", ".join(f"{path.name}/" for path in parts.values())
        else:
            train, val = hold_out(parts["train"], train, data.holdout)
            division = f"about {data.holdout:.0%} of each class of {parts['train'].name}/ held out"
        name = test_part(parts, data)
        if name:
            test = _listed_as(listing, parts, name, classes)
            division += "" if own else f", its {parts[name].name}/ for the test"
    else:
        classes, files = listing.classes(root, least)
        train, val = hold_out(root, files, data.holdout)
        division = f"about {data.holdout:.0%} of each class held out"
    return Source(
        name=printable(data.source),
        description=f"{printable(root)}: {len(classes)} classes, {division}",
        classes=classes,
        train=split_of_files(root, train, classes, listing.notes),
        val=split_of_files(root, val, classes, listing.notes),
        test=test and split_of_files(root, test, classes, listing.notes),
        holds_out=not own,
    )


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that an evaluation names; arguments and results as in `sources.open_test`.

    Unlike a training, it needs only the folder that holds its images, of one class or more. `all` of class folders has every
    image, however few a class has.

    Raises:
        UserError: as in `open_folder`.
    """
    root, listing = user_path(data.source), Listing()
    parts = split_folders(root, listing.notes)
    name = name or ("test" if test_part(parts, data) else "val")
    wanted = parts_of(name, parts, data)
    if wanted:
        classes = listing.names(parts["train" if "train" in parts else wanted[0]], least=1)
        files = [file for part in wanted for file in _listed_as(listing, parts, part, classes)]
        division = " and ".join(f"{parts[part].name}/" for part in wanted)
    elif not parts and name == "all":
        require_splits(root, parts)
        (classes, files), division = listing.classes(root, least=1), "all of each class"
    else:
        source = open_folder(data, least=1)
        return source.description, source.classes, name, source.split(name)
    split = split_of_files(root, files, classes, listing.notes)
    return f"{printable(root)}: {len(classes)} classes, {division}", classes, name, split


def open_own_test(data: Data) -> Split | None:
    """The images of `test/`, else those of `val/` with `data.validation=held_out`; None where there is no such part."""
    parts = split_folders(user_path(data.source), [])
    return open_test(data, "test")[3] if test_part(parts, data) else None


def test_part(parts: Sequence[str], data: Data) -> str | None:
    """The part that is the test's: its own, or where a share of train/ validates, val/."""
    return "test" if "test" in parts else "val" if "val" in parts and data.validation == "held_out" else None


def parts_of(name: str, parts: Sequence[str], data: Data) -> list[str]:
    """The parts whose images an evaluation of this name reads whole, none where a part is divided for it."""
    if name == "all":
        return [part for part in ("test", "val", "train") if part in parts]
    divided = data.validation == "held_out" or ("val" not in parts and "test" in parts)
    found = {"test": test_part(parts, data), "val": None if divided else "val", "train": None if divided else "train"}
    return [part for part in (found[name],) if part in parts]


def _listed_as(listing: Listing, parts: dict[str, Path], name: str, classes: tuple[str, ...]) -> Files:
    """The files of a part with the labels of these classes, of which a test may have a few only."""
    ours, files = listing.classes(parts[name], least=1)
    if name != "test" and ours != classes:
        _require_same_classes(
            parts[name].parent, {"train": parts.get("train", parts[name]), "val": parts[name]}, classes, ours
        )
    if unknown := [one for one in ours if one not in classes]:
        raise UserError(
            f"A test has images of the classes that are trained. Received: {printable(parts[name])} with {unknown[0]!r}"
            + (f" and {len(unknown) - 1} more." if len(unknown) > 1 else ".")
        )
    labels = [classes.index(one) for one in ours]
    return [(path, labels[label]) for path, label in files]


def open_unlabelled(data: Data) -> tuple[str, tuple[str, ...], str, Split] | None:
    """The images of a folder without class folders, as `open_test` returns them: no classes, and each label -1.

    None where `data.source` is no such folder.
    """
    root, listing = user_path(data.source), Listing()
    if data.source == "digits" or not root.is_dir() or folders_in(root, []):
        return None
    files = [(path, -1) for path in sorted(listing.files(root))]
    if not files:
        return None
    return f"{printable(root)}: images without classes", (), "all", split_of_files(root, files, (), listing.notes)


def hold_out(root: Path, files: Files, share: float, by_class: bool = True) -> tuple[Files, Files]:
    """The training files and the validation files: this share of each class, or of all files.

    Args:
        root: the set's place, for a message.
        files: path and label of each; those of a class in their order.
        share: that validates.
        by_class: whether of each class.

    Raises:
        UserError: no class has images enough, or the set has not.
    """
    remedy = (
        "Name a larger share, or say which images validate: those in val/, or a list's with the split val. A test of all "
        "images takes --split=all."
    )
    labels = np.array([label for _, label in files]) if by_class else None
    validates = held_out_images(len(files), share, printable(root), labels, remedy)
    train = [file for file, held in zip(files, validates, strict=True) if not held]
    return train, [file for file, held in zip(files, validates, strict=True) if held]


def _require_same_classes(root: Path, parts: dict[str, Path], train: tuple[str, ...], val: tuple[str, ...]) -> None:
    if only := sorted(set(train) ^ set(val)):
        where = parts["train" if only[0] in train else "val"].name
        raise UserError(
            f"train/ and val/ must hold the same classes. Received: {printable(root)}, where '{only[0]}' is in {where}/ only"
            + (f" (and {len(only) - 1} more differ)." if len(only) > 1 else ".")
        )
