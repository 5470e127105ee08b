"""The report's pictures as data URLs, so that the page is one file: confusion matrices, and images of mistakes."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from vgg_keras.errors import UserError
from vgg_keras.evaluation import plots
from vgg_keras.evaluation.report_pages import data_url

BINS = 200  # of the overview's rows and columns, where there are more classes
LONGEST = 32  # characters of a class's name in a picture


def confusion_matrix(matrix: csr_array, classes: Sequence[str], chosen: Sequence[int]) -> str:
    """The rows and columns of these classes as a picture: shares of each class, with a column for all other predictions."""
    totals = matrix[chosen].sum(axis=1)
    counts = matrix[chosen][:, chosen].toarray()
    names = [_short(classes[place]) for place in chosen]
    columns = names
    if len(chosen) < len(classes):
        counts = np.column_stack([counts, totals - counts.sum(axis=1)])
        columns = [*names, f"{len(classes) - len(chosen):,} others"]
    shares = counts / np.maximum(totals, 1)[:, None]
    side = max(5.0, 0.32 * len(chosen) + 2.5)
    figure, axes = plots.pyplot().subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    for (actual, predicted), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[actual, predicted] > 0.5 else "black"
            axes.text(predicted, actual, str(count), ha="center", va="center", fontsize=6.5, color=color)
    figure.colorbar(image, shrink=0.7, label="share of the class")
    return png(figure)


def overview(matrix: csr_array) -> str:
    """The matrix of all classes as a picture, neighbours merged where there are many: shares of the images of each row."""
    from matplotlib import colors

    classes = matrix.shape[0]
    bins, pairs = min(classes, BINS), matrix.tocoo()
    places = pairs.row.astype(np.int64) * bins // classes, pairs.col.astype(np.int64) * bins // classes
    counts = coo_array((pairs.data, places), shape=(bins, bins)).toarray()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plots.pyplot().subplots(figsize=(9, 8), layout="constrained")
    # of many classes each confusion is rare: the square root makes it visible
    norm = colors.PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest", extent=(0, classes, classes, 0))
    axes.set_xlabel("predicted class, by its number")
    axes.set_ylabel("actual class, by its number")
    figure.colorbar(image, shrink=0.7, label="share of the row's images")
    return png(figure)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def png(figure: Any) -> str:
    """A figure as a data URL; it is closed."""
    buffer = io.BytesIO()
    plots.draw(figure, buffer, 100, format="png")
    plots.pyplot().close(figure)
    return data_url(buffer.getvalue(), "png")


def photograph(split: Any | None, image: int) -> str:
    """The image as a data URL; empty where it cannot be read any more, so that the report is written without it."""
    if split is None:
        return ""
    try:
        return data_url(_thumbnail(split, image), "jpeg")
    except UserError:
        return ""


def _thumbnail(split: Any, image: int, side: int = 160) -> bytes:
    """The image as a JPEG file with its smaller side at `side`, its longer one cut to twice that."""
    import tensorflow as tf

    from vgg_keras.data import pipeline
    from vgg_keras.data.rescaling import rescale_and_crop, rescaled_size

    original, _ = pipeline.picture(split, image)
    rescaled = rescaled_size(*original.shape[:2], side)
    height, width = (min(int(size), 2 * side) for size in rescaled)
    top, left = (int(rescaled[0]) - height) // 2, (int(rescaled[1]) - width) // 2
    window = rescale_and_crop(original, rescaled, top, left, (height, width), "bilinear")
    shown = plots.in_rgb(tf.saturate_cast(tf.round(window), tf.uint8).numpy())
    return tf.io.encode_jpeg(shown, quality=85).numpy()
