"""Which files and folders lie below a folder: links are followed, hidden files are skipped, doubtful places are noted."""

import contextlib
import itertools
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.data.class_names import class_name
from vgg_keras.data.split_names import ALL
from vgg_keras.errors import UserError
from vgg_keras.paths import printable

Files = list[tuple[str, int]]  # the path and the label of each
# What systems leave in folders, beside names that begin with a dot: Windows, zip files of macOS, Synology, disks of Linux. None
# is a class, and the thumbnails in @eaDir would be images.
_OF_SYSTEMS = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "@eadir", "lost+found"),
)


def files_below(folder: Path) -> list[str]:
    """Every file below a folder, ordered by path, without hidden ones; links are followed as in a data set."""
    return sorted(Listing().files(folder))


class Listing:
    """The images below class folders, with notes for the user about links and shared folders.

    Links are followed. A folder or a file that is reached twice in one class is read once. A link to a folder above itself is
    not followed. Each is noted, and so is a folder that two classes or two splits share.
    """

    def __init__(self):
        self.notes: list[str] = []
        self._links: list[str] = []  # to files, in the class that is listed
        self._places: dict[tuple[int, int], str] = {}  # device and inode of each folder, and where it was found first

    def names(self, root: Path, least: int = 2) -> tuple[str, ...]:
        """The names of the class folders in `root`, in their order.

        Raises:
            UserError: fewer than `least`; the level that was probably meant is named.
        """
        folders = folders_in(root, self.notes)
        names = tuple(map(class_name, folders))
        if again := [one for one, other in itertools.pairwise(names) if one == other]:
            raise UserError(
                f"Each class has one folder. Received: {printable(root)} with two of {again[0]!r}, whose names are the same "
                "letters in two Unicode forms (NFC and NFD). Put their images into one."
            )
        level = _other_level(root) if len(names) < 2 else ""
        if len(names) < least or (names and level):  # a single folder may hold the class folders
            raise UserError(
                f"A data folder holds a folder of images for each of {'two' if least > 1 else 'one'} or more classes. "
                f"Received: {printable(root)} with {len(names)}: {', '.join(names) or 'none'}.{level}"
            )
        return names

    def classes(self, root: Path, least: int = 2) -> tuple[tuple[str, ...], Files]:
        """Class names and (path, label) of every file below them, without hidden ones, ordered by class and path.

        Raises:
            UserError: fewer class folders than `least`, an empty one, or one of class folders.
        """
        names, files = self.names(root, least), []
        for label, folder in enumerate(folders_in(root, [])):
            self._links.clear()
            paths = self._each_once(sorted(self.files(root / folder)))
            if not paths:
                noted = [note for note in self.notes if note.startswith(f"{printable(root / folder)}: ")]
                raise UserError(
                    f"Every class folder must hold images. Received: {printable(root / folder)}, which is empty."
                    + (f" {noted[0]}." if noted else "")
                )
            _require_one_level(root / folder, paths)
            files += [(path, label) for path in paths]
        return names, files

    def _each_once(self, paths: list[str]) -> list[str]:
        """The files of a class without the links to others of them, and without second links to a file."""
        if not self._links:
            return paths
        links, again = set(self._links), []
        known = {_identity(path) for path in paths if path not in links}
        for path in sorted(links):
            with contextlib.suppress(OSError):  # one that leads nowhere, or to itself: the scan names it
                identity = _identity(path)
                if identity in known:
                    again.append(path)
                known.add(identity)
        if again:
            more = f" and {len(again) - 1:,} more" if len(again) > 1 else ""
            self.notes.append(f"{printable(again[0])}{more}: a link to a file of its class that is read already")
        repeated = set(again)
        return [path for path in paths if path not in repeated]

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
                if _is_hidden(entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):  # nearly all
                    yield entry.path
                elif not _is_folder(entry):
                    if entry.is_symlink():
                        self._links.append(entry.path)
                    yield entry.path  # of any kind: the scan names what is no image
                else:
                    (links if entry.is_symlink() else folders).append((entry.path, shared))
            for waiting in (folders, links):
                waiting.sort(reverse=True)


def folders_in(root: Path, notes: list[str]) -> list[str]:
    """The names of the folders in `root` in the order of the classes, without hidden ones; links that lead nowhere are noted."""
    found = []
    # in one form of Unicode: else classes of one name would have another order on another machine
    for entry in sorted(os.scandir(root), key=lambda entry: unicodedata.normalize("NFC", entry.name)):
        if _is_hidden(entry.name):
            continue
        if _is_folder(entry):
            found.append(entry.name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            notes.append(f"{printable(entry.path)}: a link that leads nowhere, which is left out")
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _require_one_level(folder: Path, paths: list[str]) -> None:
    """Refuses a class folder that holds folders of images and no image itself: they are probably the classes.

    A single folder in each class, such as Tiny ImageNet's `images/`, is none of these.
    """
    start = len(str(folder)) + 1
    if any(os.sep not in path[start:] for path in paths):
        return
    inside = list(dict.fromkeys(path[start:].split(os.sep, 1)[0] for path in paths))
    if len(inside) < 2:
        return
    more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
    raise UserError(
        f"A class folder holds its images. Received: {printable(folder)}, with folders of images and none of its own: "
        f"{', '.join(map(printable, inside[:3]))}{more}.{_level(folder)} Or list the images with their labels in a .csv file."
    )


_UNLABELLED = "move its files into a folder for each class, or list them with their labels in a .csv file."


def _other_level(root: Path) -> str:
    """The folder below or above `root` that holds class folders, and what its own files need, in sentences; perhaps empty."""
    below = root
    while len(folders := folders_in(below, [])) == 1 and below.parents:
        below = below / folders[0]
        if len(folders_in(below, [])) > 1 and not _holds_files(below):
            return _level(below)
    if folders_in(root, []) or not any(root.iterdir()):
        return ""
    above = root.absolute().parent
    # the images of ILSVRC's val/ lie in one folder: no class, and no part of a set whose other folders are classes
    if root.absolute().name.lower() not in ALL and len(folders_in(above, [])) > 1:
        return f"{_level(above)} Or {_UNLABELLED}"
    return f" {_UNLABELLED.capitalize()}"


def _holds_files(folder: Path) -> bool:
    with os.scandir(folder) as entries:  # the first file ends the search
        return any(entry.is_file() and not _is_hidden(entry.name) for entry in entries)


def _level(folder: Path) -> str:
    return f" Did you mean {printable(folder)}?"


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
