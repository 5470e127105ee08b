"""`training.class_weights` as numbers: what multiplies the loss of the images of a class."""

import numpy as np

from vgg_keras.config import Training
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import UserError

NONE, BALANCED = ("none",), ("balanced",)


def of_classes(training: Training, train: Split) -> np.ndarray | None:
    """The weights as `losses.losses` takes them, float32; None where there are none.

    Balanced weights are those of scikit-learn's compute_class_weight: images / (classes * images of the class). Of a multi-label
    set each class is a problem of two classes by itself, with it and without it. So they do not change the mean loss of a net
    that knows nothing.

    Args:
        training: of the run.
        train: its training images, with labels.

    Returns:
        (classes,), or of a multi-label set (2, classes): of images without the class, and of those with it.
    """
    if training.class_weights == NONE:
        return None
    if training.class_weights != BALANCED:
        given = np.array(training.class_weights, np.float32)
        return np.stack([np.ones_like(given), given]) if train.multi_label else given
    counts = train.class_counts
    if not train.multi_label:
        return _balanced(counts, np.count_nonzero(counts)).astype(np.float32)
    both = np.stack([(train.labels == 0).sum(axis=0), counts])
    return _balanced(both, np.count_nonzero(both, axis=0)).astype(np.float32)


def _balanced(counts: np.ndarray, present: np.ndarray | int) -> np.ndarray:
    """Weights by the images of each class along the first axis; 0 for a class without images."""
    return np.where(counts > 0, counts.sum(axis=0) / np.maximum(present * counts, 1), 0.0)


def require_possible(training: Training, source: Source) -> None:
    """Refuses weights of another number of classes, before the first step.

    Raises:
        UserError: there are more or fewer weights than classes.
    """
    classes, given = len(source.classes), training.class_weights
    if given not in (NONE, BALANCED) and len(given) != classes:
        raise UserError(
            f"training.class_weights holds a weight for each of the {classes:,} classes of the data, in this order: "
            f"{', '.join(source.classes[:5])}{', ...' if classes > 5 else ''}. Received: {len(given):,} weights. "
            "Or set it to balanced."
        )


def described(weights: np.ndarray, classes: tuple[str, ...]) -> str:
    """The weights in a line: the lowest and the highest, those of images with the class."""
    row = weights[-1] if weights.ndim == 2 else weights
    low, high = int(np.argmin(row)), int(np.argmax(row))
    return f"class weights: from {row[low]:.3g} ({classes[low]}) to {row[high]:.3g} ({classes[high]})"
