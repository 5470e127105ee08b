"""A row of numbers for each image of a set, in one `.npz` file: posteriors of an evaluation, descriptors of a net."""

import dataclasses
import hashlib
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import numpy as np

from vgg_keras.data.multi_label import label_text
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.evaluation.evaluated_net import from_json
from vgg_keras.files import replacing
from vgg_keras.plain_values import to_dict
from vgg_keras.weights.classes import first_difference

_ARRAYS = ("labels", "fingerprints", "done")
_DESCRIBED = ("ids", "classes", "seconds")


@dataclass(frozen=True, kw_only=True)
class ImageRows:
    """What nets compute for every image of a set. A subclass adds the array of the rows.

    Attributes:
        labels: (images,) int32; of a multi-label set (images, classes) int8, as in a `Split`.
        ids: the images' names.
        fingerprints: (images,) int64 of the files' bytes: images of one name may be two.
        classes: the names of the labels.
        nets: what each net is and how its rows were made: settings, data, versions.
        done: (images,) bool; False where a row is not known yet.
        seconds: that the passes took.
    """

    FILE: ClassVar[str]  # the usual name
    NAME: ClassVar[str]  # of the array with the rows, (images, columns) float32; a mapped file where they are many
    RULE: ClassVar[str]  # what such a file is, for messages
    NET: ClassVar[type]  # the dataclass of each of `nets`
    BY_LABEL: ClassVar[bool] = False  # whether a row depends on the image's label
    OF_IMAGES: ClassVar[
        tuple[str, ...]
    ] = ()  # fields of a net that follow from the images, and are compared after them

    labels: np.ndarray
    ids: tuple[str, ...]
    fingerprints: np.ndarray
    classes: tuple[str, ...]
    nets: tuple[Any, ...]
    done: np.ndarray
    seconds: float

    @property
    def rows(self) -> np.ndarray:
        """The array with the rows."""
        return getattr(self, self.NAME)

    @property
    def multi_label(self) -> bool:
        """Whether an image has any number of classes."""
        return self.labels.ndim == 2

    def label_text(self, image: int) -> str:
        """The class of an image, or all its classes."""
        return label_text(self.labels[image], self.classes) if self.classes else ""

    @property
    def images_sha256(self) -> str:
        """sha256 over the images' names and fingerprints, in their order."""
        return hashlib.sha256("\n".join(self.ids).encode() + self.fingerprints.tobytes()).hexdigest()

    def with_rows(self, array: np.ndarray) -> Self:
        """The same images with other rows."""
        return dataclasses.replace(self, **{self.NAME: array})

    def check(self) -> None:
        """Raises a `ValueError` where the values cannot be right."""
        images = len(self.ids)
        of_rows = (images, len(self.classes)), np.int8
        for name, shape, kind in (
            (self.NAME, (images, self.rows.shape[-1] if self.rows.ndim else 0), np.float32),
            ("labels", *(of_rows if self.multi_label else ((images,), np.int32))),
            ("fingerprints", (images,), np.int64),
            ("done", (images,), np.bool_),
        ):
            array = getattr(self, name)
            if (array.shape, array.dtype) != (shape, kind):
                raise ValueError(f"{name} of shape {array.shape} and type {array.dtype}")
        lowest, highest = (-1, 1) if self.multi_label else (0, len(self.classes) - 1)
        known = self.labels.min(initial=0) >= lowest and self.labels.max(initial=0) <= highest
        if images == 0 or (self.classes and not known):
            raise ValueError("labels that are no classes")
        if not self.nets or any(type(net) is not self.NET for net in self.nets):
            raise ValueError("nets that are not described")


def unknown(kind: type[ImageRows], split: Split, classes: tuple[str, ...], columns: int, net: Any) -> Any:
    """Rows of a split, scanned so that its labels are known. None is known yet; `passes.run` makes room for them."""
    return kind(
        **{kind.NAME: np.broadcast_to(np.float32(0), (split.size, columns))},
        labels=split.labels.copy(),  # which the rows that are found are written into
        ids=tuple(split.name(image) for image in range(split.size)),
        fingerprints=np.zeros(split.size, np.int64) if split.fingerprints is None else split.fingerprints,
        classes=classes,
        nets=(net,),
        done=np.zeros(split.size, np.bool_),
        seconds=0.0,
    )


def save(found: ImageRows, path: Path) -> None:
    """Writes an `.npz` file of arrays, the other fields as JSON in `description`."""
    fields = {name: getattr(found, name) for name in _DESCRIBED} | {"nets": list(map(to_dict, found.nets))}
    words = json.dumps(fields).encode()
    arrays = {"description": np.frombuffer(words, np.uint8), found.NAME: found.rows}
    write_arrays(path, found.NAME, arrays | {name: getattr(found, name) for name in _ARRAYS})


def load(kind: type[ImageRows], path: Path) -> Any:
    """Reads what `save` wrote, finished or not. No code in the file is run: it holds arrays, no pickles.

    Raises:
        UserError: no such file, or another one.
    """

    def made(arrays):
        words = json.loads(arrays["description"].tobytes())
        return kind(
            **{name: arrays[name] for name in (kind.NAME, *_ARRAYS)},
            ids=tuple(map(str, words["ids"])),
            classes=tuple(map(str, words["classes"])),
            nets=tuple(from_json(kind.NET, net) for net in words["nets"]),
            seconds=float(words["seconds"]),
        )

    return read_arrays(path, kind, made)


def write_arrays(path: Path, large: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as an `.npz` file that is not packed; the one named `large` block by block."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if name == large:  # NumPy's own writer would read all of a mapped file into memory
                    header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for _, block in rows.blocks(array):
                        file.write(np.ascontiguousarray(block, "<f4"))
                else:
                    np.lib.format.write_array(file, array, allow_pickle=False)


def read_arrays(path: Path, kind: type[ImageRows], made: Callable[[Mapping[str, np.ndarray]], Any]) -> Any:
    """What a function makes of the arrays of a file that `write_arrays` wrote, checked.

    Args:
        path: of the file.
        kind: what the file holds; its array of rows is mapped where it is large.
        made: of a mapping of names to arrays, returns an object of that kind.

    Raises:
        UserError: no such file, or another one.
    """
    if path.is_dir():
        inside = path / kind.FILE
        raise UserError(f"{kind.RULE} {path}, a folder" + (f". Did you mean {inside}?" if inside.exists() else ""))
    if not path.exists():
        raise UserError(f"{kind.RULE} {path}, which does not exist.")
    if not path.is_file():  # a FIFO would be waited for
        raise UserError(f"{kind.RULE} {path}, which is no file.")
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:  # `write_arrays` packs nothing, and what is not packed cannot swell
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("its arrays are packed")
                large = archive.getinfo(f"{kind.NAME}.npy").file_size > rows.IN_MEMORY
                mapped = {kind.NAME: _mapped(file, archive, kind.NAME)} if large else {}
            file.seek(0)
            with np.load(file) as arrays:
                found = made({name: arrays[name] for name in arrays.files if name not in mapped} | mapped)
            found.check()
        except Exception as error:  # zipfile and NumPy meet damaged bytes with a dozen kinds
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            if "pickle" in reason:  # NumPy would advise to trust it
                reason = "it holds no arrays, or Python objects"
            raise UserError(f"{kind.RULE} {path}, another or a damaged file: {reason}.") from None
    return found


def _mapped(file: IO[bytes], archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The rows where they lie in the file, compared with their checksum, which zipfile does at their end."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("its arrays are of another version")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(member)
        inside = member.tell()
        while member.read(rows.BLOCK):
            pass
    if by_columns or kind != np.float32 or inside + 4 * int(np.prod(shape, dtype=np.int64)) != entry.file_size:
        raise ValueError(f"{name} of shape {shape} and type {kind}")
    file.seek(entry.header_offset + 26)  # in the entry's own header, of 30 bytes, a name and more
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
    return np.memmap(file, np.float32, "r", offset=start + inside, shape=shape)


def other_images(old: ImageRows, new: ImageRows) -> str | None:
    """The first difference between the classes or the images of two sets, as text; None where they are the same."""
    for kind, names, others in (("class", old.classes, new.classes), ("image", old.ids, new.ids)):
        if found := first_difference(names, others):
            place, first, other = found
            return f"{kind} {place} is {first} in the first and {other} in the other"
    if (old.fingerprints != new.fingerprints).any():
        return f"{old.ids[int(np.argmax(old.fingerprints != new.fingerprints))]!r} is another file"
    return None


def other_labels(old: ImageRows, new: ImageRows) -> str | None:
    """The first difference between the labels of the same images in two sets, as text; None where they are the same."""
    different = (old.labels != new.labels).reshape(len(old.ids), -1).any(axis=1)
    if not different.any():
        return None
    image = int(np.argmax(different))
    return f"{old.ids[image]!r} is of class {old.label_text(image)!r} and of class {new.label_text(image)!r}"
