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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config, Data, UserError
from vgg_keras.data.headers import orientation, refusal
from vgg_keras.data.pipeline import plain
from vgg_keras.data.preprocessing import decode
from vgg_keras.data.splits import Source, Split
from vgg_keras.files import replacing, sweep, user_path

CHUNK = 512  # images decoded at once; where one of them is bad, they are looked at one by one
SAVE_SECONDS = 60


class Found(NamedTuple):
    """What is kept of a good image: its bytes' fingerprint, its EXIF orientation, its size as stored, whether it is a JPEG."""

    fingerprint: int
    orientation: int
    height: int
    width: int
    jpeg: bool


_ROW = np.dtype(list(zip(Found._fields, (np.int64, np.int32, np.int32, np.int32, np.bool_), strict=True)))


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


def looked_at(split: Split, data: Data) -> tuple[Split, list[BadImage]]:
    """A split with what was found of its images, all of them still in it, and the unreadable ones; no cache is kept."""
    found = _look(_looker(split, data.max_pixels), np.arange(split.size))
    return _with(split, list(found.values()), data)


def _readable(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source = config.data.source
    division = f" {config.data.holdout}" * (config.data.validation == "held_out")
    key = _digest(" ".join((os.path.abspath(split.root), source, name)) + f"{division} {config.data.max_pixels}")
    folder = _cache_folder(config.runtime.cache_dir)
    cache = folder and folder / f"scan-{key:016x}.npz"
    if split.stamp is None:
        return split, []
    found = _scan(split, f"{source} {name}", cache, config.data.max_pixels)
    good = [image for image, one in enumerate(found) if isinstance(one, Found)]
    if not good:
        raise UserError(f"Every split needs a readable image. Received: {source} whose {name} images are all bad.")
    split, bad = _with(split, found, config.data)
    return split.select(good) if bad else split, bad


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
    unknown = Found(fingerprint=0, orientation=1, height=0, width=0, jpeg=False)
    rows = np.array([unknown if isinstance(one, str) else one for one in found], _ROW)
    turned = data.exif_orientation and (rows["orientation"] != 1).any()
    known = dataclasses.replace(
        split,
        fingerprints=rows["fingerprint"].copy(),
        orientations=rows["orientation"].copy() if turned else None,
        sizes=np.stack([rows["height"], rows["width"]], axis=1),
        jpegs=rows["jpeg"].copy(),
    )
    return known, [BadImage(split.path(image), one) for image, one in enumerate(found) if isinstance(one, str)]


def _require_few(bad: list[BadImage], images: int, config: Config) -> None:
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be unreadable (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )


def _scan(split: Split, title: str, cache: Path | None, max_pixels: int) -> list[Found | str]:
    """What is known of each image of the split, or why it cannot be used."""
    stamps = np.array([_digest(split.stamp(image)) for image in range(split.size)], np.uint64)
    good, bad = _read_cache(cache)
    unknown = [image for image, stamp in enumerate(stamps.tolist()) if stamp not in good and stamp not in bad]
    saved = time.monotonic()
    if unknown:
        look = _looker(split, max_pixels)
        try:
            with tqdm.tqdm(total=len(unknown), desc=f"scan of {title}", unit="image", disable=None) as progress:
                for chunk in np.array_split(unknown, math.ceil(len(unknown) / CHUNK)):
                    for image, found in _look(look, chunk).items():
                        (bad if isinstance(found, str) else good)[int(stamps[image])] = found
                    progress.update(len(chunk))
                    stop.here()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        _write_cache(cache, stamps, good, bad)
                        saved = time.monotonic()
        finally:  # an interrupted scan goes on where it stood
            _write_cache(cache, stamps, good, bad)
    return [bad[stamp] if stamp in bad else good[stamp] for stamp in stamps.tolist()]


def _looker(split: Split, max_pixels: int) -> Callable:
    """A function of image ids, of what `_content` tells of their files."""
    look = tf.function(lambda image: _content(split.read(image)[0], max_pixels), autograph=False)
    return look.get_concrete_function(tf.TensorSpec([], tf.int64))


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False)
def _content(encoded, max_pixels):
    """Why a file is refused, its fingerprint, its orientation, its size, for which it is decoded, and whether it is a JPEG.

    Traced once, for it is large, whatever the split.
    """
    reason = refusal(encoded, max_pixels)
    size = tf.cond(reason == "", lambda: tf.shape(decode(encoded)), lambda: tf.zeros([3], tf.int32))
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, orientation(encoded), size[0], size[1], tf.io.is_jpeg(encoded)


def _look(look: Callable, images: np.ndarray) -> dict[int, Found | str]:
    """What is found of each of these images, or why it cannot be used: all at once, one by one where that fails."""
    try:
        rows = tf.data.Dataset.from_tensor_slices(images).map(look, tf.data.AUTOTUNE)
        return {int(image): _told(row) for image, row in zip(images, rows.as_numpy_iterator(), strict=True)}
    except tf.errors.OpError:
        return {int(image): _found_or_reason(look, image) for image in images}


def _told(row: Sequence) -> Found | str:
    reason, *found = row
    return reason.decode() or Found(*(value.item() for value in found))


def _found_or_reason(look: Callable, image: int) -> Found | str:
    try:
        return _told([value.numpy() for value in look(tf.constant(image, tf.int64))])
    except (tf.errors.OpError, ValueError) as error:
        return plain(error)


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
