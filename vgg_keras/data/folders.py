"""A folder as a data set: `train/CLASS/*` and `val/CLASS/*`, or one level of class folders with a share held out.

With `data.validation=held_out` the share is held out of `train/`, and `val/` is the test's.
"""

import math
from pathlib import Path

import numpy as np

from vgg_keras.config import Data
from vgg_keras.data.image_files import split_of_files
from vgg_keras.data.listing import Listing, folders_in
from vgg_keras.data.splits import Source, Split, held_out
from vgg_keras.errors import UserError
from vgg_keras.paths import printable, user_path


def open_folder(data: Data) -> Source:
    """The data set in the folder `data.source`; files are listed, sorted by name, and read while training runs.

    Raises:
        UserError: an empty folder or class, one class only, `train` without `val`, or classes that differ between them.
    """
    root, test, listing = user_path(data.source), None, Listing()
    folders = folders_in(root, [])
    _require_split_names(root, folders)
    if "train" in folders:
        classes, train = listing.classes(root / "train")
        val_classes, val = listing.classes(root / "val")
        _require_same_classes(root, classes, val_classes)
        division = "its own train/ and val/"
        if data.validation == "held_out":
            test = val
            train, val = hold_out(root / "train", train, data.holdout)
            division = f"about {data.holdout:.0%} of each class of train/ held out, its val/ for the test"
    else:
        classes, files = listing.classes(root)
        train, val = hold_out(root, files, data.holdout)
        division = f"about {data.holdout:.0%} of each class held out"
    return Source(
        name=printable(data.source),
        description=f"{printable(root)}: {len(classes)} classes, {division}",
        classes=classes,
        train=split_of_files(root, train, classes, listing.notes),
        val=split_of_files(root, val, classes, listing.notes),
        test=test and split_of_files(root, test, classes, listing.notes),
    )


# Names of folders that are splits and no classes, by the name that each must have. A test set is not for validation.
_SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "vali", "dev", "eval"),
    "test": ("test", "testing", "tst"),
}


def _require_split_names(root: Path, folders: list[str]) -> None:
    """Refuses train/ without val/, the reverse, and splits of other names, which would be read as classes."""
    splits = [name for names in _SPLIT_NAMES.values() for name in names]
    if not {"train", "val"} & set(folders) and not (
        len(folders) > 1 and all(name.lower() in splits for name in folders)
    ):
        return
    missing = [split for split in ("train", "val") if split not in folders]
    if not missing:
        return
    others = {split: next((name for name in folders if name.lower() in _SPLIT_NAMES[split]), None) for split in missing}
    renamed = [f"Rename {printable(name)}/ to {split}/, if it holds them." for split, name in others.items() if name]
    if renamed:
        hint = " ".join(renamed)
    elif "train" in folders:
        hint = f"Or give {printable(root / 'train')}, of which a share of each class is held out to validate."
    else:
        hint = "Or give the class folders' own parent."
    without = " and ".join(f"{split}/" for split in missing)
    raise UserError(
        f"A folder with train/ needs val/ and the reverse. Received: {printable(root)} without {without}. {hint}"
    )


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that an evaluation names; arguments and results as in `sources.open_test`.

    Unlike a training, it needs only that of train/ and val/ which holds its images. `all` of class folders has every image,
    however few a class has.

    Raises:
        UserError: as in `open_folder`.
    """
    root, listing = user_path(data.source), Listing()
    given = [part for part in ("val", "train") if part in folders_in(root, [])]
    name = name or ("test" if given and data.validation == "held_out" else "val")
    folder_of = (
        {"val": "val", "train": "train"} if data.validation == "own" else {"test": "val"}
    )  # splits with their own
    if given and (name == "all" or folder_of.get(name) in given):
        parts = given if name == "all" else [folder_of[name]]
        listed = [listing.classes(root / part) for part in parts]
        if len(listed) == 2:
            _require_same_classes(root, listed[1][0], listed[0][0])
        classes, division = listed[0][0], " and ".join(f"{part}/" for part in parts)
        files = [file for _, found in listed for file in found]
    elif not given and name == "all":
        _require_split_names(root, folders_in(root, []))
        (classes, files), division = listing.classes(root), "all of each class"
    else:
        source = open_folder(data)
        return source.description, source.classes, name, source.split(name)
    split = split_of_files(root, files, classes, listing.notes)
    return f"{printable(root)}: {len(classes)} classes, {division}", classes, name, split


def open_unlabelled(data: Data) -> tuple[str, tuple[str, ...], str, Split] | None:
    """The images of a folder without class folders, as `open_test` returns them: no classes, and each label -1.

    None where `data.source` is no such folder.
    """
    root, listing = user_path(data.source), Listing()
    if not root.is_dir() or folders_in(root, []):
        return None
    files = [(path, -1) for path in sorted(listing.files(root))]
    if not files:
        return None
    return f"{printable(root)}: images without classes", (), "all", split_of_files(root, files, (), listing.notes)


def hold_out(root: Path, files: list[tuple[str, int]], share: float) -> tuple[list, list]:
    """The training files and the validation files: this share of each class.

    Args:
        root: the set's place, for a message.
        files: path and label of each, class after class.
        share: that validates.

    Raises:
        UserError: no class has images enough.
    """
    counts = np.bincount([label for _, label in files])
    validates = np.concatenate([held_out(count, share) for count in counts])
    if not validates.any():
        raise UserError(
            f"A class needs {math.ceil(1 / share)} images to hold one out (data.holdout={share:g}). "
            f"Received: {printable(root)}, where none has so many. Name a larger share, or put images into train/ and val/."
        )
    train = [file for file, held in zip(files, validates, strict=True) if not held]
    return train, [file for file, held in zip(files, validates, strict=True) if held]


def _require_same_classes(root: Path, train: tuple[str, ...], val: tuple[str, ...]) -> None:
    if only := sorted(set(train) ^ set(val)):
        where = "train" if only[0] in train else "val"
        raise UserError(
            f"train/ and val/ must hold the same classes. Received: {printable(root)}, where '{only[0]}' is in {where}/ only"
            + (f" (and {len(only) - 1} more differ)." if len(only) > 1 else ".")
        )
