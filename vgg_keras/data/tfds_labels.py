"""The labels in the features of a TFDS set: one class per image, a sequence of classes, or the classes of its objects."""

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.data.pipeline import PREFETCH, without_autotune
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.progress import progress

# VOC's two sequences: the classes of an image, and those of which it has an object that is not marked as difficult
DIFFICULT = ("labels", "labels_no_difficult")
_NO_CLASS = -2  # in each place of a row: one of the image's labels is no class


@dataclass(frozen=True)
class LabelFeature:
    """Where the labels of a set are.

    Attributes:
        names: of the classes.
        key: of the feature in an example.
        inner: of multi-label objects: the key of an object's class; empty where the feature holds the classes themselves.
        counted: the feature with those of `key`'s classes that count; the others are ignored, as VOC's devkit does with an image
            whose objects of a class are all difficult. Empty: all count.
        multi_label: whether an image has any number of classes.
    """

    names: tuple[str, ...]
    key: str
    inner: str = ""
    counted: str = ""
    multi_label: bool = False

    def label(self, example: dict[str, Any]) -> tf.Tensor:
        """The label of an example, int32; of a multi-label set its row, (classes,) int8, of `_NO_CLASS` where a label is none."""
        if not self.multi_label:
            # a label beyond int32 must not become a class by losing its upper digits
            found = tf.clip_by_value(tf.cast(example[self.key], tf.int64), tf.int32.min, tf.int32.max)
            return tf.cast(found, tf.int32)
        numbers = example[self.key][self.inner] if self.inner else example[self.key]
        counting = example[self.counted] if self.counted else numbers
        present, counted = self._has(numbers), self._has(counting)
        row = tf.cast(counted, tf.int8) - tf.cast(present & ~counted, tf.int8)
        wrong = self._none_of_classes(numbers) | self._none_of_classes(counting)
        return tf.where(wrong, tf.constant(_NO_CLASS, tf.int8), row)

    def _has(self, numbers: tf.Tensor) -> tf.Tensor:
        """Whether each class is among these numbers."""
        each = tf.one_hot(tf.reshape(tf.cast(numbers, tf.int64), [-1]), len(self.names), True, False, dtype=tf.bool)
        return tf.reduce_any(each, axis=0)

    def _none_of_classes(self, numbers: tf.Tensor) -> tf.Tensor:
        """Whether one of these numbers is no class. A set that does not publish its labels has -1, which is an image of none."""
        numbers = tf.cast(numbers, tf.int64)
        return tf.reduce_any((numbers < -1) | (numbers >= len(self.names)))


def with_labels(split: Split, feature: LabelFeature, title: str) -> Split:
    """A split with the labels of a multi-label set, read record by record; the scan reads those of another set.

    A record that cannot be read has none: the scan names it, and one with a label that is no class.

    Args:
        split: of the records.
        feature: their labels.
        title: of the progress bar.

    Raises:
        StoppedError: by a signal.
    """
    if not feature.multi_label:
        return split
    labels = np.zeros((split.size, len(feature.names)), np.int8)
    label_of = tf.autograph.experimental.do_not_convert(lambda image: split.read(image)[1])
    done, wrong = 0, set()
    with progress(title=title, total=split.size, unit="record") as bar:
        while done < split.size:
            rows = tf.data.Dataset.range(done, split.size).map(label_of, tf.data.AUTOTUNE, deterministic=True)
            try:
                for row in without_autotune(rows.prefetch(PREFETCH)).as_numpy_iterator():
                    if (row == _NO_CLASS).any():
                        wrong.add(done)
                    else:
                        labels[done] = row
                    done += 1
                    bar.update()
                    stop.raise_if_requested()
            except tf.errors.OpError:  # a damaged record, behind which a new dataset begins
                done += 1
                bar.update()
    if not wrong:
        return dataclasses.replace(split, labels=labels)
    reason = f"one of its labels is no class, where there are {len(feature.names)} classes from 0 on"
    return dataclasses.replace(split, labels=labels, inspect=lambda image, _: reason if image in wrong else "")


def label_feature(features: Any, source: str, meant: Collection[str] = ()) -> LabelFeature:
    """The labels of a set: its one class label, else its one sequence of class labels, else those of its objects.

    Args:
        features: of the set, by key.
        source: its name, for a message.
        meant: the keys that it names for supervised learning, which decide between several class labels, as those of cifar100,
            or between several sequences.

    Raises:
        UserError: there are several, or none.
    """
    import tensorflow_datasets as tfds

    single = meant_of(
        [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)], meant
    )
    if len(single) == 1:
        return LabelFeature(tuple(features[single[0]].names), single[0])
    sequences = dict(_sequences(features))
    plain = [key for key, (inner, _) in sequences.items() if not inner]
    if not single and set(DIFFICULT) == set(plain):
        names = sequences[DIFFICULT[0]][1]
        return LabelFeature(names, DIFFICULT[0], counted=DIFFICULT[1], multi_label=True)
    chosen = meant_of(plain or list(sequences), meant)
    if single or len(chosen) != 1:
        found = single or chosen
        raise UserError(
            f"A classification set has one class label feature. Received: {source!r} with {len(found)}: "
            f"{', '.join(found) or 'none'}."
        )
    inner, names = sequences[chosen[0]]
    return LabelFeature(names, chosen[0], inner, multi_label=True)


def meant_of(keys: list[str], meant: Collection[str]) -> list[str]:
    """Of several keys those that the set names for supervised learning, if it names some of them; else all."""
    return keys if len(keys) == 1 else [key for key in keys if key in meant] or keys


def _sequences(features: Any) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    """The keys of sequences with classes; of each the key of an object's one class, or an empty one, and the classes' names."""
    import tensorflow_datasets as tfds

    for key, feature in features.items():
        item = getattr(feature, "feature", None) if isinstance(feature, tfds.features.Sequence) else None
        if isinstance(item, tfds.features.ClassLabel):
            yield key, ("", tuple(item.names))
        elif isinstance(item, tfds.features.FeaturesDict):
            inner = [name for name, part in item.items() if isinstance(part, tfds.features.ClassLabel)]
            if len(inner) == 1:
                yield key, (inner[0], tuple(item[inner[0]].names))
