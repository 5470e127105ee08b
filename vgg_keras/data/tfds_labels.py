"""The labels in the features of a TFDS set: one class an image, a sequence of classes, or the classes of its objects."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data.pipeline import PREFETCH, without_autotune
from vgg_keras.errors import UserError

# VOC's two sequences: the classes of an image, and those of which it has an object that is not marked as difficult
DIFFICULT = ("labels", "labels_no_difficult")


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

    def table(self, example_of: Callable, size: int) -> np.ndarray:
        """The labels of a split, (size, classes) int8, read once; 0 for a record that cannot be read, which the scan names.

        Args:
            example_of: image id to its example; a TensorFlow function.
            size: the number of images.
        """
        labels = np.zeros((size, len(self.names)), np.int8)
        numbers_of = tf.autograph.experimental.do_not_convert(lambda image: self._numbers(example_of(image)))
        done = 0
        while done < size:
            rows = tf.data.Dataset.range(done, size).map(numbers_of, tf.data.AUTOTUNE, deterministic=True)
            try:
                for present, counted in without_autotune(rows.prefetch(PREFETCH)).as_numpy_iterator():
                    labels[done, _known(present, labels)] = -1
                    labels[done, _known(counted, labels)] = 1
                    done += 1
            except tf.errors.OpError:
                done += 1  # a damaged record
        return labels

    def _numbers(self, example: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor]:
        found = example[self.key][self.inner] if self.inner else example[self.key]
        counted = example[self.counted] if self.counted else found
        return tf.reshape(tf.cast(found, tf.int64), [-1]), tf.reshape(tf.cast(counted, tf.int64), [-1])


def _known(numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Those that are classes; a set that does not publish its labels has -1."""
    return numbers[(numbers >= 0) & (numbers < labels.shape[1])]


def label_feature(features: Any, source: str) -> LabelFeature:
    """The labels of a set: its one class label, else its one sequence of class labels, else those of its objects.

    Raises:
        UserError: there are several, or none.
    """
    import tensorflow_datasets as tfds

    single = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    if len(single) == 1:
        return LabelFeature(tuple(features[single[0]].names), single[0])
    sequences = dict(_sequences(features))
    plain = [key for key, (inner, _) in sequences.items() if not inner]
    if not single and set(DIFFICULT) == set(plain):
        names = sequences[DIFFICULT[0]][1]
        return LabelFeature(names, DIFFICULT[0], counted=DIFFICULT[1], multi_label=True)
    chosen = plain or list(sequences)
    if single or len(chosen) != 1:
        found = single or chosen
        raise UserError(
            f"A classification set has one class label feature. Received: {source!r} with {len(found)}: "
            f"{', '.join(found) or 'none'}."
        )
    inner, names = sequences[chosen[0]]
    return LabelFeature(names, chosen[0], inner, multi_label=True)


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
