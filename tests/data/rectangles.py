"""Pictures of a coloured rectangle, lists of their boxes, and a loop that finds the rectangle in a crop."""

from pathlib import Path

import numpy as np
import PIL.Image

from vgg_keras.config import Architecture, Config, Data
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source
from vgg_keras.overrides import override, parse_assignments

# Pillow's operation that turns an upright picture into the pixels that a file of this orientation stores
STORED = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}


def draw(path, size, box, orientation=1, **options):
    """A grey picture of (width, height) with a red rectangle, stored in an orientation."""
    picture = PIL.Image.new("RGB", size, (90, 110, 110))
    picture.paste((250, 20, 20), tuple(box))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    if orientation > 1:
        picture = picture.transpose(STORED[orientation])
    picture.save(path, **({"exif": exif, "quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}), **options)


def write_list(folder, rows, header="path,label,split,xmin,ymin,xmax,ymax"):
    (folder / "list.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(folder / "list.csv")


def config_of(source, *changes, crop=64, scale=80):
    config = Config(
        Architecture("A", crop=crop, boxes="pcr"), Data(source=source, scale=(scale,), color_shift=0.0, batch=8)
    )
    values = ["evaluation.protocol=center", "data.several_boxes=largest", *changes]
    return override(config, parse_assignments(values))


def opened(config):
    return without_bad_images(
        open_source(config.data), override(config, {"runtime.cache_dir": str(Path(config.data.source).parent)})
    )


def found_box(crop):
    """The smallest and largest row and column of the red pixels, half-covered pixels counted by their share; in pixels."""
    red = np.clip((crop[..., 0].astype(np.float64) - crop[..., 1]) / 230, 0, 1)
    columns, rows = red.max(axis=0), red.max(axis=1)
    if red.max() < 0.5:
        return None
    edges = []
    for line in (columns, rows):
        inside = np.flatnonzero(line > 0.5)
        edges.append(
            (inside[0] + 1 - line[inside[0]] - (line[inside[0] - 1] if inside[0] else 0), inside[-1] + line[inside[-1]])
        )
    (xmin, xmax), (ymin, ymax) = edges
    return np.array([xmin, ymin, xmax, ymax])


def edges_of(target, crop):
    """A target as xmin, ymin, xmax, ymax in pixels of the crop."""
    centre, size = target[1:3], target[3:]
    return np.concatenate([centre - size / 2, centre + size / 2]) * crop
