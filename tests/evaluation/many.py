"""Posteriors of a few images, and of many classes; starts no framework, so that a process's memory is the report's alone."""

import numpy as np

from tests.conftest import NET
from vgg_keras.evaluation.posteriors import Posteriors


def many(random, classes, images):
    """Predictions of many classes: three of four right, and one pair that is confused again and again."""
    labels = random.integers(0, classes, images).astype(np.int32)
    labels[:9] = classes - 1
    predicted = np.where(random.uniform(size=images) < 0.75, labels, random.integers(0, classes, images))
    predicted[:9] = 5
    probabilities = np.full((images, classes), 0.5 / (classes - 1), np.float32)
    probabilities[np.arange(images), predicted] = 0.5
    names = tuple(f"class number {number}" for number in range(classes))
    ids = tuple(f"{image}.jpg" for image in range(images))
    return _finished(probabilities, labels, ids, names, seconds=1.0), predicted


def few(random, images=7, classes=("a", "b", "c")):
    """Random posteriors and labels of a few images, whose names are not ASCII."""
    probabilities = random.dirichlet(np.ones(len(classes)), images).astype(np.float32)
    labels = random.integers(0, len(classes), images).astype(np.int32)
    return _finished(
        probabilities, labels, tuple(f"train/ü {image}.jpg" for image in range(images)), classes, seconds=1.5
    )


def _finished(probabilities, labels, ids, classes, seconds):
    """Posteriors of images that are all done."""
    return Posteriors(
        probabilities=probabilities,
        labels=labels,
        ids=ids,
        fingerprints=np.arange(len(ids)),
        classes=classes,
        nets=(NET,),
        done=np.ones(len(ids), np.bool_),
        seconds=seconds,
    )
