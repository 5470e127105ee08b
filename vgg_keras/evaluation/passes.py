"""One protocol at one scale over every image, kept in a file as it goes: interrupted, it goes on where it stood."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data.pipeline import message_of, readable_images
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.evaluation.posteriors import Posteriors, load, other_images, save
from vgg_keras.evaluation.protocols import Finished
from vgg_keras.plain_values import difference

SAVE_SECONDS = 60
# What may differ between a pass that was begun and the same gone on with.
_MADE_BY = ("versions", "git_commit")
_FREE = ("model", "data", "bad_images", *_MADE_BY)  # the images themselves are compared


class MismatchError(UserError):
    """What was begun is of another net, other images or other settings."""


def begin(path: Path, split: Split, classes: tuple[str, ...], net: dict[str, Any]) -> Posteriors:
    """The posteriors in `path` as far as they are known, or none yet.

    Args:
        path: of the pass's `.npz`.
        split: the images.
        classes: the net's.
        net: how it is asked, with one scale; what is found there must have been asked alike.

    Raises:
        MismatchError: the file holds another net's posteriors, or of other images or settings; the difference is named.
    """
    new = Posteriors(
        probabilities=np.broadcast_to(np.float32(0), (split.size, len(classes))),  # which `run` makes room for
        labels=np.zeros(split.size, np.int32),
        ids=tuple(split.name(image) for image in range(split.size)),
        fingerprints=np.zeros(split.size, np.int64) if split.fingerprints is None else split.fingerprints,
        classes=classes,
        nets=(net,),
        done=np.zeros(split.size, np.bool_),
        seconds=0.0,
    )
    if not path.exists():
        return new
    found = require_alike(path, new, ())
    return dataclasses.replace(found, nets=({**net, **{name: found.nets[0][name] for name in _MADE_BY}},))


def require_alike(path: Path, wanted: Posteriors, free: Sequence[str]) -> Posteriors:
    """What the file holds, if the same net gave it of the same images; `free` are the settings that may differ.

    Raises:
        MismatchError: it did not; the first difference is named. Or the file is damaged.
    """
    advice = "Name another --out, or remove that folder."
    try:
        found = load(path)
    except UserError as error:
        raise MismatchError(f"{error} {advice}") from None
    different = f"nets: {len(found.nets)}, now 1" if len(found.nets) > 1 else None
    different = different or difference(_compared(found.nets[0], free), _compared(wanted.nets[0], free))
    different = different or other_images(found, wanted)
    if different:
        raise MismatchError(
            f"A folder of --out holds one net's posteriors of one set. Received: {path}, made with another: {different}. {advice}"
        )
    return found


def run(
    protocol: Callable[[Split, Data, int], Iterator[Finished]],
    known: Posteriors,
    path: Path,
    split: Split,
    data: Data,
    side: int,
    title: str,
) -> Posteriors:
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
    begun, folder = known.probabilities, path.parent
    room = rows.copy(begun, folder) if known.done.any() else rows.zeros(begun.shape, folder)
    known = dataclasses.replace(known, probabilities=room)
    began = saved = time.monotonic()

    def keep():
        save(dataclasses.replace(known, seconds=known.seconds + time.monotonic() - began), path)

    bar = tqdm.tqdm(desc=title, total=split.size, initial=split.size - len(todo), unit="image", disable=None)
    try:
        with bar, readable_images(rest):
            for places, labels, posteriors in protocol(rest, data, side):
                images = todo[places]
                if not np.isfinite(posteriors).all():
                    name = split.path(images[~np.isfinite(posteriors).all(axis=1)][0])
                    raise UserError(f"A net's scores must be finite. Received: one that is not, for {name}.")
                known.probabilities[images], known.labels[images] = posteriors, labels
                known.done[images] = True
                rows.release(known.probabilities)
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
    return load(path) if isinstance(known.probabilities, np.memmap) else known  # of a large one no second file is kept


def _compared(net: dict[str, Any], free: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in net.items() if key not in (*_FREE, *free)}
