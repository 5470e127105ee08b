"""A net's numbers as boxes of an image, and how well two boxes agree.

The net gives centre x, y, width and height, as shares of the crop's side or in its pixels (`architecture.box_unit`). A box of an
image is xmin, ymin, xmax, ymax in pixels of the image as it is shown.
"""

from dataclasses import dataclass

import numpy as np

from vgg_keras.config import Architecture
from vgg_keras.data.boxes import shown_size
from vgg_keras.data.splits import Split


@dataclass(frozen=True)
class Geometry:
    """An image and itself rescaled to Q.

    Attributes:
        height, width: as it is shown.
        rescaled: height and width at Q.
    """

    height: int
    width: int
    rescaled: tuple[int, int]

    @classmethod
    def of(cls, height: int, width: int, side: int) -> "Geometry":
        """The geometry of an image whose smaller side becomes `side`, as `rescaling.rescaled_size` rounds it."""
        rescaled = tuple(int(np.rint(size * (side / min(height, width)))) for size in (height, width))
        return cls(height, width, rescaled)

    def of_crop(self, boxes: np.ndarray, tops: np.ndarray, lefts: np.ndarray, crop: int) -> np.ndarray:
        """Boxes (..., 4) by their edges as shares of a crop, in pixels of the image.

        Args:
            boxes: in crops of the rescaled image.
            tops, lefts: of the crops, pixels of the rescaled image; they broadcast against boxes' first axes.
            crop: their side.
        """
        corner = np.stack([lefts, tops, lefts, tops], axis=-1)
        down, across = self.height / self.rescaled[0], self.width / self.rescaled[1]
        return (corner + boxes * crop) * (across, down, across, down)

    def mirrored(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes (..., 4) of the mirror image, in the image."""
        return np.stack([self.width - boxes[..., 2], boxes[..., 1], self.width - boxes[..., 0], boxes[..., 3]], axis=-1)


def geometry(split: Split, image: int, side: int) -> Geometry:
    """That of an image of a scanned split, at Q = `side`."""
    orientation = 1 if split.orientations is None else int(split.orientations[image])
    return Geometry.of(*shown_size(*map(int, split.sizes[image]), orientation), side)


def in_crop(outputs: np.ndarray, architecture: Architecture) -> np.ndarray:
    """A net's outputs (..., 4 * boxes) as the edges of boxes (..., boxes, 4), shares of the crop; float64.

    A negative width or height counts as 0.
    """
    unit = {"crop": 1.0, "pixels": float(architecture.crop)}[architecture.box_unit]
    numbers = outputs.astype(np.float64).reshape(*outputs.shape[:-1], -1, 4) / unit
    centre, size = numbers[..., :2], np.maximum(numbers[..., 2:], 0)
    return np.concatenate([centre - size / 2, centre + size / 2], axis=-1)


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (..., 4) by their edges; the arguments broadcast. Of two empty boxes 0."""
    shared = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    intersection = np.maximum(shared, 0).prod(axis=-1)
    union = area(boxes) + area(others) - intersection
    return np.divide(intersection, union, out=np.zeros(np.shape(union)), where=union > 0)


def area(boxes: np.ndarray) -> np.ndarray:
    """The areas of boxes (..., 4), which are given by their edges."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
