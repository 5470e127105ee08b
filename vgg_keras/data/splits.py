"""What every source of images offers: splits whose images are read by number."""

import dataclasses
import math
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from vgg_keras.data.boxes import Boxes
from vgg_keras.errors import UserError
from vgg_keras.files import sha256_of_names

_CHECKED = 16  # images together; between the check and the reading a file could change unseen


class ChangedError(Exception):
    """A file is no longer the one that was listed; the message names it and says what it is now, in one line."""


@dataclass(frozen=True)
class Split:
    """Images 0 to size - 1 of a training or validation set.

    Attributes:
        size: the number of images.
        read: image id, an int64 scalar, to (the encoded file, the label as int32; of a multi-label set (classes,) int8, a row of
            `labels`); a TensorFlow function, so that reading runs inside tf.data. Nothing is kept in memory.
        require_unchanged: image ids to a tensor whose evaluation fails where a file is no longer the one that was listed; None
            where files do not change. It runs in Python, so it is called for many images at once.
        name: image id to the image's name, the same on every machine: a path below `root`.
        root: the folder of the names on this machine; empty where there is none.
        stamps: (images,) uint64, numbers that change when the files do (path, size, times); None where nothing can be damaged.
        fingerprints: (images,) int64 of the files' bytes, known after the scan; None where nothing can be damaged.
        orientations: (images,) int32, EXIF's 1 to 8, known after the scan; None where every image is upright as it is stored.
        inspect: image id and `data.max_file_bytes` to the reason why its file must not be read; an empty text where it may.
            It reads the file's kind, its size and its first bytes. None where that is not needed.
        changed: image id to whether its file was written anew since it was listed; None where that is not known.
        labels: (images,) int32; None where they are known after the scan, or mean nothing. Of a multi-label set, whose images
            have any number of classes, (images, classes) int8: 1 for a class that an image has, 0 for one that it has not, -1
            for one that is neither trained nor counted. They are then known from the start.
        channels: of its images in the pipeline; `scan` sets those of the net.
        array_channels: of images that are arrays, which `read` returns in the file's place; None: of files.
        classes: the names of the labels; empty where labels mean nothing.
        notes: what a user should know of the images, a line each.
        sizes: (images, 2) int32, height and width as stored. None before the scan, which fills them in where there are `stamps`;
            a source without stamps gives them.
        jpegs: (images,) bool, whether the file is a JPEG; likewise.
        boxes: of the objects of each image's class (A); None where there are none, and after the scan where the net gives none.
    """

    size: int
    read: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    name: Callable[[int], str]
    root: str = ""
    require_unchanged: Callable[[tf.Tensor], tf.Tensor] | None = None
    stamps: np.ndarray | None = None
    fingerprints: np.ndarray | None = None
    orientations: np.ndarray | None = None
    sizes: np.ndarray | None = None
    jpegs: np.ndarray | None = None
    boxes: Boxes | None = None
    inspect: Callable[[int, int], str] | None = None
    changed: Callable[[int], bool] | None = None
    labels: np.ndarray | None = None
    channels: int = 3
    array_channels: int | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether an image has any number of classes."""
        return self.labels is not None and self.labels.ndim == 2

    @property
    def class_counts(self) -> np.ndarray:
        """The number of images of each class, (classes,) int64; the labels must be known."""
        if self.multi_label:
            return (self.labels > 0).sum(axis=0)
        return np.bincount(self.labels, minlength=len(self.classes))

    def path(self, image: int) -> str:
        """The image's path, as a message shows it."""
        return os.path.join(self.root, self.name(image))

    def unchanged(self, images: tf.Tensor) -> tf.Tensor:
        """These ids, one or many, after a check that their files are those that were listed; an error where one is not."""
        if self.require_unchanged is None:
            return images
        with tf.control_dependencies([self.require_unchanged(images)]):
            return tf.identity(images)

    def checked(self, ids: tf.data.Dataset, all_of_them: bool = True) -> tf.data.Dataset:
        """These ids, their files checked by `unchanged` some at a time: one at a time would cost 0.15 ms per image.

        Args:
            ids: of images.
            all_of_them: False where the reader goes on behind an error: an end with too few ids is then none.
        """
        if self.require_unchanged is None:
            return ids
        found = ids.batch(_CHECKED).map(self.unchanged).unbatch()
        return found.apply(tf.data.experimental.assert_cardinality(ids.cardinality())) if all_of_them else found

    def orientation(self, image: tf.Tensor) -> tf.Tensor | None:
        """EXIF's of an image, inside of tf.data too; None where every image is upright as it is stored."""
        return None if self.orientations is None else tf.gather(self.orientations, image)

    def digest(self) -> str:
        """sha256 over the names in their order: which image has which id."""
        return sha256_of_names(map(self.name, range(self.size)))

    def select(self, ids: np.ndarray) -> "Split":
        """The split of these images, renumbered from 0 in the given order."""
        kept = np.asarray(ids, np.int64)
        table = tf.constant(kept)
        return dataclasses.replace(
            self,
            size=len(kept),
            read=lambda image: self.read(tf.gather(table, image)),
            require_unchanged=self.require_unchanged
            and (lambda images: self.require_unchanged(tf.gather(table, images))),
            name=lambda image: self.name(int(kept[image])),
            inspect=self.inspect and (lambda image, most: self.inspect(int(kept[image]), most)),
            changed=self.changed and (lambda image: self.changed(int(kept[image]))),
            boxes=self.boxes and self.boxes.select(kept),
            **{name: found[kept] for name, found in self._found().items()},
        )

    def relabelled(self, places: Sequence[int], classes: Sequence[str]) -> "Split":
        """The split of one label per image with other numbers for its labels.

        Args:
            places: the new number of each label.
            classes: the names of the new numbers.
        """
        table = tf.constant(places, tf.int32)

        def read(image):
            content, label = self.read(image)
            return content, tf.gather(table, label)

        return dataclasses.replace(
            self, read=read, labels=np.array(places, np.int32)[self.labels], classes=tuple(classes)
        )

    def followed_by(self, other: "Split") -> "Split":
        """The images of both splits of one source."""

        ours, others = self._found(), other._found()
        found = {name: (ours[name], others[name]) for name in ours if name in others}
        if "orientations" in ours or "orientations" in others:
            found["orientations"] = _orientations(self), _orientations(other)

        def of_both(function):
            return lambda image, *more: (
                function(self, image, *more) if image < self.size else function(other, image - self.size, *more)
            )

        def require_unchanged(images):
            images = tf.reshape(images, [-1])
            of_other = tf.boolean_mask(images, images >= self.size) - self.size
            return self.require_unchanged(tf.boolean_mask(images, images < self.size)) + other.require_unchanged(
                of_other
            )

        return dataclasses.replace(
            self,
            size=self.size + other.size,
            require_unchanged=self.require_unchanged and require_unchanged,
            read=lambda image: tf.cond(
                image < self.size, lambda: self.read(image), lambda: other.read(image - self.size)
            ),
            name=of_both(lambda split, image: split.name(image)),
            inspect=self.inspect and of_both(lambda split, image, most: split.inspect(image, most)),
            changed=self.changed and of_both(lambda split, image: split.changed(image)),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
            boxes=self.boxes and other.boxes and self.boxes.followed_by(other.boxes),
            **{name: np.concatenate(found[name]) if name in found else None for name in _FOUND},
        )

    def _found(self) -> dict[str, np.ndarray]:
        """What is known of each image, by the field's name."""
        return {name: getattr(self, name) for name in _FOUND if getattr(self, name) is not None}


