"""The scan before a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image in the middle of a run would end it. TensorFlow's `ignore_errors` would drop good images with it and name none. The
scan also finds the size and the orientation of each image, which are then not read again in every epoch. `inspection` finds out
what an image is, and `scan_cache` keeps it, so that only new and changed files are inspected again.
"""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vgg_keras import stop
from vgg_keras.config import Config, Data
from vgg_keras.data import usable_boxes
from vgg_keras.data.boxes import COLUMNS
from vgg_keras.data.decoding import FILE_CHANNELS
from vgg_keras.data.inspection import NotRead, inspect_images
from vgg_keras.data.scan_cache import ROW, ScanCache, cache_path
from vgg_keras.data.split_notes import noting_classes, noting_copies
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable
from vgg_keras.progress import progress

SAVE_SECONDS = 60


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
    if train.stamps is not None:  # arrays may all train and all validate
        val, test = noting_copies(val, "val", train), test and noting_copies(test, "test", train)
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
    for images, rows, refused in inspect_images(split, data, np.arange(split.size)):
        table[images] = rows
        reasons |= refused
        stop.raise_if_requested()
    return _with_findings(split, table, reasons, data)


def with_channels(split: Split, channels: int) -> Split:
    """The split with its images in these channels.

    Raises:
        UserError: its images cannot be read so.
    """
    held = split.array_channels
    own = FILE_CHANNELS if held is None else {held, *_RELATED.get(held, ())}
    if channels not in own:
        what = "image files" if held is None else f"arrays of {held} channels"
        known = ", ".join(map(str, sorted(own)))
        without_alpha = ", or leave alpha out: images[..., :3]" if held == 4 else ""
        of_arrays = f"Give channels={held}{without_alpha}."
        hint = "Other channels are read from arrays, by training_data." if held is None else of_arrays
        raise UserError(
            f"architecture.channels is what the images can be read in: {known} of {what}. Received: {channels}. {hint}"
        )
    return dataclasses.replace(split, channels=channels)


_RELATED = {1: (3, 4), 3: (1, 4)}  # the channels that an array's grey or RGB can be read in beside its own


def _scan_split(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source, split = printable(config.data.source), with_channels(split, config.architecture.channels)
    wants_boxes = config.predicts_boxes
    if wants_boxes and (split.boxes is None or split.multi_label):
        found = "without boxes" if split.boxes is None else "with several labels in a row, where a box is of one class"
        raise UserError(
            f"A net of boxes needs images with boxes: a .csv list with the columns {', '.join(COLUMNS)} and one label per row. "
            f"Received: --data={source}, {found}."
        )
    if split.stamps is None:  # nothing can be damaged
        return noting_classes(split, name), []
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
    return noting_classes(split, name), bad


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
            for images, rows, refused in inspect_images(split, data, unknown):
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
