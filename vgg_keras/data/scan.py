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


def unreadable(split: Split) -> list[BadImage]:
    """The images of a split that cannot be read or decoded; nothing is kept of it."""
    found = _look(split, np.arange(split.size))
    return [BadImage(split.path(image), reason) for image, reason in found.items() if isinstance(reason, str)]


def _readable(split: Split, name: str, config: Config) -> tuple[Split, list[BadImage]]:
    source = config.data.source
    division = f" {config.data.holdout}" * (config.data.validation == "held_out")
    key = _digest(" ".join((os.path.abspath(split.root), source, name)) + division)
    cache = Path(config.runtime.cache_dir).expanduser() / f"scan-{key:016x}.npz"
    reasons, fingerprints = _scan(split, f"{source} {name}", cache)
    if len(reasons) == split.size:
        raise UserError(f"Every split needs a readable image. Received: {source} whose {name} images are all bad.")
    good = dataclasses.replace(split, fingerprints=fingerprints)
    if reasons:
        good = good.select([image for image in range(split.size) if image not in reasons])
    return good, [BadImage(split.path(image), reason) for image, reason in reasons.items()]


def _require_few(bad: list[BadImage], images: int, config: Config) -> None:
    if len(bad) > config.data.max_bad_fraction * images:
        first = "; ".join(str(image) for image in bad[:3])
        raise UserError(
            f"At most {config.data.max_bad_fraction:.1%} of the images may be unreadable (data.max_bad_fraction). "
            f"Received: {len(bad)} of {images}: {first}{'; ...' if len(bad) > 3 else '.'}"
        )


def _scan(split: Split, title: str, cache: Path) -> tuple[dict[int, str], np.ndarray | None]:
    """Image ids of the split that cannot be read or decoded with the reasons, and the fingerprints of all."""
    if split.stamp is None:
        return {}, None
    stamps = np.array([_digest(split.stamp(image)) for image in range(split.size)], np.uint64)
    good, bad = _read_cache(cache)
    unknown = [image for image, stamp in enumerate(stamps.tolist()) if stamp not in good and stamp not in bad]
    saved = time.monotonic()
    if unknown:
        try:
            with tqdm.tqdm(total=len(unknown), desc=f"scan of {title}", unit="image", disable=None) as progress:
                for chunk in np.array_split(unknown, math.ceil(len(unknown) / CHUNK)):
                    for image, found in _look(split, chunk).items():
                        (bad if isinstance(found, str) else good)[int(stamps[image])] = found
                    progress.update(len(chunk))
                    stop.here()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        _write_cache(cache, stamps, good, bad)
                        saved = time.monotonic()
        finally:  # an interrupted scan goes on where it stood
            _write_cache(cache, stamps, good, bad)
    reasons = {image: bad[stamp] for image, stamp in enumerate(stamps.tolist()) if stamp in bad}
    return reasons, np.array([good.get(stamp, 0) for stamp in stamps.tolist()], np.int64)


def _look(split: Split, images: np.ndarray) -> dict[int, int | str]:
    """The fingerprint of each of these images, or why it cannot be decoded: all at once, one by one where that fails."""
    try:
        found = tf.data.Dataset.from_tensor_slices(images).map(lambda image: _decoded(split, image), tf.data.AUTOTUNE)
        return dict(zip(images.tolist(), [int(fingerprint) for fingerprint, _ in found], strict=True))
    except tf.errors.OpError:
        return {int(image): _fingerprint_or_reason(split, image) for image in images}


def _decoded(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A fingerprint of the file's bytes, and its size in pixels, for which it must be decoded."""
    encoded = split.read(image)[0]
    return tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1), tf.shape(decode(encoded))


def _fingerprint_or_reason(split: Split, image: int) -> int | str:
    try:
        return int(_decoded(split, tf.constant(image, tf.int64))[0])
    except (tf.errors.OpError, ValueError) as error:
        return plain(error)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def _read_cache(cache: Path) -> tuple[dict[int, int], dict[int, str]]:
    """Stamps of good images with their fingerprints, and of bad ones with the reasons."""
    try:
        with open(cache, "rb") as file, np.load(file) as arrays:
            good = dict(zip(arrays["good"].tolist(), arrays["fingerprints"].tolist(), strict=True))
            return good, dict(zip(arrays["bad"].tolist(), arrays["reasons"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or damaged: scan again
        return {}, {}


def _write_cache(cache: Path, stamps: np.ndarray, good: dict[int, int], bad: dict[int, str]) -> None:
    """Keeps what was found of these images; of others nothing, so that the file does not grow with a folder's history."""
    known = set(stamps.tolist())
    good = {stamp: fingerprint for stamp, fingerprint in good.items() if stamp in known}
    bad = {stamp: reason for stamp, reason in bad.items() if stamp in known}
    try:
        with replacing(cache) as temporary:
            np.savez(
                temporary,
                good=np.array(list(good), np.uint64),
                fingerprints=np.array(list(good.values()), np.int64),
                bad=np.array(list(bad), np.uint64),
                reasons=np.array(list(bad.values()), np.str_),
            )
    except OSError as error:  # the next run scans again; this one need not end
        print(f"the scan's result cannot be kept (runtime.cache_dir): {cache}: {error.strerror}", file=sys.stderr)