# the fields of a split with a row an image
_FOUND = ("stamps", "fingerprints", "orientations", "sizes", "jpegs", "labels")


def _orientations(split: Split) -> np.ndarray:
    return np.ones(split.size, np.int32) if split.orientations is None else split.orientations


@dataclass(frozen=True)
class Source:
    """A classification set.

    Attributes:
        name: as the user gave it.
        description: one line: what it is and how it is divided.
        classes: their names, in label order.
        train, val: its splits.
        test: the images of the final evaluation: the set's own test split, or with `data.validation=held_out` its images that
            are not for training; None: the final evaluation uses `val`.
        holds_out: whether `val` is a share of the training images, that of `data.holdout`.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None = None
    holds_out: bool = False

    @property
    def multi_label(self) -> bool:
        """Whether an image has any number of classes."""
        return self.train.multi_label

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all splits, each once."""
        splits = [split for split in (self.train, self.val, self.test) if split]
        return tuple(dict.fromkeys(note for split in splits for note in split.notes))

    @property
    def final_split(self) -> str:
        """The name of the split of the final evaluation."""
        return "test" if self.test else "val"

    def require_used(self, stated: Collection[str]) -> None:
        """Refuses fields without effect on these images.

        Args:
            stated: the paths of the fields that a user states.

        Raises:
            UserError: `data.holdout`, where the set has validation images of its own.
        """
        if "data.holdout" in stated and not self.holds_out:
            raise UserError(
                "data.holdout is the share of the training images that validates. Received: it for "
                f"{self.description}, whose own validation images do. Set data.validation=held_out too, or leave it out."
            )

    def split(self, name: str) -> Split:
        """The images of `val`, `train`, `test` or `all`.

        Raises:
            UserError: `test`, of which there is none.
        """
        if name == "all":
            both = self.val.followed_by(self.train)
            return both if self.test is None else self.test.followed_by(both)
        found = {"val": self.val, "train": self.train, "test": self.test}[name]
        if found is None:
            raise UserError(
                "A set has a split 'test' where it has a folder test/ or a list's rows of test, or where "
                "data.validation=held_out leaves images that are not for training. "
                f"Received: {self.description}. Name --split=val."
            )
        return found


