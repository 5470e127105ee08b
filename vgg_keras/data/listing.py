"""Which files and folders lie below a folder: links are followed, hidden files are skipped, doubtful places are noted."""

import os
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.errors import UserError
from vgg_keras.paths import printable


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, ordered by path, without hidden ones; links are followed as in a data set."""
    return sorted(Listing().files(folder))


class Listing:
    """The images below class folders, with notes for the user about links and shared folders.

    Links to folders are followed. A folder that is reached twice in one class is read once. A link to a folder above itself is
    not followed. Both are noted, and so is a folder that two classes or two splits share.
    """

    def __init__(self):
        self.notes: list[str] = []
        self._places: dict[tuple[int, int], str] = {}  # device and inode of each folder, and where it was found first

    def classes(self, root: Path) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
        """Class names and (path, label) of every file below them, without hidden ones, ordered by class and path."""
        folders = folders_in(root, self.notes)
        names = tuple(map(printable, folders))
        if len(names) < 2:
            raise UserError(
                "A data folder holds a folder of images for each of two or more classes. "
                f"Received: {printable(root)} with {len(names)}: {', '.join(names) or 'none'}."
            )
        files = []
        for label, folder in enumerate(folders):
            paths = sorted(self.files(root / folder))
            if not paths:
                noted = [note for note in self.notes if note.startswith(f"{printable(root / folder)}: ")]
                raise UserError(
                    f"Every class folder must hold images. Received: {printable(root / folder)}, which is empty."
                    + (f" {noted[0]}." if noted else "")
                )
            files += [(path, label) for path in paths]
        return names, files

    def files(self, folder: Path) -> Iterator[str]:
        """Every file below a folder, without hidden ones."""
        above = {_identity(parent) for place in (folder.absolute(), folder.resolve()) for parent in place.parents}
        of_class: set[tuple[int, int]] = set()
        folders, links = [(str(folder), False)], []
        while folders or links:
            # links last, so that a linked folder keeps its own place
            inside, shared = folders.pop() if folders else links.pop()
            identity = _identity(inside)
            if identity in above or identity in of_class:
                where = "above it" if identity in above or _is_above(inside) else "of its class that is read already"
                self.notes.append(f"{printable(inside)}: a link to a folder {where}, which is not followed")
                continue
            of_class.add(identity)
            if not shared and identity in self._places:
                other = printable(self._places[identity])
                self.notes.append(f"{printable(inside)}: the same folder as {other}; its images are read for both")
            shared = shared or identity in self._places
            self._places.setdefault(identity, inside)
            for entry in os.scandir(inside):
                if entry.name.startswith("."):
                    continue
                if not _is_folder(entry):
                    yield entry.path  # of any kind: the scan names what is no image
                else:
                    (links if entry.is_symlink() else folders).append((entry.path, shared))
            for waiting in (folders, links):
                waiting.sort(reverse=True)


def folders_in(root: Path, notes: list[str]) -> list[str]:
    """The names of the folders in `root`, without hidden ones; links that lead nowhere are noted."""
    found = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            found.append(entry.name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            notes.append(f"{printable(entry.path)}: a link that leads nowhere, which is left out")
    return found


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path | str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_above(link: str) -> bool:
    """Whether a link's folder contains the link."""
    return Path(link).parent.resolve().is_relative_to(Path(link).resolve())
