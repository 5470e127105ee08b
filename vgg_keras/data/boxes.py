"""The boxes of objects in images (appendix A): those of a set, what is wrong with one, and where one lies in a crop.

A box is xmin, ymin, xmax, ymax in pixels of the image as it is shown: upright where `data.exif_orientation` holds. The net's
target in a crop is centre x, y, width and height as shares of the crop's side.
"""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from vgg_keras.data.decoding import REVERSED

COLUMNS = ("xmin", "ymin", "xmax", "ymax")  # of a list, see `lists.py`
TOLERANCE = 1.0  # pixels that a box may reach beyond its image, where a tool counts from 1 or rounds; it is cut there


@dataclass(frozen=True)
class Boxes:
    """The boxes of a split's images, of any number each.

    Attributes:
        values: (boxes, 4) float32, xmin, ymin, xmax, ymax, image after image.
        starts: (images + 1,) int64: those of image i are from starts[i] to starts[i + 1].
        others: (images,) int64, how many boxes of other classes the same picture has.
    """

    values: np.ndarray
    starts: np.ndarray
    others: np.ndarray

    @classmethod
    def of_lists(cls, boxes: list[np.ndarray], others: list[int]) -> "Boxes":
        """From an array (n, 4) for each image."""
        counts = [len(one) for one in boxes]
        values = np.concatenate([np.zeros((0, 4)), *boxes]).astype(np.float32)
        return cls(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.array(others, np.int64))

    def of(self, image: int) -> np.ndarray:
        """Those of an image, (n, 4) float32."""
        return self.values[self.starts[image] : self.starts[image + 1]]

    @property
    def counts(self) -> np.ndarray:
        """How many boxes of its class each image has, (images,) int64."""
        return np.diff(self.starts)

    @property
    def sha256(self) -> str:
        """Over the boxes and whose each is."""
        return hashlib.sha256(self.values.tobytes() + self.starts.tobytes()).hexdigest()

    @property
    def single(self) -> np.ndarray:
        """Whether a picture has one box in all, (images,) bool."""
        return self.counts + self.others == 1

    def select(self, ids: np.ndarray) -> "Boxes":
        """Those of these images, in the given order."""
        return Boxes.of_lists([self.of(image) for image in ids], self.others[ids].tolist())

    def followed_by(self, other: "Boxes") -> "Boxes":
        """Those of both splits."""
        starts = np.concatenate([self.starts, self.starts[-1] + other.starts[1:]])
        return Boxes(np.concatenate([self.values, other.values]), starts, np.concatenate([self.others, other.others]))

    def largest(self) -> np.ndarray:
        """The largest box of each image, of equal ones the first, (images, 4) float32; each image has one."""
        areas = np.prod(self.values[:, 2:] - self.values[:, :2], axis=1, dtype=np.float64)
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        order = np.lexsort((np.arange(len(areas)), -areas, owners))
        return self.values[order[self.starts[:-1]]]

    def mapped(self, function) -> "Boxes":
        """The boxes with other values, which a function of the values and of the place of each one's image gives."""
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        return dataclasses.replace(self, values=function(self.values, owners))


def problem(boxes: np.ndarray, height: int, width: int) -> str:
    """What is wrong with the boxes of an image, in a few words; empty where nothing is.

    Args:
        boxes: (n, 4).
        height, width: of the image as it is shown.
    """
    if not len(boxes):
        return "it has no box"
    for box in boxes.tolist():
        xmin, ymin, xmax, ymax = box
        words = f"its box {', '.join(f'{value:g}' for value in box)}"
        if not np.isfinite(box).all():
            return f"{words} is not finite"
        if max(map(abs, box)) <= 1 and min(height, width) > 2:
            return f"{words} is in shares of the image, where pixels are needed"
        if xmax < xmin or ymax < ymin:
            return f"{words} is inverted: xmin, ymin, xmax, ymax is the order"
        if xmax == xmin or ymax == ymin:
            return f"{words} is empty"
        if min(xmin, ymin) < -TOLERANCE or xmax > width + TOLERANCE or ymax > height + TOLERANCE:
            return f"{words} reaches outside the image of {width} x {height} pixels (width x height)"
        if min(xmax, width) <= max(xmin, 0) or min(ymax, height) <= max(ymin, 0):  # empty once it is cut at the edge
            return f"{words} lies outside the image of {width} x {height} pixels (width x height)"
    return ""


def shown_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Height and width of an image as it is shown, from those as it is stored."""
    return (width, height) if orientation > 4 else (height, width)


def cut(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) cut at the edges of their images, whose heights and widths are (n, 2)."""
    most = sizes[:, [1, 0, 1, 0]].astype(np.float32)
    return np.clip(boxes, 0, most)


def as_stored(boxes: np.ndarray, sizes: np.ndarray, orientations: np.ndarray | None) -> np.ndarray:
    """Boxes in pixels of their images as they are stored, not turned upright.

    Args:
        boxes: (n, 4) in the upright images.
        sizes: (n, 2), height and width as stored.
        orientations: (n,), EXIF's; None: all are upright as stored.
    """
    if orientations is None:
        return boxes
    turned = np.where((orientations > 4)[:, np.newaxis], boxes[:, [1, 0, 3, 2]], boxes)
    down, left = np.array(REVERSED)[orientations][:, :2].T
    height, width = sizes.T
    xmin, ymin, xmax, ymax = turned.T
    x = np.where(left, [width - xmax, width - xmin], [xmin, xmax])
    y = np.where(down, [height - ymax, height - ymin], [ymin, ymax])
    return np.stack([x[0], y[0], x[1], y[1]], axis=1).astype(np.float32)


# ---- in tf.data


def in_window(box: tf.Tensor, window: tf.Tensor, orientation: tf.Tensor | None, flipped: tf.Tensor) -> tf.Tensor:
    """A box (4,) of the stored image in the crop that a window of it becomes: upright, then flipped; shares of its sides.

    Args:
        box: in pixels of the stored image.
        window: (4,), top, left, height, width, likewise.
        orientation: EXIF's; None: the image is stored upright.
        flipped: whether left and right are exchanged at last.
    """
    corner, size = window[1::-1], window[:1:-1]  # x before y
    shares = (tf.reshape(box, [2, 2]) - corner) / size  # rows: smallest and largest; columns: x and y

    def mirrored(axes):  # axes (x, y) bool
        return tf.where(axes, 1 - shares[::-1], shares)

    if orientation is not None:
        shares = mirrored(tf.gather(REVERSED, orientation)[1::-1])
        shares = tf.where(orientation > 4, shares[:, ::-1], shares)
    shares = mirrored(tf.stack([flipped, False]))
    return tf.reshape(shares, [4])


def target(label: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """What a box net is trained on, (5,) float32: the class, then centre x, y, width, height of a box (4,) by its edges."""
    centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    return tf.concat([[tf.cast(label, tf.float32)], centre, size], axis=0)
