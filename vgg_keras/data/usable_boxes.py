"""A scanned split for a net of boxes: images without a right box are bad, the others' boxes are cut at the images' edges."""

import dataclasses

import numpy as np

from vgg_keras.config import Data
from vgg_keras.data.boxes import Boxes, cut, problem, shown_size
from vgg_keras.data.splits import Split, shown_sizes
from vgg_keras.errors import UserError
from vgg_keras.paths import printable


def checked(table: np.ndarray, reasons: dict[int, str], boxes: Boxes, data: Data) -> dict[int, str]:
    """Why images cannot be used, with what is wrong with the boxes of those that can be read.

    Args:
        table: what the scan found of each image, rows of `scan_cache.ROW`.
        reasons: by image.
        boxes: of all images.
        data: whether images are turned upright.
    """
    found = dict(reasons)
    for image, row in enumerate(table):
        if image not in found:
            orientation = int(row["orientation"]) if data.exif_orientation else 1
            shown = shown_size(int(row["height"]), int(row["width"]), orientation)
            if reason := problem(boxes.of(image), *shown):
                found[image] = reason
    return dict(sorted(found.items()))


def prepared(split: Split, name: str, data: Data) -> Split:
    """The split with its boxes cut at the images' edges, without the images that `data.several_boxes` leaves out.

    Raises:
        UserError: it leaves all out.
    """
    sizes = shown_sizes(split)
    boxes = split.boxes.mapped(lambda values, owners: cut(values, sizes[owners]))
    split, single = dataclasses.replace(split, boxes=boxes), boxes.single
    if data.several_boxes != "left_out" or single.all():
        return split
    if not single.any():
        raise UserError(
            f"data.several_boxes=left_out takes images of one box. Received: {printable(data.source)} whose {name} images all "
            "have several. Try --set=data.several_boxes=largest."
        )
    count = f"{np.count_nonzero(~single)} of {split.size} {name} images have several boxes and are left out"
    note = f"{count} (data.several_boxes)"
    split = split.select(np.flatnonzero(single))
    return dataclasses.replace(split, notes=(*split.notes, note))
