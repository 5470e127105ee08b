"""The look ahead of a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image met in mid-run would end it, and TensorFlow's `ignore_errors` would lose good ones with it and name none.
How each image is turned and how large it is are found here too, once and not in every epoch. What was found is kept by
path, size and time, so only new and changed files are looked at again.
"""

import dataclasses
import functools
import hashlib
import math
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config, Data
from vgg_keras.data.decoding import decode
from vgg_keras.data.errors import message_of
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.splits import ChangedError, Source, Split
from vgg_keras.errors import UserError
from vgg_keras.files import replacing, sweep
from vgg_keras.paths import printable, user_path

CHUNK = 512  # images decoded at once; where one of them is bad, they are looked at one by one
SAVE_SECONDS = 60


class Found(NamedTuple):
    """What is kept of a good image: its bytes' fingerprint, its EXIF orientation, its size as stored, whether it is a JPEG,
    its label."""

    fingerprint: int
    orientation: int
    height: int
    width: int
    jpeg: bool
    label: int


class NotRead(NamedTuple):
    """Why a file could not be opened or read: the next run tries again, for that is no verdict on its content."""

    reason: str


_ROW = np.dtype(list(zip(Found._fields, (np.int64, np.int32, np.int32, np.int32, np.bool_, np.int32), strict=True)))


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why, in one line."""

    name: str
    reason: str

    def __str__(self):
        return f"{self.name}: {self.reason}"


def without_bad_images(source: Source, config: Config) -> tuple[Source, list[BadImage]]:
    """The source with its unreadable images left out, and those.

    Raises:
        UserError: more than `data.max_bad_fraction` of the images, or all of a split, are bad.
    """
    train, bad_train = _readable(source.train, "train", config)
    val, bad_val = _readable(source.val, "val", config)
    test, bad_test = _readable(source.test, "test", config) if source.test else (None, [])
    bad = bad_train + bad_val + bad_test
    _require_few(bad, source.train.size + source.val.size + (source.test.size if source.test else 0), config)
    return dataclasses.replace(source, train=train, val=val, test=test), bad


def readable(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    """One split with its unreadable images left out, and those; `name` is what the set calls it.

    Raises:
        UserError: as in `without_bad_images`.
    """
    found, bad = _readable(split, name, config)
    _require_few(bad, split.size, config)
    return found, bad


def inspected(split: Split, data: Data) -> tuple[Split, list[BadImage]]:
    """A split with what was found of its images, all of them still in it, and the unreadable ones; no cache is kept."""
    found = {}
    for image, one in _look(split, data, np.arange(split.size)):
        found[image] = one
        stop.raise_if_requested()
    return _with(split, [_usable(found[image], split) for image in range(split.size)], data)


def _readable(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source, data = config.data.source, config.data
    division = f" {data.holdout}" * (data.validation == "held_out")
    limits = f"{data.max_pixels} {data.max_file_bytes}"
    key = _digest(" ".join((os.path.abspath(split.root), source, name)) + f"{division} {limits}")
    folder = _cache_folder(config.runtime.cache_dir)
    cache = folder and folder / f"scan-{key:016x}.npz"
    if split.stamp is None:
        return split, []
    found = [_usable(one, split) for one in _scan(split, f"{printable(source)} {name}", cache, data)]
    good = [image for image, one in enumerate(found) if isinstance(one, Found)]
    if not good:
        if all(_UNLABELLED in reason for reason in found):
            raise UserError(
                "A split must have labels. Received: "
                f"{printable(source)} whose {name} images have none: their label is -1. Name another --data or split."
            )
        raise UserError(
            f"Every split needs a readable image. Received: {printable(source)} whose {name} images are all bad, such as "
            f"{split.path(0)}: {found[0]}."
        )
    split, bad = _with(split, found, data)
    split = split.select(good) if bad else split
    return dataclasses.replace(split, notes=split.notes + _absent(split, name)), bad


_UNLABELLED = "its label is -1"


def _usable(found: Found | NotRead | str, split: Split) -> Found | str:
    """What was found of an image, or why it cannot be used."""
    if isinstance(found, NotRead):
        return found.reason
    if isinstance(found, Found) and split.classes and not 0 <= found.label < len(split.classes):
        return f"its label is {found.label}, where there are {len(split.classes)} classes from 0 on"
    return found


def _absent(split: Split, name: str) -> tuple[str, ...]:
    """The classes of which no image can be read, in a line: what such a split says of them would be nothing."""
    counts = np.bincount(split.labels, minlength=len(split.classes)) if split.classes else np.ones(1)
    absent = [split.classes[label] for label in np.flatnonzero(counts == 0)]
    if not absent:
        return ()
    named = ", ".join(f"'{one}'" for one in absent[:_NAMED]) + f" and {len(absent) - _NAMED} more" * (
        len(absent) > _NAMED
    )
    lacking = f"{len(absent)} of {len(split.classes)} classes have no readable {name} image"
    return (f"{lacking}, so that {'nothing trains them' if name == 'train' else 'no error counts them'}: {named}",)


_NAMED = 20  # classes in a line


@functools.cache  # said once
def _cache_folder(name: str) -> Path | None:
    """The folder of the cache; None for a user without a home, who is told that nothing is kept."""
    try:
        folder = user_path(name)
    except UserError as error:
        print(f"the scan's result cannot be kept (runtime.cache_dir): {error}", file=sys.stderr)
        return None
    sweep(folder)
    return folder


def _with(split: Split, found: list[Found | str], data: Data) -> tuple[Split, list[BadImage]]:
    """The split with what was found of its images, and those that cannot be used."""
    unknown = Found(fingerprint=0, orientation=1, height=0, width=0, jpeg=False, label=0)
    rows = np.array([unknown if isinstance(one, str) else one for one in found], _ROW)
    turned = data.exif_orientation and (rows["orientation"] != 1).any()
    known = dataclasses.replace(
        split,
        fingerprints=rows["fingerprint"].copy(),
        orientations=rows["orientation"].copy() if turned else None,
        sizes=np.stack([rows["height"], rows["width"]], axis=1),
        jpegs=rows["jpeg"].copy(),
        # a folder's are its own: another class folder renumbers them, and leaves its files' stamps as they are
        labels=rows["label"].copy() if split.labels is None else split.labels,
    )
    return known, [BadImage(split.path(image), one) for image, one in enumerate(found) if isinstance(one, str)]


def _require_few(bad: list[BadImage], images: int, config: Config) -> None:
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be unreadable (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )


def _scan(split: Split, title: str, cache: Path | None, data: Data) -> list[Found | NotRead | str]:
    """What is known of each image of the split, or why it cannot be used."""
    stamps = np.array([_digest(split.stamp(image)) for image in range(split.size)], np.uint64)
    good, bad = _read_cache(cache)
    unknown = [image for image, stamp in enumerate(stamps.tolist()) if stamp not in good and stamp not in bad]
    not_read: dict[int, NotRead] = {}
    saved = time.monotonic()
    if unknown:
        try:
            with tqdm.tqdm(total=len(unknown), desc=f"scan of {title}", unit="image", disable=None) as progress:
                for image, found in _look(split, data, np.array(unknown)):
                    kept = {Found: good, str: bad, NotRead: not_read}[type(found)]
                    kept[int(stamps[image])] = found
                    progress.update()
                    stop.raise_if_requested()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        _write_cache(cache, stamps, good, bad)
                        saved = time.monotonic()
        finally:  # an interrupted scan goes on where it stood
            _write_cache(cache, stamps, good, bad)
    return [not_read.get(stamp) or bad.get(stamp) or good[stamp] for stamp in stamps.tolist()]


def _look(split: Split, data: Data, images: np.ndarray) -> Iterator[tuple[int, Found | NotRead | str]]:
    """Each of these images with what is found of it, or why it cannot be used; one at a time, so that a stop is quick."""
    look = tf.function(lambda image: _content(*split.read(split.unchanged(image)), data.max_pixels), autograph=False)
    look = look.get_concrete_function(tf.TensorSpec([], tf.int64))
    for chunk in np.array_split(images, math.ceil(len(images) / CHUNK)):
        opened = []
        for image in chunk.tolist():
            if reason := split.inspect(image, data.max_file_bytes) if split.inspect else "":
                yield image, NotRead(reason)
            else:
                opened.append(image)
        if opened:
            yield from _decoded(split, look, opened, data.max_pixels)


def _decoded(split: Split, look: Callable, images: list[int], max_pixels: int) -> Iterator:
    """The same of images that are opened: all at once, one by one from where that fails."""
    done = 0
    try:
        rows = tf.data.Dataset.from_tensor_slices(np.array(images, np.int64)).map(look, tf.data.AUTOTUNE)
        for row in rows.as_numpy_iterator():
            yield images[done], _told(row)
            done += 1
    except (tf.errors.OpError, UnicodeDecodeError):  # the latter of a path that is not UTF-8, in TensorFlow's words
        for image in images[done:]:
            yield image, _one(split, image, max_pixels)


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)],
    autograph=False,
)
def _content(encoded, label, max_pixels):
    """Why a file is refused, its fingerprint, its orientation, its size, for which it is decoded, whether it is a JPEG, and
    its label.

    Traced once, for it is large, whatever the split.
    """
    reason = refusal(encoded, max_pixels)
    size = tf.cond(reason == "", lambda: tf.shape(decode(encoded)), lambda: tf.zeros([3], tf.int32))
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, orientation(encoded), size[0], size[1], tf.io.is_jpeg(encoded), label


def _told(row: Sequence) -> Found | str:
    reason, *found = row
    return reason.decode() or Found(*(value.item() for value in found))


def _one(split: Split, image: int, max_pixels: int) -> Found | NotRead | str:
    """One image: reading it is one thing, which may succeed tomorrow, and what it holds another."""
    try:
        encoded, label = split.read(split.unchanged(tf.constant(image, tf.int64)))
    except tf.errors.DataLossError as error:  # a record's checksum
        return message_of(error, split.path(image))
    except (tf.errors.OpError, ChangedError, UnicodeDecodeError) as error:
        return NotRead(message_of(error, split.path(image)))
    try:
        return _told([value.numpy() for value in _content(encoded, label, max_pixels)])
    except tf.errors.InvalidArgumentError as error:
        return message_of(error, split.path(image))
    except tf.errors.OpError as error:  # such as of memory
        return NotRead(message_of(error, split.path(image)))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def _read_cache(cache: Path | None) -> tuple[dict[int, Found], dict[int, str]]:
    """Stamps of good images with what was found, and of bad ones with the reasons."""
    if cache is None:
        return {}, {}
    try:
        with open(cache, "rb") as file, np.load(file) as arrays:
            found = map(Found._make, arrays["found"][list(Found._fields)].tolist())
            good = dict(zip(arrays["good"].tolist(), found, strict=True))
            return good, dict(zip(arrays["bad"].tolist(), arrays["reasons"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged: scan again
        return {}, {}


def _write_cache(cache: Path | None, stamps: np.ndarray, good: dict[int, Found], bad: dict[int, str]) -> None:
    """Keeps what was found of these images; of others nothing, so that the file does not grow with a folder's history."""
    if cache is None:
        return
    known = set(stamps.tolist())
    good = {stamp: found for stamp, found in good.items() if stamp in known}
    bad = {stamp: reason for stamp, reason in bad.items() if stamp in known}
    try:
        with replacing(cache) as temporary:
            np.savez(
                temporary,
                good=np.array(list(good), np.uint64),
                found=np.array(list(good.values()), _ROW),
                bad=np.array(list(bad), np.uint64),
                reasons=np.array(list(bad.values()), np.str_),
            )
    except OSError as error:  # the next run scans again; this one need not end
        print(f"the scan's result cannot be kept (runtime.cache_dir): {cache}: {error.strerror}", file=sys.stderr)
