"""What is done to images, as pure functions: decode, rescale to S, crop, flip, colour shift (3.1)."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}


# For each EXIF orientation from 0, which is none, on: which axes are reversed, and then how they are ordered.
_REVERSED = [(row in (3, 4, 6, 7), row in (2, 3, 7, 8), False) for row in range(9)]
_ORDERED = [(0, 1, 2) if row < 5 else (1, 0, 2) for row in range(9)]

# How a JPEG's blocks become pixels, as in Pillow and torchvision. TensorFlow's default is libjpeg's fast transform, which is
# off by a grey level of red and blue on average, and by less where it halves: windows and whole pictures would differ.
DCT = "INTEGER_ACCURATE"


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, BMP, GIF (its first frame) or WebP by content, as (height, width, 3) uint8, as it is stored.

    Grey and CMYK become RGB, 16 bits their upper 8, and transparency is left out. `headers.refusal` names the files that
    must not come here.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),  # which cannot be given a transform
    )
    return tf.ensure_shape(image, [None, None, 3])


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image (height, width, 3) as it is looked at, its EXIF orientation being `orientation`, 1 to 8.

    Four operations and no branch, because training does it for every crop.
    """
    turned = tf.raw_ops.Reverse(tensor=image, dims=tf.gather(_REVERSED, orientation))
    return tf.transpose(turned, tf.gather(_ORDERED, orientation))


