"""One protocol at one scale over every image, saved in a file as it goes: an interrupted pass resumes."""

import dataclasses
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data.errors import message_of, readable_images
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.evaluation import rows
from vgg_keras.evaluation.evaluated_net import first_difference, made_as
from vgg_keras.evaluation.image_rows import ImageRows, load, other_images, save
from vgg_keras.evaluation.protocols import Finished
from vgg_keras.progress import progress

Rows = TypeVar("Rows", bound=ImageRows)
SAVE_SECONDS = 60


class MismatchError(UserError):
    """A folder holds rows of another net, of other images or by other settings."""


def begin(path: Path, new: Rows) -> Rows:
    """The rows that `path` holds, finished or not; if it does not exist, none are done.

    Args:
        path: of the pass's `.npz`.
        new: of `image_rows.unknown`, with one net at one scale; what is found must be of the same images and settings.

    Raises:
        MismatchError: the file holds another net's rows, or of other images or settings; the difference is named.
    """
    if not path.exists():
        return new
    found = require_same(path, new)
    return dataclasses.replace(found, nets=(made_as(new.nets[0], found.nets[0]),))


def require_same(path: Path, wanted: Rows, may_differ: Collection[str] = ()) -> Rows:
    """The rows in `path`, which must be of the same net, images and settings; they take the wanted labels.

    Labels may be edited where a row does not depend on them. The file is then written anew, because fusions read it.

    Args:
        path: of the file.
        wanted: what it must be the same as; its labels are those of today.
        may_differ: fields of the net that are not compared.

    Raises:
        MismatchError: they are others, with the first difference; or the file is damaged.
    """
    advice = "Name another --out, or remove that folder."
    try:
        found = load(type(wanted), path)
    except UserError as error:
        raise MismatchError(f"{error} {advice}") from None
    different = f"nets: {len(found.nets)}, now 1" if len(found.nets) > 1 else None
    different = different or first_difference(found.nets[0], wanted.nets[0], {*may_differ, *wanted.OF_IMAGES})
    different = different or other_images(found, wanted)
    different = different or first_difference(found.nets[0], wanted.nets[0], may_differ)
    changed = 0 if different else _other_labels(found, wanted)
    if changed and found.BY_LABEL:
        different = f"{changed:,} images have other labels"
    if different:
        raise MismatchError(
            f"A folder of --out holds one net's {wanted.NAME} of one set. Received: {path}, made with another: {different}. "
            f"{advice}"
        )
    found = dataclasses.replace(found, labels=wanted.labels)
    if changed:
        save(found, path)
        print(f"{path}: {changed:,} images have other labels now, which count from here on", flush=True)
    return found


def _other_labels(found: ImageRows, wanted: ImageRows) -> int:
    """The number of finished images whose labels differ."""
    if found.multi_label != wanted.multi_label:
        return int(found.done.sum())
    different = (found.labels != wanted.labels).reshape(len(found.ids), -1).any(axis=1)
    return int((different & found.done).sum())


def run(
    protocol: Callable[[Split, Data, int], Iterator[Finished]],
    known: Rows,
    path: Path,
    split: Split,
    data: Data,
    side: int,
    title: str,
) -> Rows:
    """Completes what `begin` returned: the images that are not done yet go through the protocol.

    Args:
        protocol: of `protocols`.
        known: the rows that are done already.
        path: where they are saved, each minute, and at the end or an error.
        split, data, side: the protocol's arguments.
        title: of the progress bar.

    Raises:
        UserError: an image that cannot be read any more or is too large, or a net whose scores are not finite.
        StoppedError: by a signal, with everything saved.
    """
    todo = np.flatnonzero(~known.done)
    if not len(todo):
        return known
    old, folder = known.rows, path.parent
    known = known.with_rows(rows.copy(old, folder) if known.done.any() else rows.zeros(old.shape, folder))
    began = time.monotonic()

    def save_rows():
        save(dataclasses.replace(known, seconds=known.seconds + time.monotonic() - began), path)

    bar = progress(title=title, total=split.size, initial=split.size - len(todo))
    try:
        with bar:
            _fill(known, protocol, split, todo, data, side, bar, save_rows)
    except BaseException as error:
        if known.done.any():
            save_rows()
            print(f"{title}: {known.done.sum():,} of {split.size:,} images are kept in {path}", file=sys.stderr)
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise UserError(
                f"A test must fit the memory. Received: {message_of(error)}. A smaller evaluation.batch needs less memory for "
                "the same result. The same command with it resumes."
            ) from error
        raise
    known = dataclasses.replace(known, seconds=known.seconds + time.monotonic() - began)
    save(known, path)
    return load(type(known), path) if isinstance(known.rows, np.memmap) else known  # so that a large array has one file


def _fill(known: ImageRows, protocol, split: Split, todo: np.ndarray, data: Data, side: int, bar, save_rows) -> None:
    """Writes the rows of `todo` into `known` as the protocol finishes them, and saves them each minute."""
    rest, saved = split.select(todo), time.monotonic()
    with readable_images(rest):
        for places, labels, found in protocol(rest, data, side):
            images = todo[places]
            if not np.isfinite(found).all():
                name = split.path(images[~np.isfinite(found).all(axis=1)][0])
                raise UserError(f"A net's scores must be finite. Received: one that is not, for {name}.")
            known.rows[images], known.labels[images] = found, labels
            known.done[images] = True
            rows.release(known.rows)
            bar.update(len(images))
            stop.raise_if_requested()
            if time.monotonic() - saved > SAVE_SECONDS:
                save_rows()
                saved = time.monotonic()
