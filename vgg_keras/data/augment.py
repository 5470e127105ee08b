"""3.1's augmentation: the training image rescaled to S, a random crop, a random horizontal flip, a random colour shift.

Random numbers are drawn for all images of a step at once (`draw_augmentations`) and applied to each image (`augment`). Of a JPEG
only the crop's window is decoded (`fast_jpeg`); all other files are decoded in full.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data import fast_jpeg
from vgg_keras.data.decoding import decode, upright
from vgg_keras.data.rescaling import resample_window


class Augmentation(NamedTuple):
    """The random choices of 3.1 for an image in an epoch; for many images each field has their axes first.

    Attributes:
        size: (2,) int32, height and width of the stored image, for which the other fields hold.
        decode_mode: int32. 0 to 3: only the window of a JPEG is decoded, halved so often by the decoder, and rescaled without a
            filter. FULL_DECODE: the image is decoded in full, and the window rescaled with anti-aliasing.
        window: (4,) float32, what becomes the crop: top, left, height, width in pixels of the image as `decode_mode` decodes it.
        flipped: whether left and right are exchanged.
        shift: (channels,) float32, added to the channels of each pixel.
    """

    size: tf.Tensor
    decode_mode: tf.Tensor
    window: tf.Tensor
    flipped: tf.Tensor
    shift: tf.Tensor


WINDOW_CHANNELS = (1, 3)  # in which a window of a JPEG is decoded


def augment(
    image: tf.Tensor,
    encoded: tf.Tensor,
    drawn: Augmentation,
    data: Data,
    crop: int,
    orientation: tf.Tensor | None = None,
) -> tf.Tensor:
    """One training image as the net gets it in 3.1: rescaled to S, cropped, flipped, its colours shifted.

    Args:
        image: its id, for a message.
        encoded: the file.
        drawn: of `draw_augmentations`.
        data: its `flip`, `color_shift`, `interpolation` and `jpeg_decoding` are read.
        crop: side of the result.
        orientation: EXIF's; None: the file is upright. The window is drawn in the stored image, where its distribution is the
            same, and only the crop is rotated: a hundredth of the pixels.

    Returns:
        (crop, crop, channels) float32, RGB 0-255 plus the colour shift; as many channels as the shift has.

    Raises:
        InvalidArgumentError: the file cannot be decoded, or is of another size than `drawn` is for.
    """

    encoded, channels = tf.convert_to_tensor(encoded), drawn.shift.shape[-1]

    def by_full_decode():
        pixels = decode(encoded, channels)
        with tf.control_dependencies([fast_jpeg.require_size(image, tf.shape(pixels), drawn.size)]):
            pixels = tf.identity(pixels)
        return resample_window(pixels, drawn.window[:2], drawn.window[2], crop, data.interpolation)

    def by_window():
        return fast_jpeg.decode_window(image, encoded, drawn.size, drawn.decode_mode, drawn.window, crop, channels)

    # 3.1: the image rescaled so that its smaller side is S, and a random crop of it, in one resampling of the crop's window
    in_windows = reads_windows(data) and channels in WINDOW_CHANNELS and encoded.dtype == tf.string
    full = drawn.decode_mode == fast_jpeg.FULL_DECODE
    pixels = tf.cond(full, by_full_decode, by_window) if in_windows else by_full_decode()
    pixels = tf.ensure_shape(pixels, [crop, crop, channels])
    upright_crop = pixels if orientation is None else upright(pixels, orientation)

    # 3.1: random horizontal flipping, as `draw_augmentations` chose
    flipped = upright_crop
    if data.flip:
        flipped = tf.cond(drawn.flipped, lambda: tf.reverse(upright_crop, [1]), lambda: upright_crop)

    # 3.1: random RGB colour shift, of other channels one along their own components; adding it to full rows is four times faster
    if not data.color_shift:
        return flipped
    shifted = tf.reshape(flipped, [crop, channels * crop]) + tf.tile(drawn.shift, [crop])
    return tf.reshape(shifted, [crop, crop, channels])


def epoch_draws(epoch_seed: tf.Tensor, images: int, channels: int = 3) -> tf.Tensor:
    """All random numbers of an epoch's crops, (images, 4 + channels) float32, a row for each image, whatever their order.

    Columns: S, the crop's row and column, and the flip, uniform in [0, 1); the colour shift's, standard normal.
    """
    uniform_seed, normal_seed = tf.unstack(tf.random.split(epoch_seed, 2))
    uniform = tf.random.stateless_uniform([images, 4], uniform_seed)
    return tf.concat([uniform, tf.random.stateless_normal([images, channels], normal_seed)], axis=1)


def draw_augmentations(
    size: tf.Tensor,
    jpeg: tf.Tensor,
    draws: tf.Tensor,
    data: Data,
    crop: int,
    color_basis: np.ndarray,
    boxes: tf.Tensor | None = None,
) -> Augmentation:
    """The augmentation of images from their random numbers: S, a random crop, a flip and a colour shift.

    Computed for all images of a step at once, since for one image the small operations would cost more to start than to run.

    Args:
        size: (..., 2), height and width of each image as it is stored.
        jpeg: (...,), whether its file is a JPEG.
        draws: (..., 4 + channels), rows of `epoch_draws`.
        data: its `scale`, `pad`, `color_shift`, `interpolation` and `jpeg_decoding` are read, with boxes `visible_box` too.
            `flip` is read by `augment`.
        crop: side of the crop.
        color_basis: (channels, channels), of `Statistics.color_basis`.
        boxes: (..., 4), of which each crop shows a part: xmin, ymin, xmax, ymax in pixels of the stored image. None: any crop.
    """
    window_decoding = jpeg & (reads_windows(data) and len(color_basis) in WINDOW_CHANNELS)
    shown = None if boxes is None else _shown(boxes, data.visible_box)
    window = draw_window(size, draws, data.scale_for(crop), crop, window_decoding, data.pad, shown)
    window_decoding &= window.integer & (window.side <= 2 * crop)  # beyond the eighth a JPEG would need a filter
    # for full decoding in pixels of the stored image; the last window of a halved image may reach beyond it
    pixels, halved = tf.cast(size, tf.float32), fast_jpeg.pixels_of_one(window.halvings)
    side = tf.minimum(window.side[..., tf.newaxis] * halved, tf.reduce_min(pixels, axis=-1, keepdims=True))
    corner = window.corner * halved
    corner = corner if data.pad else tf.minimum(corner, pixels - side)
    side = tf.where(window_decoding[..., tf.newaxis], window.side[..., tf.newaxis], side)
    corner = tf.where(window_decoding[..., tf.newaxis], window.corner, corner)
    return Augmentation(
        size=tf.cast(size, tf.int32),
        decode_mode=tf.where(window_decoding, window.halvings, fast_jpeg.FULL_DECODE),
        window=tf.concat([corner, side, side], axis=-1),
        flipped=draws[..., 3] < 0.5,
        # [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, one draw an image
        shift=tf.linalg.matvec(color_basis, data.color_shift * draws[..., 4:]),
    )


def reads_windows(data: Data) -> bool:
    """Whether training decodes only the crop's window of a JPEG; full decoding is always anti-aliased.

    A padded image's window may lie partly outside of it, where only full decoding has pixels: black ones.
    """
    return data.interpolation == "bilinear" and data.jpeg_decoding == "window" and not data.pad


class Window(NamedTuple):
    """A square window of an image that becomes a crop; for many images each field has their axes first.

    Attributes:
        halvings: how often the image is halved first, 0 to 3: a JPEG's decoder does so at no cost.
        corner: (2,) float32, its first row and column in pixels of the halved image.
        side: float32, likewise.
        integer: whether corner and side are integers.
    """

    halvings: tf.Tensor
    corner: tf.Tensor
    side: tf.Tensor
    integer: tf.Tensor


def draw_window(
    size: tf.Tensor,
    draws: tf.Tensor,
    scale: tuple[int, ...],
    crop: int,
    window_decoding: tf.Tensor | bool,
    pad: int = 0,
    shown: tf.Tensor | None = None,
) -> Window:
    """3.1's random crop of images rescaled to S, as the window of each that it shows.

    A crop of side c at S shows a window whose side is c / S of the image's smaller side. Where the image is rescaled down, the
    window has integer coordinates in the halved image, each equally often; S is then off by one part in 2 c or less. A window
    that is decoded without the rest and enlarged, by two at most, has integer coordinates too; S is then off by one part in c.

    Args:
        size: (..., 2), height and width of each image.
        draws: (..., 3 or more): S, row and column, in [0, 1).
        scale: S, or the ends of its range.
        crop: side of the crop.
        window_decoding: (...), whether only the window of the file is to be decoded.
        pad: pixels on each side of the rescaled image that the window may reach beyond it.
        shown: (..., 2, 2) of `_shown`: the window begins at the last of these pixels at the latest and ends at the first of them
            at the earliest, or lies between them where it is smaller. None: it is anywhere.
    """
    size = tf.cast(size, tf.float32)
    rescaled = scale[0] + tf.floor(draws[..., :1] * (scale[-1] - scale[0] + 1))  # S, (..., 1) like the others below
    smaller = tf.reduce_min(size, axis=-1, keepdims=True)
    halvings = tf.math.count_nonzero(smaller >= rescaled * [2.0, 4.0, 8.0], axis=-1, dtype=tf.int32)
    size = tf.math.ceil(size / fast_jpeg.pixels_of_one(halvings))
    side = crop * tf.reduce_min(size, axis=-1, keepdims=True) / rescaled
    integer = side >= tf.where(tf.expand_dims(window_decoding, -1), crop / 2, crop)
    side = tf.where(integer, tf.round(side), side)
    beyond = pad * side / crop
    beyond = tf.where(integer, tf.round(beyond), beyond)
    if shown is not None:
        shown /= fast_jpeg.pixels_of_one(halvings)[..., tf.newaxis]
        corner = _corner_that_shows(shown, size, side, beyond, integer, draws)
        return Window(halvings, corner, side[..., 0], integer[..., 0])
    spare = size + 2 * beyond - side
    corner = tf.where(integer, tf.floor(draws[..., 1:3] * (spare + 1)), draws[..., 1:3] * spare) - beyond
    return Window(halvings, corner, side[..., 0], integer[..., 0])


def _shown(boxes: tf.Tensor, share: float) -> tf.Tensor:
    """What a window must reach to show this share of boxes (..., 4), (..., 2, 2): rows and columns, each first and last pixel."""
    low, high = boxes[..., 1::-1], boxes[..., :1:-1]  # y before x
    part = share * (high - low)
    return tf.stack([low + part, high - part], axis=-1)


def _corner_that_shows(shown, size, side, beyond, integer, draws) -> tf.Tensor:
    """The corner (..., 2) of a window that shows a part of a box, each possible one equally often.

    Args:
        shown: (..., 2, 2), of `_shown`, in pixels of the halved image.
        size, side, beyond, integer: as in `draw_window`, with axes for rows and columns.
        draws: of the image.
    """
    ends = shown[..., 0] - side, shown[..., 1]  # the first corner from which the part is seen, and the last one
    # a window that is smaller than the part lies inside of it
    first, last = tf.minimum(*ends), tf.maximum(*ends)
    low, high = -beyond, size + beyond - side
    first, last = tf.clip_by_value(first, low, high), tf.clip_by_value(last, low, high)
    whole_first = tf.math.ceil(first)
    whole = whole_first + tf.floor(draws[..., 1:3] * tf.maximum(tf.floor(last) - whole_first + 1, 1.0))
    whole = tf.clip_by_value(whole, low, high)  # where no integer lies between them, the next one
    return tf.where(integer, whole, first + draws[..., 1:3] * (last - first))
