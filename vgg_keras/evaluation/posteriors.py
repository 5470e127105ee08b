"""Posteriors, the currency of section 4: one format on disk, and the mean over scales, protocols and nets."""

import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.files import replacing
from vgg_keras.weights.classes import first_difference


@dataclass(frozen=True)
class Posteriors:
    """What nets say of every image of a set.

    Attributes:
        probabilities: (images, classes) float32; a mapped file where they are many.
        labels: (images,) int32.
        ids: what each image is called.
        fingerprints: (images,) int64 of the files' bytes: images of one name may be two.
        classes: their names, in the order of the columns.
        nets: how each of the averaged nets was asked: what it is, the protocol, the scales, the data, the versions.
        done: (images,) bool; False where a row is not known yet.
        seconds: that it took.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    fingerprints: np.ndarray
    classes: tuple[str, ...]
    nets: tuple[dict[str, Any], ...]
    done: np.ndarray
    seconds: float


_ARRAYS = ("probabilities", "labels", "fingerprints", "done")
_WORDS = ("ids", "classes", "nets", "seconds")
_OF_A_NET = {
    *("model", "weights_sha256", "architecture", "training_scale", "protocol", "scales", "flip", "grid"),
    *("interpolation", "exif_orientation", "precision", "data", "split", "bad_images", "versions", "git_commit"),
}


def save(posteriors: Posteriors, path: Path) -> None:
    """Writes an `.npz` file of arrays alone, what is text as JSON in `description`."""
    words = json.dumps({name: getattr(posteriors, name) for name in _WORDS}).encode()
    arrays = {"description": np.frombuffer(words, np.uint8)} | {name: getattr(posteriors, name) for name in _ARRAYS}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if name == "probabilities":  # NumPy's own writer would read all of a mapped file into memory
                    header = {"descr": "<f4", "fortran_order": False, "shape": array.shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for _, block in rows.blocks(array):
                        file.write(np.ascontiguousarray(block, "<f4"))
                else:
                    np.lib.format.write_array(file, array, allow_pickle=False)


def load(path: Path) -> Posteriors:
    """What `save` wrote, finished or not. Nothing in the file is run: it holds arrays alone, no pickles.

    Raises:
        UserError: no such file, or another one.
    """
    rule = "Posteriors are .npz files of an evaluation. Received:"
    if path.is_dir():
        inside = path / "posteriors.npz"
        raise UserError(f"{rule} {path}, a folder" + (f". Did you mean {inside}?" if inside.exists() else ""))
    if not path.exists():
        raise UserError(f"{rule} {path}, which is not there.")
    if not path.is_file():  # a FIFO would be waited for
        raise UserError(f"{rule} {path}, which is no file.")
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:  # `save` packs nothing, and what is not packed cannot swell
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("its arrays are packed")
                large = archive.getinfo("probabilities.npy").file_size > rows.IN_MEMORY
                mapped = {"probabilities": _mapped(file, archive)} if large else {}
            file.seek(0)
            with np.load(file) as arrays:
                words = json.loads(arrays["description"].tobytes())
                found = Posteriors(
                    **{name: mapped[name] if name in mapped else arrays[name] for name in _ARRAYS},
                    ids=tuple(map(str, words["ids"])),
                    classes=tuple(map(str, words["classes"])),
                    nets=tuple(map(dict, words["nets"])),
                    seconds=float(words["seconds"]),
                )
            _check(found)
        except Exception as error:  # zipfile and NumPy meet damaged bytes with a dozen kinds
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            if "pickle" in reason:  # NumPy would advise to trust it
                reason = "it holds no arrays, or Python objects"
            raise UserError(f"{rule} {path}, another or a damaged file: {reason}.") from None
    return found


def _mapped(file: IO[bytes], archive: zipfile.ZipFile) -> np.ndarray:
    """The probabilities where they lie in the file, compared with their checksum, which zipfile does at their end."""
    entry = archive.getinfo("probabilities.npy")
    with archive.open(entry) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError("its arrays are of another version")
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(member)
        inside = member.tell()
        while member.read(rows.BLOCK):
            pass
    if by_columns or kind != np.float32 or inside + 4 * int(np.prod(shape, dtype=np.int64)) != entry.file_size:
        raise ValueError(f"probabilities of shape {shape} and type {kind}")
    file.seek(entry.header_offset + 26)  # in the entry's own header, of 30 bytes, a name and more
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
    return np.memmap(file, np.float32, "r", offset=start + inside, shape=shape)


def _check(found: Posteriors) -> None:
    images, classes = len(found.ids), len(found.classes)
    for name, shape, kind in (
        ("probabilities", (images, classes), np.float32),
        ("labels", (images,), np.int32),
        ("fingerprints", (images,), np.int64),
        ("done", (images,), np.bool_),
    ):
        array = getattr(found, name)
        if (array.shape, array.dtype) != (shape, kind):
            raise ValueError(f"{name} of shape {array.shape} and type {array.dtype}")
    if images == 0 or found.labels.min() < 0 or found.labels.max() >= classes:
        raise ValueError("labels that are no classes")
    for part, block in rows.blocks(found.probabilities):
        known = block[found.done[part]]
        if not (known >= 0).all() or not np.allclose(known.sum(axis=1), 1, atol=1e-3):
            raise ValueError("rows that are no probabilities")
    if not found.nets or any(net.keys() != _OF_A_NET for net in found.nets):
        raise ValueError("nets that are not described")


def mean(parts: Sequence[Posteriors], names: Sequence[str], folder: Path | None = None) -> Posteriors:
    """The mean of posteriors of the same images and classes, as of several nets (4.5).

    Args:
        parts: one or more.
        names: what messages call them.
        folder: on whose disk a mean lies that is too large for the memory; None: that of temporary files.

    Raises:
        UserError: the first difference between their images, classes or labels, or a part that is not finished.
    """
    first = parts[0]
    for part, name in zip(parts, names, strict=True):
        if len(part.nets) > 1:
            raise UserError(
                f"The nets of a fusion count alike, so its parts are single nets' posteriors. Received: {name}, itself a "
                f"fusion of {len(part.nets)}. Name its parts instead."
            )
        if not part.done.all():
            raise UserError(
                f"Posteriors must be finished. Received: {name}, with {part.done.sum():,} of {len(part.done):,} images. "
                "Run its evaluation again: it goes on where it stood."
            )
        rule = f"Posteriors are averaged over the same images and classes. Received: {names[0]} and {name}, where"
        if found := other_images(first, part):
            raise UserError(f"{rule} {found}.")
        if (first.labels != part.labels).any():
            image = int(np.argmax(first.labels != part.labels))
            classes = [first.classes[labels[image]] for labels in (first.labels, part.labels)]
            raise UserError(f"{rule} {first.ids[image]!r} is of class {classes[0]!r} and of class {classes[1]!r}.")
    return Posteriors(
        probabilities=_mean([part.probabilities for part in parts], folder),
        labels=first.labels,
        ids=first.ids,
        fingerprints=first.fingerprints,
        classes=first.classes,
        nets=tuple(net for part in parts for net in part.nets),
        done=first.done,
        seconds=sum(part.seconds for part in parts),
    )


def _mean(arrays: Sequence[np.ndarray], folder: Path | None) -> np.ndarray:
    """Of arrays of float32, summed in float64."""
    if len(arrays) == 1:
        return arrays[0]
    result = rows.zeros(arrays[0].shape, folder)
    for part, block in rows.blocks(result):
        block[:] = sum(array[part].astype(np.float64) for array in arrays) / len(arrays)
        for array in arrays:
            rows.release(array)
    return result


def other_images(old: Posteriors, new: Posteriors) -> str | None:
    """The first difference between the classes or the images of two sets, in words; None where they are the same."""
    for kind, names, others in (("class", old.classes, new.classes), ("image", old.ids, new.ids)):
        if found := first_difference(names, others):
            place, first, other = found
            return f"{kind} {place} is {first} in the first and {other} in the other"
    if (old.fingerprints != new.fingerprints).any():
        return f"{old.ids[int(np.argmax(old.fingerprints != new.fingerprints))]!r} is another file"
    return None
