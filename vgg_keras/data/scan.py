"""The look ahead of a run: every image is read and decoded once, so that a bad one is skipped, counted and named.

A bad image met in mid-run would end it, and TensorFlow's `ignore_errors` would lose good ones with it and name none.
What was found is kept by path, size and time, so only new and changed files are looked at again.
"""

import dataclasses
import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras.config import Config, UserError
from vgg_keras.data.preprocessing import decode
from vgg_keras.data.splits import Source, Split
from vgg_keras.files import replacing

CHUNK = 10_000  # images handed to the threads at once: a list of them all would take memory with the data set


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
    splits, bad = {}, []
    for name in ("train", "val"):
        split = getattr(source, name)
        reasons = _scan(split, f"{source.name} {name}", Path(config.runtime.cache_dir).expanduser())
        splits[name] = (
            split.select([image for image in range(split.size) if image not in reasons]) if reasons else split
        )
        bad += [BadImage(split.name(image), reason) for image, reason in reasons.items()]
    images = source.train.size + source.val.size
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


def _scan(split: Split, title: str, folder: Path) -> dict[int, str]:
    """Image ids of the split that cannot be read or decoded, and the reasons."""
    if split.stamp is None:
        return {}
    stamps = np.array([_digest(split.stamp(image)) for image in range(split.size)], np.uint64)
    cache = folder / f"scan-{_digest(os.path.abspath(title)):016x}.npz"
    good, bad = _read_cache(cache)

    unknown = np.flatnonzero(~np.isin(stamps, good) & ~np.isin(stamps, np.array(list(bad), np.uint64)))
    if len(unknown):
        seen = 0
        try:
            with _progress(title, len(unknown)) as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
                for chunk in np.array_split(unknown, math.ceil(len(unknown) / CHUNK)):
                    for image, reason in zip(chunk, pool.map(lambda image: _reason(split, image), chunk), strict=True):
                        if reason:
                            bad[int(stamps[image])] = reason
                        progress.update()
                    seen += len(chunk)
        finally:  # an interrupted scan goes on where it stood
            _write_cache(cache, np.delete(stamps, unknown[seen:]), bad)
    return {image: bad[int(stamp)] for image, stamp in enumerate(stamps) if int(stamp) in bad}


def _progress(title: str, images: int) -> tqdm.tqdm:
    return tqdm.tqdm(total=images, desc=f"scan of {title}", unit="image", disable=None)


def _reason(split: Split, image: int) -> str:
    try:
        decode(split.read(tf.constant(image, tf.int64))[0])
    except (tf.errors.OpError, ValueError) as error:
        first = str(error).splitlines()[0]
        return first.split("}} ")[-1].split(" [Op:")[0]  # TensorFlow's wrapping of the words that matter
    return ""


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def _read_cache(cache: Path) -> tuple[np.ndarray, dict[int, str]]:
    try:
        with np.load(cache) as arrays:
            return arrays["good"], dict(zip(arrays["bad"].tolist(), arrays["reasons"].tolist(), strict=True))
    except (OSError, ValueError, KeyError):  # none yet, or damaged: scan again
        return np.array([], np.uint64), {}


def _write_cache(cache: Path, stamps: np.ndarray, bad: dict[int, str]) -> None:
    """Keeps what was found of these images; of others nothing, so that the file does not grow with a folder's history."""
    bad = {int(stamp): bad[int(stamp)] for stamp in stamps if int(stamp) in bad}
    keys = np.array(list(bad), np.uint64)
    with replacing(cache) as temporary:
        np.savez(
            temporary, good=stamps[~np.isin(stamps, keys)], bad=keys, reasons=np.array(list(bad.values()), np.str_)
        )
