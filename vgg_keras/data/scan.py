"""The scan before a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image in the middle of a run would end it. TensorFlow's `ignore_errors` would drop good images with it and name none. The
scan also finds the size and the orientation of each image, which are then not read again in every epoch. `scan_cache` keeps
what was found, so that only new and changed files are inspected again.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config, Data
from vgg_keras.data.decoding import decode
from vgg_keras.data.errors import message_of
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.scan_cache import Found, ScanCache, cache_path, digest, findings_table
from vgg_keras.data.splits import ChangedError, Source, Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable

CHUNK = 512  # images decoded at once; where one of them is bad, the others are inspected one by one
SAVE_SECONDS = 60
MAJORITY = 0.9  # a class with a larger share of a split's images is named
_NAMED = 20  # classes in a line


class NotRead(NamedTuple):
    """Why a file could not be opened or read. It says nothing about the content, so that the next run tries again."""

    reason: str


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why, in one line."""

    name: str
    reason: str

    def __str__(self):
        return f"{self.name}: {self.reason}"


def without_bad_images(source: Source, config: Config) -> tuple[Source, list[BadImage]]:
    """The source without its unreadable images, and those.

    Raises:
        UserError: more than `data.max_bad_fraction` of the images, or all of a split, are bad.
    """
    train, bad_train = _scan_split(source.train, "train", config)
    val, bad_val = _scan_split(source.val, "val", config)
    test, bad_test = _scan_split(source.test, "test", config) if source.test else (None, [])
    bad = bad_train + bad_val + bad_test
    _require_few_bad(bad, source.train.size + source.val.size + (source.test.size if source.test else 0), config)
    return dataclasses.replace(source, train=train, val=val, test=test), bad