def rescaled_size(height: tf.Tensor, width: tf.Tensor, side: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width with the smaller one at `side` and the aspect ratio kept, rounded to whole pixels."""
    factor = tf.cast(side, tf.float64) / tf.cast(tf.minimum(height, width), tf.float64)

    def rescaled(size):
        return tf.cast(tf.round(tf.cast(size, tf.float64) * factor), tf.int32)

    return rescaled(height), rescaled(width)


def rescale_and_crop(image, rescaled, top, left, size, interpolation: str) -> tf.Tensor:
    """The window of `size` at (top, left) of `image` rescaled to `rescaled`, anti-aliased.

    One operation that computes the window's pixels only; they equal those of rescaling the whole image and cropping.

    Args:
        image: (height, width, 3), uint8 or float.
        rescaled: (height, width) of the whole rescaled image.
        top, left: of the window in the rescaled image, pixels.
        size: (height, width) of the window.
        interpolation: "bilinear" or "bicubic".

    Returns:
        (size[0], size[1], 3) float32 in 0-255.
    """
    scale = tf.cast(tf.stack(rescaled), tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    return _scale_and_translate(image, scale, -tf.cast(tf.stack([top, left]), tf.float32), size, interpolation)


def _scale_and_translate(image, scale, translation, size, interpolation: str) -> tf.Tensor:
    window = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=tf.stack(size),
        scale=scale,
        translation=translation,
        kernel_type=KERNELS[interpolation],
        antialias=True,
    )[0]
    return tf.clip_by_value(window, 0.0, 255.0)  # a bicubic kernel overshoots


def rescale(image: tf.Tensor, side: int, interpolation: str) -> tf.Tensor:
    """The whole image with its smaller side at `side`, (height, width, 3) float32."""
    size = rescaled_size(tf.shape(image)[0], tf.shape(image)[1], side)
    return rescale_and_crop(image, size, 0, 0, size, interpolation)


def center_crop(image: tf.Tensor, side: int, crop: int, interpolation: str) -> tf.Tensor:
    """The middle `crop` x `crop` window of the image rescaled to `side`, float32."""
    height, width = rescaled_size(tf.shape(image)[0], tf.shape(image)[1], side)
    window = rescale_and_crop(
        image, (height, width), (height - crop) // 2, (width - crop) // 2, (crop, crop), interpolation
    )
    return tf.ensure_shape(window, [crop, crop, 3])


def epoch_draws(epoch_seed: tf.Tensor, images: int) -> tf.Tensor:
    """All that is random about an epoch's crops, (images, 7) float32, a row an image, whatever the order of the images.

    Columns: S, the crop's row and column and the flip, even in [0, 1); the colour shift's three, of a standard normal.
    """
    even_seed, normal_seed = tf.unstack(tf.random.split(epoch_seed, 2))
    even = tf.random.stateless_uniform([images, 4], even_seed)
    return tf.concat([even, tf.random.stateless_normal([images, 3], normal_seed)], axis=1)


class Window(NamedTuple):
    """A square of an image that becomes a crop; of many images, each field with their axes first.

    Attributes:
        halvings: how often the image is halved first, 0 to 3: JPEG decodes so at no cost.
        corner: (2,), its first row and column in pixels of the image after that, float32.
        side: likewise.
        whole: whether corner and side are whole numbers.
    """

    halvings: tf.Tensor
    corner: tf.Tensor
    side: tf.Tensor
    whole: tf.Tensor


def draw_window(
    size: tf.Tensor, draws: tf.Tensor, scale: tuple[int, ...], crop: int, alone: tf.Tensor | bool
) -> Window:
    """3.1's random crop of images rescaled to S, as the square of each that it shows.

    A crop of side c at S shows a square whose side is c / S of the image's smaller side. Where the image is rescaled down,
    the square lies at whole pixels of the halved image, at each as often as at another; S is then off by one part in 2 c or
    less. So does a square that is decoded alone and enlarged, by two at most, where S is off by one part in c or less.

    Args:
        size: (..., 2), height and width of each image.
        draws: (..., 3 or more): S, row and column, in [0, 1).
        scale: S, or the ends of its range.
        crop: side of the crop.
        alone: (...), whether the square is to be decoded alone.
    """
    size = tf.cast(size, tf.float32)
    rescaled = scale[0] + tf.floor(draws[..., :1] * (scale[-1] - scale[0] + 1))  # S, (..., 1) like the others below
    smaller = tf.reduce_min(size, axis=-1, keepdims=True)
    halvings = tf.math.count_nonzero(smaller >= rescaled * [2.0, 4.0, 8.0], axis=-1, dtype=tf.int32)
    size = tf.math.ceil(size / _pixels_of_one(halvings))
    side = crop * tf.reduce_min(size, axis=-1, keepdims=True) / rescaled
    whole = side >= tf.where(tf.expand_dims(alone, -1), crop / 2, crop)
    side = tf.where(whole, tf.round(side), side)
    spare = size - side
    corner = tf.where(whole, tf.floor(draws[..., 1:3] * (spare + 1)), draws[..., 1:3] * spare)
    return Window(halvings, corner, side[..., 0], whole[..., 0])


def _pixels_of_one(halvings: tf.Tensor) -> tf.Tensor:
    """How many pixels of the image stand for one after these halvings, (..., 1) float32."""
    return tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)[..., tf.newaxis]


WHOLE = 4  # a way to decode, beside the four of `Augmentation.way`


class Augmentation(NamedTuple):
    """What 3.1 does to an image in an epoch; of many images, each field with their axes first.

    Attributes:
        size: (2,) int32, height and width of the image for which the others hold.
        way: int32. 0 to 3: of a JPEG the square alone is decoded, out of the picture that the decoder halves so often, and
            rescaled without a filter. WHOLE: the picture is decoded whole, and the square rescaled with anti-aliasing.
        square: (4,) float32, what becomes the crop: top, left, height, width in pixels of the picture that `way` decodes.
        mirrored: whether left and right are exchanged.
        shift: (3,) float32, added to R, G and B.
    """

    size: tf.Tensor
    way: tf.Tensor
    square: tf.Tensor
    mirrored: tf.Tensor
    shift: tf.Tensor


def augmentation(
    size: tf.Tensor, jpeg: tf.Tensor, draws: tf.Tensor, data: Data, crop: int, color_basis: np.ndarray
) -> Augmentation:
    """3.1's augmentation of images, in which `draws` alone is random: S, a random crop, a flip and a colour shift.

    It is made for all images of a step at once, since TensorFlow takes longer to begin the small operations of one image
    than to do them for many.

    Args:
        size: (..., 2), height and width of each image as it is stored.
        jpeg: (...,), whether its file is a JPEG.
        draws: (..., 7), rows of `epoch_draws`.
        data: its `scale`, `color_shift`, `interpolation` and `exact` are read.
        crop: side of the crop.
        color_basis: (3, 3), of `Statistics.color_basis`.
    """
    alone = jpeg & reads_windows(data)
    window = draw_window(size, draws, data.scale, crop, alone)
    alone &= window.whole & (window.side <= 2 * crop)  # beyond the eighth a JPEG would need a filter
    # of whole pictures in pixels of their own; the last one of a halved picture may reach beyond them
    pixels, halved = tf.cast(size, tf.float32), _pixels_of_one(window.halvings)
    side = tf.minimum(window.side[..., tf.newaxis] * halved, tf.reduce_min(pixels, axis=-1, keepdims=True))
    corner = tf.minimum(window.corner * halved, pixels - side)
    side = tf.where(alone[..., tf.newaxis], window.side[..., tf.newaxis], side)
    corner = tf.where(alone[..., tf.newaxis], window.corner, corner)
    return Augmentation(
        size=tf.cast(size, tf.int32),
        way=tf.where(alone, window.halvings, WHOLE),
        square=tf.concat([corner, side, side], axis=-1),
        mirrored=draws[..., 3] < 0.5,
        # [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, one draw an image
        shift=tf.linalg.matvec(color_basis, data.color_shift * draws[..., 4:]),
    )


def reads_windows(data: Data) -> bool:
    """Whether only the crop's square of a JPEG is decoded for training."""
    return data.interpolation == "bilinear" and not data.exact


def training_crop(
    image: tf.Tensor,
    encoded: tf.Tensor,
    drawn: Augmentation,
    data: Data,
    crop: int,
    orientation: tf.Tensor | None = None,
) -> tf.Tensor:
    """One image as 3.1's augmentation shows it.

    Of a JPEG only the crop's own square is decoded, halved by the decoder where that still leaves S, and rescaled without
    a filter, down or up by two at most. What is rescaled by more, any other image, and all of them where `data.exact` asks
    for it are decoded whole, and the square is rescaled with anti-aliasing.

    Args:
        image: its id, for a message.
        encoded: the file.
        drawn: of `augmentation`.
        data: its `flip`, `color_shift`, `interpolation` and `exact` are read.
        crop: side of the result.
        orientation: EXIF's; None: the file is upright. The square is drawn in the picture as it is stored, where it lies as
            evenly as in the upright one, and the crop is turned: a hundredth of the pixels.

    Returns:
        (crop, crop, 3) float32, RGB 0-255 plus the colour shift.

    Raises:
        InvalidArgumentError: the file cannot be decoded, or is of another size than `drawn` is for.
    """

    def of_that_size(shape):
        # the operation itself, for `tf.debugging.assert_equal` puts ten others around it
        said = ["an image must have the size that was scanned: image", image, "has", shape[:2], "and had", drawn.size]
        return tf.raw_ops.Assert(condition=tf.reduce_all(shape[:2] == drawn.size), data=said)

    square = tf.cast(drawn.square, tf.int32)

    def window(ratio):
        return lambda: tf.io.decode_and_crop_jpeg(encoded, square, channels=3, ratio=ratio, dct_method=DCT)

    def by_window():
        with tf.control_dependencies([of_that_size(tf.io.extract_jpeg_shape(encoded))]):
            way = tf.identity(drawn.way)
        pixels = tf.switch_case(way, [window(1), window(2), window(4), window(8)])
        pixels = tf.cast(pixels, tf.float32)  # which the operation reads as vectors, and bytes one by one
        resized = tf.raw_ops.ResizeBilinear(images=pixels[tf.newaxis], size=[crop, crop], half_pixel_centers=True)
        return tf.squeeze(resized, 0)

    def by_whole():
        pixels = decode(encoded)
        with tf.control_dependencies([of_that_size(tf.shape(pixels))]):
            pixels = tf.identity(pixels)
        return _resampled(pixels, drawn.square[:2], drawn.square[2], crop, data.interpolation)

    pixels = tf.cond(drawn.way == WHOLE, by_whole, by_window) if reads_windows(data) else by_whole()
    stored = tf.ensure_shape(pixels, [crop, crop, 3])
    shown = stored if orientation is None else upright(stored, orientation)
    pixels = tf.cond(drawn.mirrored, lambda: tf.reverse(shown, [1]), lambda: shown) if data.flip else shown
    if data.color_shift:  # added to whole rows, which is four times faster
        pixels = tf.reshape(pixels, [crop, 3 * crop]) + tf.tile(drawn.shift, [crop])
    return tf.reshape(pixels, [crop, crop, 3])


def _resampled(image: tf.Tensor, corner: tf.Tensor, side: tf.Tensor, crop: int, interpolation: str) -> tf.Tensor:
    """The square of `side` at `corner` as crop x crop pixels, anti-aliased, from the pixels around it too."""
    scale = tf.fill([2], crop / side)
    return _scale_and_translate(image, scale, -corner * scale, (crop, crop), interpolation)
