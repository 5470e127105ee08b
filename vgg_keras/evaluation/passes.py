"""One protocol at one scale over every image, kept in a file as it goes: interrupted, it goes on where it stood."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data.errors import message_of, readable_images
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.evaluation.image_rows import ImageRows, load, other_images, save
from vgg_keras.evaluation.protocols import Finished
from vgg_keras.plain_values import difference

Rows = TypeVar("Rows", bound=ImageRows)
SAVE_SECONDS = 60
# What may differ between a pass that was begun and the same gone on with.
_MADE_BY = ("versions", "git_commit")
_FREE = ("model", "data", "bad_images", *_MADE_BY)  # the images themselves are compared


class MismatchError(UserError):
    """What was begun is of another net, other images or other settings."""


def begin(path: Path, new: Rows) -> Rows:
    """The rows in `path` as far as they are known, or none yet.

    Args:
        path: of the pass's `.npz`.
        new: of `image_rows.unknown`, with one net at one scale; what is found must be of the same images and settings.

    Raises:
        MismatchError: the file holds another net's rows, or of other images or settings; the difference is named.
    """
    if not path.exists():
        return new
    found = require_alike(path, new, ())
    made_by = {name: found.nets[0][name] for name in _MADE_BY}
    return dataclasses.replace(found, nets=({**new.nets[0], **made_by},))


def require_alike(path: Path, wanted: Rows, free: Sequence[str]) -> Rows:
    """What the file holds, if the same net gave it of the same images; `free` are the settings that may differ.

    Raises:
        MismatchError: it did not; the first difference is named. Or the file is damaged.
    """
    advice = "Name another --out, or remove that folder."
    try:
        found = load(type(wanted), path)
    except UserError as error:
        raise MismatchError(f"{error} {advice}") from None
    different = f"nets: {len(found.nets)}, now 1" if len(found.nets) > 1 else None
    different = different or difference(_compared(found.nets[0], free), _compared(wanted.nets[0], free))
    different = different or other_images(found, wanted)
    if different:
        raise MismatchError(
            f"A folder of --out holds one net's {wanted.NAME} of one set. Received: {path}, made with another: {different}. "
            f"{advice}"
        )
    return found


def run(
    protocol: Callable[[Split, Data, int], Iterator[Finished]],
    known: Rows,
    path: Path,
    split: Split,
    data: Data,
    side: int,
    title: str,
) -> Rows:
    """Finishes what `begin` found: the images that are not done yet go through the protocol.

    Args:
        protocol: of `protocols`.
        known: what is done already.
        path: where the rows are saved, each minute and at the end, however it comes.
        split, data, side: what the protocol is called with.
        title: of the progress bar.

    Raises:
        UserError: an image that cannot be read any more or is too large, or a net whose scores are no numbers.
        StoppedError: by a signal, with everything saved.
    """
    todo = np.flatnonzero(~known.done)
    if not len(todo):
        return known
    rest = split.select(todo)
    begun, folder = known.rows, path.parent
    room = rows.copy(begun, folder) if known.done.any() else rows.zeros(begun.shape, folder)
    known = known.with_rows(room)
    began = saved = time.monotonic()

    def keep():
        save(dataclasses.replace(known, seconds=known.seconds + time.monotonic() - began), path)

    bar = tqdm.tqdm(desc=title, total=split.size, initial=split.size - len(todo), unit="image", disable=None)
    try:
        with bar, readable_images(rest):
            for places, labels, found in protocol(rest, data, side):
                images = todo[places]
                if not np.isfinite(found).all():
                    name = split.path(images[~np.isfinite(found).all(axis=1)][0])
                    raise UserError(f"A net's scores must be finite. Received: one that is not, for {name}.")
                room[images], known.labels[images] = found, labels
                known.done[images] = True
                rows.release(room)
                bar.update(len(images))
                stop.raise_if_requested()
                if time.monotonic() - saved > SAVE_SECONDS:
                    keep()
                    saved = time.monotonic()
    except BaseException as error:
        if known.done.any():
            keep()
            print(f"{title}: {known.done.sum():,} of {split.size:,} images are kept in {path}", file=sys.stderr)
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise UserError(
                f"A test must fit the memory. Received: {message_of(error)}. A smaller evaluation.batch needs less memory for "
                "the same result. The same command with it goes on where it stood."
            ) from error
        raise
    known = dataclasses.replace(known, seconds=known.seconds + time.monotonic() - began)
    save(known, path)
    return load(type(known), path) if isinstance(room, np.memmap) else known  # of a large one no second file is kept


def _compared(net: dict[str, Any], free: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in net.items() if key not in (*_FREE, *free)}