def readable(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    """One split without its unreadable images, and those; `name` is what the set calls it.

    Raises:
        UserError: as in `without_bad_images`.
    """
    found, bad = _scan_split(split, name, config)
    _require_few_bad(bad, split.size, config)
    return found, bad


def remarks(bad: Iterable[BadImage], notes: Iterable[str]) -> list[str]:
    """What is printed of a scanned set: a line for each skipped image, and the set's notes."""
    return [*(f"skipped: {image}" for image in bad), *(f"note: {note}" for note in notes)]


def inspected(split: Split, data: Data) -> tuple[Split, list[BadImage]]:
    """A split with what was found of its images, all of them still in it, and the unreadable ones; no cache is kept."""
    found = {}
    for image, finding in _inspect(split, data, np.arange(split.size)):
        found[image] = finding
        stop.raise_if_requested()
    return _with_findings(split, [_usable(found[image], split) for image in range(split.size)], data)


def _scan_split(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source = printable(config.data.source)
    if split.stamp is None:  # nothing can be damaged
        return dataclasses.replace(split, notes=split.notes + _notes_of_classes(split, name)), []
    cache = ScanCache(cache_path(split.root, name, config))
    found = [_usable(one, split) for one in _scan(split, f"{source} {name}", cache, config.data)]
    good = [image for image, one in enumerate(found) if isinstance(one, Found)]
    if not good:
        if all(_UNLABELLED in reason for reason in found):
            raise UserError(
                f"A split must have labels. Received: {source} whose {name} images have none: their label is -1. "
                "Name another --data or split."
            )
        raise UserError(
            f"Every split needs a readable image. Received: {source} whose {name} images are all bad, such as "
            f"{split.path(0)}: {found[0]}."
        )
    split, bad = _with_findings(split, found, config.data)
    split = split.select(good) if bad else split
    return dataclasses.replace(split, notes=split.notes + _notes_of_classes(split, name)), bad


_UNLABELLED = "its label is -1"


def _usable(found: Found | NotRead | str, split: Split) -> Found | str:
    """What was found of an image, or why it cannot be used."""
    if isinstance(found, NotRead):
        return found.reason
    if isinstance(found, Found) and split.classes and not 0 <= found.label < len(split.classes):
        return f"its label is {found.label}, where there are {len(split.classes)} classes from 0 on"
    return found


def _notes_of_classes(split: Split, name: str) -> tuple[str, ...]:
    """What a user should know of how many images each class has."""
    if len(split.classes) < 2 or split.labels is None:
        return ()
    counts = split.class_counts
    majority = () if split.multi_label else _majority(split, name, counts)
    return majority + _absent_classes(split, name, counts)


def _majority(split: Split, name: str, counts: np.ndarray) -> tuple[str, ...]:
    """A line where one class has nearly all images."""
    label, share = int(np.argmax(counts)), counts.max() / split.size
    if not MAJORITY < share < 1:  # of 1 the other classes are named as absent
        return ()
    return (
        f"{share:.1%} of the {name} images are of class '{split.classes[label]}': a net that answers nothing else has an "
        f"error of {1 - share:.1%}",
    )


def _absent_classes(split: Split, name: str, counts: np.ndarray) -> tuple[str, ...]:
    """A line with the classes of which no image can be read; empty where there are none."""
    absent = [split.classes[label] for label in np.flatnonzero(counts == 0)]
    if not absent:
        return ()
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    lacking = f"{len(absent)} of {len(split.classes)} classes have no readable {name} image"
    effect = "nothing trains them" if name == "train" else "no error counts them"
    names = ", ".join(f"'{one}'" for one in absent[:_NAMED])
    return (f"{lacking}, so that {effect}: {names}{more}",)


def _with_findings(split: Split, found: list[Found | str], data: Data) -> tuple[Split, list[BadImage]]:
    """The split with what was found of its images, and those that cannot be used."""
    unknown = Found(fingerprint=0, orientation=1, height=0, width=0, jpeg=False, label=0)
    table = findings_table([unknown if isinstance(one, str) else one for one in found])
    rotated = data.exif_orientation and (table["orientation"] != 1).any()
    known = dataclasses.replace(
        split,
        fingerprints=table["fingerprint"].copy(),
        orientations=table["orientation"].copy() if rotated else None,
        sizes=np.stack([table["height"], table["width"]], axis=1),
        jpegs=table["jpeg"].copy(),
        # a folder has its own: another class folder changes the labels, while the files keep their stamps
        labels=table["label"].copy() if split.labels is None else split.labels,
    )
    return known, [BadImage(split.path(image), one) for image, one in enumerate(found) if isinstance(one, str)]


def _require_few_bad(bad: list[BadImage], images: int, config: Config) -> None:
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be unreadable (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )


def _scan(split: Split, title: str, cache: ScanCache, data: Data) -> list[Found | NotRead | str]:
    """What is known of each image of the split, or why it cannot be used."""
    stamps = [digest(split.stamp(image)) for image in range(split.size)]
    unknown = [image for image, stamp in enumerate(stamps) if stamp not in cache.good and stamp not in cache.bad]
    not_read: dict[int, NotRead] = {}
    saved = time.monotonic()
    if unknown:
        try:
            with tqdm.tqdm(total=len(unknown), desc=f"scan of {title}", unit="image", disable=None) as progress:
                for image, found in _inspect(split, data, np.array(unknown)):
                    kept = {Found: cache.good, str: cache.bad, NotRead: not_read}[type(found)]
                    kept[stamps[image]] = found
                    progress.update()
                    stop.raise_if_requested()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        cache.write(stamps)
                        saved = time.monotonic()
        finally:  # an interrupted scan is continued by the next one
            cache.write(stamps)
    return [not_read.get(stamp) or cache.bad.get(stamp) or cache.good[stamp] for stamp in stamps]


def _inspect(split: Split, data: Data, images: np.ndarray) -> Iterator[tuple[int, Found | NotRead | str]]:
    """Each of these images with what is found of it, or why it cannot be used; one at a time, so that a stop is quick."""
    inspect = tf.function(lambda image: _content(*_read(split, image), data.max_pixels), autograph=False)
    inspect = inspect.get_concrete_function(tf.TensorSpec([], tf.int64))
    for chunk in np.array_split(images, math.ceil(len(images) / CHUNK)):
        opened = []
        for image in chunk.tolist():
            if reason := split.inspect(image, data.max_file_bytes) if split.inspect else "":
                yield image, NotRead(reason)
            else:
                opened.append(image)
        if opened:
            yield from _inspect_chunk(split, inspect, opened, data.max_pixels)


def _inspect_chunk(split: Split, inspect: Callable, images: list[int], max_pixels: int) -> Iterator:
    """The same of images that can be opened: all at once, one by one from where that fails."""
    done = 0
    try:
        ids = split.checked(tf.data.Dataset.from_tensor_slices(np.array(images, np.int64)))
        for row in ids.map(inspect, tf.data.AUTOTUNE).as_numpy_iterator():
            yield images[done], _finding(row)
            done += 1
    except (tf.errors.OpError, UnicodeDecodeError):  # the latter of a path that is not UTF-8, in TensorFlow's message
        for image in images[done:]:
            yield image, _inspect_one(split, image, max_pixels)


def _inspect_one(split: Split, image: int, max_pixels: int) -> Found | NotRead | str:
    """One image. An error of reading may be gone tomorrow; an error of decoding is a property of the file."""
    try:
        encoded, label = _read(split, split.unchanged(tf.constant(image, tf.int64)))
    except tf.errors.DataLossError as error:  # a record's checksum
        return message_of(error, split.path(image))
    except (tf.errors.OpError, ChangedError, UnicodeDecodeError) as error:
        return NotRead(message_of(error, split.path(image)))
    try:
        return _finding([value.numpy() for value in _content(encoded, label, max_pixels)])
    except tf.errors.InvalidArgumentError as error:
        return message_of(error, split.path(image))
    except tf.errors.OpError as error:  # such as of memory
        return NotRead(message_of(error, split.path(image)))


def _read(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image's file and its label; 0 in a multi-label set, whose labels are known without a scan."""
    encoded, label = split.read(image)
    return encoded, tf.constant(0, tf.int32) if split.multi_label else label


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)],
    autograph=False,
)
def _content(encoded, label, max_pixels):
    """Why a file is refused, and the fields of `Found`. The image is decoded, for that may fail.

    Traced once for all splits, because it is large.
    """
    reason = refusal(encoded, max_pixels)
    size = tf.cond(reason == "", lambda: tf.shape(decode(encoded)), lambda: tf.zeros([3], tf.int32))
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, orientation(encoded), size[0], size[1], tf.io.is_jpeg(encoded), label


def _finding(row: Sequence) -> Found | str:
    """The values of `_content` as what was found, or as the reason of the refusal."""
    reason, *found = row
    return reason.decode() or Found(*(value.item() for value in found))
