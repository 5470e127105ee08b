"""The scan before a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image in the middle of a run would end it. TensorFlow's `ignore_errors` would drop good images with it and name none. The
scan also finds the size and the orientation of each image, which are then not read again in every epoch. `scan_cache` keeps
what was found, so that only new and changed files are inspected again.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Config, Data
from vgg_keras.data import usable_boxes
from vgg_keras.data.boxes import COLUMNS
from vgg_keras.data.decoding import DCT, FILE_CHANNELS, decode
from vgg_keras.data.errors import message_of
from vgg_keras.data.headers import has_exif, orientation, refusal
from vgg_keras.data.scan_cache import ROW, ScanCache, cache_path
from vgg_keras.data.splits import ChangedError, Source, Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable
from vgg_keras.progress import progress

RESULTS = 64  # images whose results Python takes at once; of a bad one all are inspected one by one
PIECE_SECONDS = 10.0  # in which a piece of the images should be inspected, so that an interrupted scan loses little
SMALLEST_PIECE, LARGEST_PIECE = 256, 2**16  # images
SAVE_SECONDS = 60
MAJORITY = 0.9  # a class with a larger share of a split's images is named
_NAMED = 20  # classes in a line


class NotRead(str):
    """Why a file could not be opened or read. It says nothing about the content, so that the next run tries again."""


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why, in one line."""

    name: str
    reason: str

    def __str__(self):
        return f"{self.name}: {self.reason}"


