"""Which folders of a data set are its splits: train/, val/ and test/, under the names that people give them."""

from collections.abc import Collection
from pathlib import Path

from vgg_keras.data.listing import folders_in
from vgg_keras.data.split_names import ALL, DOUBTFUL, NAMES
from vgg_keras.errors import UserError
from vgg_keras.paths import printable


def split_folders(root: Path, notes: list[str]) -> dict[str, Path]:
    """The folders of `train`, `val` and `test` in `root`, by these names; none where it holds class folders.

    A test/ without class folders, as that of a competition, is left out with a note.

    Raises:
        UserError: two folders of one split.
    """
    folders = folders_in(root, [])
    named = {split: [name for name in folders if name.lower() in names] for split, names in NAMES.items()}
    if not named["train"] and not named["val"] and not all(name.lower() in ALL for name in folders):
        return {}
    if named["train"] and not named["val"] and not named["test"] and _is_a_class(root / named["train"][0], folders):
        return {}
    for split, names in named.items():
        if len(names) > 1:
            both = " and ".join(f"{printable(name)}/" for name in names)
            raise UserError(
                f"A set has one folder of each split. Received: {printable(root)}, where {both} are both for {split}. "
                "Rename one, or move it away."
            )
    found = {split: root / names[0] for split, names in named.items() if names}
    if len(found) > 1 and "test" in found and not folders_in(found["test"], []):
        notes.append(f"{printable(found.pop('test'))}: a folder without class folders, which is left out")
    return found


def _is_a_class(train: Path, folders: Collection[str]) -> bool:
    """Whether train/ is the class of this name, as among buses and cars: other classes lie beside it, and none in it."""
    return not folders_in(train, []) and any(name.lower() not in ALL for name in folders)


def require_splits(root: Path, found: Collection[str]) -> None:
    """Refuses what no training can use: train/ alone, splits without train/, and splits of doubtful names.

    Args:
        root: of the set.
        found: the names of `split_folders`.

    Raises:
        UserError: it is such a folder.
    """
    folders = folders_in(root, [])
    doubtful = {
        split: [name for name in folders if name.lower() in names and split not in found]
        for split, names in DOUBTFUL.items()
    }
    all_doubtful = {name for names in doubtful.values() for name in names} == set(folders) and len(folders) > 1
    complete = "train" in found and ("val" in found or ("test" in found and not doubtful["val"]))
    if complete or not (found or all_doubtful):
        return
    missing = [split for split in ("train", "val") if split not in found]
    tests = doubtful["test"] if "val" not in found and not doubtful["val"] else []  # beside train/ a test/ is enough
    labelled = ["test"] if tests and folders_in(root / tests[0], []) else []
    renamed = [
        f"Rename {printable(doubtful[one][0])}/ to {one}/, if it holds them."
        for one in (*missing, *labelled)
        if doubtful[one]
    ]
    if renamed:
        hint = " ".join(renamed)
    elif "train" in found:
        hint = "Or give that folder itself, of which a share of each class is held out to validate."
    else:
        hint = "Or give the class folders' own parent."
    without = " and ".join(f"{split}/" for split in missing)
    raise UserError(
        f"A folder with train/ needs val/ and the reverse. Received: {printable(root)} without {without}. {hint}"
    )
