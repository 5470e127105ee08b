"""The look ahead of a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image met in mid-run would end it, and TensorFlow's `ignore_errors` would lose good ones with it and name none.
What was found is kept by path, size and time, so only new and changed files are looked at again.
"""

import dataclasses
import hashlib
import math
import os
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Config, UserError
from vgg_keras.data.pipeline import plain
from vgg_keras.data.preprocessing import decode
from vgg_keras.data.splits import Source, Split
from vgg_keras.files import replacing

CHUNK = 512  # images decoded at once; where one of them is bad, they are looked at one by one
SAVE_SECONDS = 60


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why, in one line."""

    name: str
    reason: str

    def __str__(self):
        return f"{self.name}: {self.reason}"


def without_bad_images(
    source: Source, config: Config, names: Sequence[str] = ("train", "val")
) -> tuple[Source, list[BadImage]]:
    """The source with its unreadable images left out, and those.

    Args:
        source: the images.
        config: its `data` and `runtime.cache_dir` are read.
        names: the splits that are looked at; a test needs no look at the training set.

    Raises:
        UserError: more than `data.max_bad_fraction` of the images, or all of a split, are bad.
    """
    splits, bad = {}, []
    for name in names:
        split = getattr(source, name)
        key = _digest(" ".join((os.path.abspath(split.root), config.data.source, name)))
        reasons = _scan(
            split, f"{source.name} {name}", Path(config.runtime.cache_dir).expanduser() / f"scan-{key:016x}.npz"
        )
        splits[name] = (
            split.select([image for image in range(split.size) if image not in reasons]) if reasons else split
        )
        bad += [BadImage(split.path(image), reason) for image, reason in reasons.items()]
    images = sum(getattr(source, name).size for name in names)
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be unreadable (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )
    for name, split in splits.items():
        if split.size == 0:
            raise UserError(
                f"Every split needs a readable image. Received: {source.name} whose {name} images are all bad."
            )
    return dataclasses.replace(source, **splits), bad


def _scan(split: Split, title: str, cache: Path) -> dict[int, str]:
    """Image ids of the split that cannot be read or decoded, and the reasons."""
    if split.stamp is None:
        return {}
    stamps = np.array([_digest(split.stamp(image)) for image in range(split.size)], np.uint64)
    good, bad = _read_cache(cache)
    unknown = np.flatnonzero(~np.isin(stamps, good) & ~np.isin(stamps, np.array(list(bad), np.uint64)))
    seen, saved = 0, time.monotonic()

    def save():
        _write_cache(cache, np.delete(stamps, unknown[seen:]), bad)

    if len(unknown):
        try:
            with tqdm.tqdm(total=len(unknown), desc=f"scan of {title}", unit="image", disable=None) as progress:
                for chunk in np.array_split(unknown, math.ceil(len(unknown) / CHUNK)):
                    bad |= {int(stamps[image]): reason for image, reason in _bad_ones(split, chunk).items()}
                    seen += len(chunk)
                    progress.update(len(chunk))
                    stop.here()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        save()
                        saved = time.monotonic()
        finally:  # an interrupted scan goes on where it stood
            save()
    return {image: bad[int(stamp)] for image, stamp in enumerate(stamps) if int(stamp) in bad}


def _bad_ones(split: Split, images: np.ndarray) -> dict[int, str]:
    """Those of these images that cannot be decoded, and why: all at once, and one by one only where that fails."""
    try:
        for _ in tf.data.Dataset.from_tensor_slices(images).map(lambda image: _decoded(split, image), tf.data.AUTOTUNE):
            pass
    except tf.errors.OpError:
        return {int(image): reason for image in images if (reason := _reason(split, image))}
    return {}


def _decoded(split: Split, image: tf.Tensor) -> tf.Tensor:
    return tf.shape(decode(split.read(image)[0]))


def _reason(split: Split, image: int) -> str:
    try:
        _decoded(split, tf.constant(image, tf.int64))
    except (tf.errors.OpError, ValueError) as error:
        return plain(error)
    return ""


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def _read_cache(cache: Path) -> tuple[np.ndarray, dict[int, str]]:
    try:
        with open(cache, "rb") as file, np.load(file) as arrays:
            return arrays["good"], dict(zip(arrays["bad"].tolist(), arrays["reasons"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged: scan again
        return np.array([], np.uint64), {}


def _write_cache(cache: Path, stamps: np.ndarray, bad: dict[int, str]) -> None:
    """Keeps what was found of these images; of others nothing, so that the file does not grow with a folder's history."""
    bad = {int(stamp): bad[int(stamp)] for stamp in stamps if int(stamp) in bad}
    keys = np.array(list(bad), np.uint64)
    try:
        with replacing(cache) as temporary:
            good = stamps[~np.isin(stamps, keys)]
            np.savez(temporary, good=good, bad=keys, reasons=np.array(list(bad.values()), np.str_))
    except OSError as error:  # the next run scans again; this one need not end
        print(f"the scan's result cannot be kept (runtime.cache_dir): {cache}: {error.strerror}", file=sys.stderr)