def without_bad_images(source: Source, config: Config) -> tuple[Source, list[BadImage]]:
    """The source without its unreadable images, and those; its splits have the channels of the net.

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


def inspected(split: Split, data: Data, channels: int = 3) -> tuple[Split, list[BadImage]]:
    """A split with what was found of its images, all of them still in it, and the unreadable ones; no cache is kept."""
    split = with_channels(split, channels)
    if split.array_channels is not None:
        return split, []
    table, reasons = np.zeros(split.size, ROW), {}
    for images, rows, refused in _inspect(split, data, np.arange(split.size)):
        table[images] = rows
        reasons |= refused
        stop.raise_if_requested()
    return _with_findings(split, table, reasons, data)


def with_channels(split: Split, channels: int) -> Split:
    """The split with its images in these channels.

    Raises:
        UserError: its images cannot be read so.
    """
    own = (
        FILE_CHANNELS
        if split.array_channels is None
        else {split.array_channels, *_RELATED.get(split.array_channels, ())}
    )
    if channels not in own:
        what = "image files" if split.array_channels is None else f"arrays of {split.array_channels} channels"
        known = ", ".join(map(str, sorted(own)))
        raise UserError(
            f"architecture.channels is what the images can be read in: {known} of {what}. Received: {channels}. Other channels "
            "are read from arrays, by training_data."
        )
    return dataclasses.replace(split, channels=channels)


_RELATED = {1: (3, 4), 3: (1, 4)}  # the channels that an array's grey or RGB can be read in beside its own


def _scan_split(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source, split = printable(config.data.source), with_channels(split, config.architecture.channels)
    wants_boxes = config.predicts_boxes
    if wants_boxes and (split.boxes is None or split.multi_label):
        found = "without boxes" if split.boxes is None else "with several labels in a row, where a box is of one class"
        raise UserError(
            f"A net of boxes needs images with boxes: a .csv list with the columns {', '.join(COLUMNS)} and one label a row. "
            f"Received: --data={source}, {found}."
        )
    if split.stamps is None:  # nothing can be damaged
        return dataclasses.replace(split, notes=split.notes + _notes_of_classes(split, name)), []
    cache = ScanCache(cache_path(split.root, name, config))
    table, reasons = _scan(split, f"{source} {name}", cache, config.data)
    reasons = _with_labels(table, reasons, split)
    if wants_boxes:
        reasons = usable_boxes.checked(table, reasons, split.boxes, config.data)
    if len(reasons) == split.size:
        if all(_UNLABELLED in reason for reason in reasons.values()):
            raise UserError(
                f"A split must have labels. Received: {source} whose {name} images have none: their label is -1. "
                "Name another --data or split."
            )
        needed = "an image with right boxes" if wants_boxes else "a readable image"
        raise UserError(
            f"Every split needs {needed}. Received: {source} whose {name} images are all bad, such as "
            f"{split.path(0)}: {reasons[0]}."
        )
    split, bad = _with_findings(split, table, reasons, config.data)
    split = split.select(np.setdiff1d(np.arange(split.size), list(reasons))) if bad else split
    split = usable_boxes.prepared(split, name, config.data) if wants_boxes else dataclasses.replace(split, boxes=None)
    return dataclasses.replace(split, notes=split.notes + _notes_of_classes(split, name)), bad


_UNLABELLED = "its label is -1"


def _with_labels(table: np.ndarray, reasons: dict[int, str], split: Split) -> dict[int, str]:
    """The reasons, with those of images whose label is no class."""
    labels, count = table["label"], len(split.classes)
    wrong = np.flatnonzero((labels < 0) | (labels >= count)).tolist() if count and split.labels is None else []
    beyond = {
        image: f"its label is {labels[image]}, where there are {count} classes from 0 on"
        for image in wrong
        if image not in reasons
    }
    return dict(sorted((reasons | beyond).items()))


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


def _with_findings(
    split: Split, table: np.ndarray, reasons: dict[int, str], data: Data
) -> tuple[Split, list[BadImage]]:
    """The split with what was found of its images, and those that cannot be used."""
    rotated = data.exif_orientation and (table["orientation"] > 1).any()
    known = dataclasses.replace(
        split,
        fingerprints=table["fingerprint"].copy(),
        orientations=np.maximum(table["orientation"], 1) if rotated else None,
        sizes=np.stack([table["height"], table["width"]], axis=1),
        jpegs=table["jpeg"].copy(),
        # a folder has its own: another class folder changes the labels, while the files keep their stamps
        labels=table["label"].copy() if split.labels is None else split.labels,
    )
    return known, [BadImage(split.path(image), reason) for image, reason in sorted(reasons.items())]


def _require_few_bad(bad: list[BadImage], images: int, config: Config) -> None:
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        bad_ones = "unreadable or without a right box" if config.predicts_boxes else "unreadable"
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be {bad_ones} (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )


def _scan(split: Split, title: str, cache: ScanCache, data: Data) -> tuple[np.ndarray, dict[int, str]]:
    """What is known of each image of the split, (images,) of `ROW`, and why some cannot be used."""
    table, good = cache.known(split.stamps)
    reasons = {}
    if cache.bad:
        for image in np.flatnonzero(~good).tolist():
            if (reason := cache.bad.get(int(split.stamps[image]))) is not None:
                reasons[image] = reason
    unknown = np.setdiff1d(np.flatnonzero(~good), list(reasons))
    if not len(unknown):
        return table, reasons
    kept = dict(reasons)  # without those that could not be read, which the next scan tries again
    saved = time.monotonic()
    try:
        with progress(title=f"scan of {title}", total=len(unknown)) as bar:
            for images, rows, refused in _inspect(split, data, unknown):
                table[images] = rows
                cache.add(split.stamps[images], rows)
                for image, reason in refused.items():
                    reasons[image] = str(reason)
                    if not isinstance(reason, NotRead):
                        kept[image] = reason
                        cache.add_bad(int(split.stamps[image]), reason)
                bar.update(len(images) + len(refused))
                stop.raise_if_requested()
                if time.monotonic() - saved > SAVE_SECONDS:
                    cache.save()
                    saved = time.monotonic()
    except BaseException:  # an interrupted scan is continued by the next one
        cache.save()
        raise
    good = np.setdiff1d(np.arange(split.size), list(reasons))
    cache.write(split.stamps[good], table[good], {int(split.stamps[image]): reason for image, reason in kept.items()})
    return table, reasons


# Of some images: the ids of the good ones, their rows (n,) of `ROW`, and why the others cannot be used, by id.
Findings = tuple[np.ndarray, np.ndarray, dict[int, str]]
_NONE = np.zeros(0, np.int64), np.zeros(0, ROW)


def _inspect(split: Split, data: Data, images: np.ndarray) -> Iterator[Findings]:
    """What is found of each of these images, a few at a time, so that a stop is quick.

    Pieces are as large as a few seconds allow: the start of one takes a tenth of a second, and of large files a few hundred show
    progress.
    """
    size = SMALLEST_PIECE
    while len(images):
        piece, images = images[:size], images[size:]
        started = time.monotonic()
        yield from _inspect_piece(split, data, piece)
        rate = len(piece) / max(time.monotonic() - started, 1e-6)
        size = int(np.clip(PIECE_SECONDS * rate, SMALLEST_PIECE, LARGEST_PIECE))


def _inspect_piece(split: Split, data: Data, images: np.ndarray) -> Iterator[Findings]:
    """The same of a piece: what cannot be opened, then by two graphs, and one by one what fails in these.

    JPEG files without peculiarities, which most are, go through a short graph first: the long one of `_content` takes several
    times as long as to decode a small image.
    """
    if split.inspect:
        found = {image: split.inspect(image, data.max_file_bytes) for image in images.tolist()}
        refused = {image: NotRead(reason) for image, reason in found.items() if reason}
        if refused:
            yield *_NONE, refused
        images = np.setdiff1d(images, list(refused))
    for graph in (_quick, _content):
        rest = set(images.tolist())
        for ids, rows, refused in _inspect_together(split, graph, images, data.max_pixels):
            rest.difference_update(ids.tolist(), refused)
            yield ids, rows, refused
        images = np.array(sorted(rest), np.int64)
    for image in images.tolist():
        found = _inspect_one(split, image, data.max_pixels)
        yield (*_NONE, {image: found}) if isinstance(found, str) else (np.array([image]), found, {})


def _inspect_together(split: Split, graph: Callable, images: np.ndarray, max_pixels: int) -> Iterator[Findings]:
    """The same of images by one graph, without those that it leaves, and those of a batch in which one fails."""
    if not len(images):
        return

    def inspect(image):
        return image, *graph(*_read(split, image), max_pixels)

    ids = split.checked(tf.data.Dataset.from_tensor_slices(images), all_of_them=False)
    rows = ids.map(inspect, tf.data.AUTOTUNE, deterministic=False).batch(RESULTS).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False  # whose thread delays the end of an iterator
    for found, reasons, *values in _whole_batches(rows.with_options(options), len(images)):
        good = reasons == b""
        table = np.zeros(int(good.sum()), ROW)
        for name, column in zip(ROW.names, values, strict=True):
            table[name] = column[good]
        others = np.flatnonzero(~good & (reasons != _LATER)).tolist()
        yield found[good], table, {int(found[place]): reasons[place].decode() for place in others}


def _whole_batches(rows: tf.data.Dataset, images: int) -> Iterator[list[np.ndarray]]:
    """The batches of a dataset. One in which an image fails is lost, and those behind it come."""
    batches = iter(rows)
    for _ in range(images + 1):  # each batch and each failure is of one image at least
        try:
            yield [column.numpy() for column in next(batches)]
        except StopIteration:
            return
        except (
            tf.errors.OpError,
            UnicodeDecodeError,
        ):  # the latter of a path that is not UTF-8, in TensorFlow's message
            stop.raise_if_requested()


def _inspect_one(split: Split, image: int, max_pixels: int) -> np.ndarray | str:
    """One image. An error of reading may be gone tomorrow; an error of decoding is a property of the file."""
    try:
        encoded, label = _read(split, split.unchanged(tf.constant(image, tf.int64)))
    except tf.errors.DataLossError as error:  # a record's checksum
        return message_of(error, split.path(image))
    except (tf.errors.OpError, ChangedError, UnicodeDecodeError) as error:
        return NotRead(message_of(error, split.path(image)))
    try:
        reason, *values = (value.numpy() for value in _content(encoded, label, max_pixels))
        return reason.decode() or np.array([tuple(values)], ROW)
    except tf.errors.InvalidArgumentError as error:
        return message_of(error, split.path(image))
    except tf.errors.OpError as error:  # such as of memory
        return NotRead(message_of(error, split.path(image)))


def _read(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image's file and its label; 0 in a multi-label set, whose labels are known without a scan."""
    encoded, label = split.read(image)
    return encoded, tf.constant(0, tf.int32) if split.multi_label else label


