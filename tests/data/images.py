"""Drawn pictures and image files of them, and what Pillow makes of those: the independent truth of the tests of pixels."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from tests.data.awkward import written

JPEG_KINDS = ["4:4:4", "4:2:2", "4:2:0", "grey", "CMYK"]
ORIENTATIONS = range(1, 9)  # EXIF's
PILLOW_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def smooth_noise(random, height, width):
    """A picture of smooth noise, (height, width, 3) uint8."""
    coarse = random.uniform(0, 255, (1, 6, 6, 3))
    return np.clip(tf.image.resize(coarse, (height, width), "bicubic")[0].numpy(), 0, 255).astype(np.uint8)


def encode_png(image):
    return tf.io.encode_png(tf.cast(image, tf.uint8))


def encode_jpeg(pixels, kind, progressive=False):
    """A JPEG file of (height, width, 3) uint8; "4:2:0" and its like say how coarse its chroma is."""
    file, mode = io.BytesIO(), {"grey": "L", "CMYK": "CMYK"}.get(kind)
    picture = PIL.Image.fromarray(pixels)
    chroma = {} if mode else {"subsampling": kind}
    (picture.convert(mode) if mode else picture).save(file, "JPEG", quality=92, progressive=progressive, **chroma)
    return file.getvalue()


def pillow_decode(encoded, divisor=1):
    """What Pillow decodes, at 1/2, 1/4 or 1/8 by its draft mode, (height, width, 3) uint8."""
    with PIL.Image.open(io.BytesIO(encoded)) as opened:
        opened.draft(None, (opened.width // divisor, opened.height // divisor))
        return np.asarray(opened.convert("RGB"))


def pillow_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as Pillow rotates and flips them by an EXIF tag."""
    opened = PIL.Image.open(io.BytesIO(written(pixels, "PNG", exif=exif_of(orientation))))
    return np.asarray(PIL.ImageOps.exif_transpose(opened))


def exif_of(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif
