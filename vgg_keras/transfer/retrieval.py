"""The images of a set whose descriptors are nearest to a photograph's, by the cosine of their angle."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vgg_keras.data.pipeline import picture
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import plots, rows
from vgg_keras.evaluation.photographs import Opened
from vgg_keras.paths import printable
from vgg_keras.transfer.descriptors import Descriptors

PIXELS = 220  # of a picture's longer side in a contact sheet
# of a contact sheet at most: Matplotlib draws 65,535 pixels along a side, and holds them all in memory
ROWS, NEIGHBOURS = 100, 24
WIDEST = 22  # characters of a line above an image, so that names of classes do not cover each other


@dataclass(frozen=True)
class Neighbour:
    """An image of the set: its place, its name, its class (empty where it has none), its cosine with the query."""

    image: int
    name: str
    label: str
    cosine: float


def nearest(found: Descriptors, query: np.ndarray, top: int) -> list[Neighbour]:
    """The images with the largest cosines, the first one first; of equal ones the first in the set.

    Args:
        found: of L2 norm 1.
        query: (columns,) of L2 norm 1.
        top: how many.
    """
    cosines = np.zeros(len(found.ids), np.float32)
    for part, block in rows.blocks(found.descriptors):
        cosines[part] = block @ query
    top = min(top, len(cosines))
    chosen = np.flatnonzero(cosines >= np.partition(cosines, -top)[-top])
    order = chosen[np.argsort(-cosines[chosen], kind="stable")][:top]
    labels = [found.label_text(image) for image in order]
    return [
        Neighbour(int(image), found.ids[image], label, float(cosines[image]))
        for image, label in zip(order, labels, strict=True)
    ]


def draw(queries: Opened, answers: Sequence[Sequence[Neighbour]], split: Split, path: Path) -> None:
    """A contact sheet: a row for each photograph, first itself and then its nearest images with their cosines.

    It has the first ROWS photographs, and the first NEIGHBOURS of each one's images.

    Args:
        queries: photographs, all in files.
        answers: of `nearest`, for each of them.
        split: the set.
        path: of the picture.
    """
    photographs, ((_, files),) = queries
    photographs, answers = photographs[:ROWS], [neighbours[:NEIGHBOURS] for neighbours in answers[:ROWS]]
    columns = 1 + max(map(len, answers))
    size = (1.5 * columns, 1.75 * len(photographs))
    figure, axes = plots.pyplot().subplots(len(photographs), columns, figsize=size, layout="constrained", squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for place, neighbours in enumerate(answers):
        _show(axes[place, 0], files, place, printable(Path(photographs[place].name).name))
        for column, neighbour in enumerate(neighbours, start=1):
            title = f"{neighbour.label} {neighbour.cosine:.2f}".strip()
            _show(axes[place, column], split, neighbour.image, title)
    plots.save(figure, path, dpi=90)


def _show(axes, split: Split, image: int, title: str) -> None:
    pixels = picture(split, image)[0].numpy()
    step = max(1, -(-max(pixels.shape[:2]) // PIXELS))
    axes.imshow(plots.in_rgb(pixels[::step, ::step]))
    axes.set_title(textwrap.fill(title, WIDEST), fontsize=8, parse_math=False)