_SIGNATURE = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)]
_LATER = b"later"  # instead of a reason: of an image that `_quick` leaves to `_content`


@tf.function(input_signature=_SIGNATURE, autograph=False)
def _quick(encoded, label, max_pixels):
    """As `_content`, of a JPEG in grey or RGB without EXIF and with few pixels; of all other files `_LATER`."""
    unread = tf.zeros([2], tf.int32)

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        few = tf.reduce_prod(tf.cast(shape[:2], tf.int64)) <= max_pixels
        return tf.cond(few & (shape[2] <= 3) & ~has_exif(encoded), lambda: decoded(shape[:2]), lambda: unread)

    def decoded(size):
        # an eighth of the size: all of the file is read, but fewer pixels are computed. TensorFlow would remove a decoding whose
        # result nothing reads
        pixels = tf.io.decode_jpeg(encoded, channels=3, ratio=8, dct_method=DCT)
        return tf.where(tf.shape(pixels)[0] > 0, size, unread)

    jpeg = tf.io.is_jpeg(encoded)
    size = tf.cond(jpeg, of_jpeg, lambda: unread)
    reason = tf.where(tf.reduce_all(size > 0), b"", _LATER)
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, tf.constant(1), size[0], size[1], jpeg, label


@tf.function(input_signature=_SIGNATURE, autograph=False)
def _content(encoded, label, max_pixels):
    """Why a file is refused, and the fields of `ROW`. The image is decoded, for that may fail.

    Traced once for all splits, because it is large.
    """
    reason = refusal(encoded, max_pixels)
    size = tf.cond(reason == "", lambda: tf.shape(decode(encoded)), lambda: tf.zeros([3], tf.int32))
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, orientation(encoded), size[0], size[1], tf.io.is_jpeg(encoded), label