def shown_sizes(split: Split) -> np.ndarray:
    """Height and width of each image of a scanned split as it is shown, (images, 2)."""
    if split.orientations is None:
        return split.sizes
    return np.where((split.orientations > 4)[:, np.newaxis], split.sizes[:, ::-1], split.sizes)


def evenly(size: int, most: int) -> np.ndarray:
    """The ids of `most` of `size` images, of all where there are fewer, evenly spaced from the first on, int64."""
    return np.linspace(0, size, min(most, size), endpoint=False).astype(np.int64)


def held_out(size: int, share: float) -> np.ndarray:
    """A mask of `size` images: True for the validation images, this share of them, evenly spaced; at 0.2 each fifth."""
    places = np.arange(size + 1) * share + 1e-9  # so that 5 * 0.2 is 1 in spite of rounding
    return np.floor(places[1:]) > np.floor(places[:-1])


def held_out_by_class(labels: np.ndarray, share: float) -> np.ndarray:
    """The mask of `held_out` within each class; labels are (images,)."""
    found = np.zeros(len(labels), bool)
    of_classes = [held_out(count, share) for count in np.unique(labels, return_counts=True)[1]]
    found[np.argsort(labels, kind="stable")] = np.concatenate(of_classes)
    return found


def held_out_images(
    size: int, share: float, data: str, labels: np.ndarray | None = None, remedy: str = "Name a larger share."
) -> np.ndarray:
    """A mask of a set's images: True for the validation images, this share of each class, or of the set.

    Args:
        size: of the set.
        share: `data.holdout`.
        data: what a message calls the set.
        labels: (images,) from 0 on. None: they are not known, or an image has any number of them, and the share is of the set.
        remedy: the message's last sentences.

    Raises:
        UserError: no class has images enough, or the set has not.
    """
    if labels is None:
        validates, what, received = held_out(size, share), "set", f" with {size}"
    else:
        validates, what, received = held_out_by_class(labels, share), "class", ", where none has so many"
    if not validates.any():
        raise UserError(
            f"A {what} needs {math.ceil(1 / share)} images to hold one out (data.holdout={share:g}). "
            f"Received: {data}{received}. {remedy}"
        )
    return validates


def divided(split: Split, share: float, data: str, by_class: bool = False) -> tuple[Split, Split]:
    """The training images and those that are held out to validate: this share, evenly spaced.

    Args:
        split: of all of them.
        share: `data.holdout`.
        data: what a message calls the set.
        by_class: whether it is the share of each class, of known labels, one an image.

    Raises:
        UserError: they are too few.
    """
    validates = held_out_images(split.size, share, data, split.labels if by_class else None)
    return split.select(np.flatnonzero(~validates)), split.select(np.flatnonzero(validates))
