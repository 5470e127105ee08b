"""What is done to one image, as pure functions: decode, rescale to S, crop, flip, colour shift (3.1)."""

from typing import NamedTuple

import tensorflow as tf

from vgg_keras.config import Data

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}


# For each EXIF orientation from 0, which is none, on: which axes are reversed, and then how they are ordered.
_REVERSED = [(row in (3, 4, 6, 7), row in (2, 3, 7, 8), False) for row in range(9)]
_ORDERED = [(0, 1, 2) if row < 5 else (1, 0, 2) for row in range(9)]


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, BMP, GIF (its first frame) or WebP by content, as (height, width, 3) uint8, as it is stored.

    Grey and CMYK become RGB, 16 bits their upper 8, and transparency is left out. `headers.refusal` names the files that
    must not come here.
    """
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
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
    """A square of an image that becomes a crop.

    Attributes:
        halvings: how often the image is halved first, 0 to 3: JPEG decodes so at no cost.
        corner: (top, left) in pixels of the image after that, float32.
        side: likewise.
        whole: whether corner and side are whole numbers; they are where the crop has no more pixels than the square.
    """

    halvings: tf.Tensor
    corner: tf.Tensor
    side: tf.Tensor
    whole: tf.Tensor


def draw_window(size: tf.Tensor, draws: tf.Tensor, scale: tuple[int, ...], crop: int) -> Window:
    """3.1's random crop of the image rescaled to S, as the square of the image that it shows.

    A crop of side c at S shows a square whose side is c / S of the image's smaller side. Where the image is rescaled down,
    the square is moved to whole pixels of the halved image, by half of one at most; S is then off by one part in 2 c or less.

    Args:
        size: (height, width) of the image.
        draws: S, row and column, in [0, 1).
        scale: S, or the ends of its range.
        crop: side of the crop.
    """
    size = tf.cast(size, tf.float32)
    rescaled = scale[0] + tf.floor(draws[0] * (scale[-1] - scale[0] + 1))  # S
    halvings = tf.math.count_nonzero(tf.reduce_min(size) >= rescaled * [2.0, 4.0, 8.0], dtype=tf.int32)
    size = tf.math.ceil(size / tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32))
    side = crop * tf.reduce_min(size) / rescaled
    whole = side >= crop
    side = tf.where(whole, tf.round(side), side)
    spare = size - side
    corner = tf.where(whole, tf.floor(draws[1:3] * (spare + 1)), draws[1:3] * spare)
    return Window(halvings, corner, side, whole)


def reads_windows(data: Data) -> bool:
    """Whether only the crop's square of a JPEG is decoded for training."""
    return data.interpolation == "bilinear" and not data.exact


def training_crop(
    encoded: tf.Tensor,
    draws: tf.Tensor,
    data: Data,
    crop: int,
    color_basis: tf.Tensor,
    orientation: tf.Tensor | None = None,
) -> tf.Tensor:
    """3.1's augmentation of one image, a function of `draws` alone: S, a random crop, a flip and a colour shift.

    Of a JPEG that is rescaled down only the crop's own square is decoded, halved by the decoder where that still leaves
    S, and rescaled without a filter, each step by less than two, unless `data.exact` asks for what every other image
    gets: the whole picture decoded, and the square rescaled with anti-aliasing.

    Args:
        encoded: the file.
        draws: (7,), a row of `epoch_draws`.
        data: its `scale`, `flip`, `color_shift`, `interpolation` and `exact` are read.
        crop: side of the result.
        color_basis: (3, 3), of `Statistics.color_basis`.
        orientation: EXIF's; None: the file is upright. The square is drawn in the picture as it is stored, where it lies as
            evenly as in the upright one, and the crop is turned: a hundredth of the pixels.

    Returns:
        (crop, crop, 3) float32, RGB 0-255 plus the colour shift.
    """

    def exactly(image, window):
        halved = tf.cast(tf.bitwise.left_shift(1, window.halvings), tf.float32)
        # the last pixel of a halved picture may reach beyond the whole one
        size = tf.cast(tf.shape(image)[:2], tf.float32)
        side = tf.minimum(window.side * halved, tf.reduce_min(size))
        return _resampled(image, tf.minimum(window.corner * halved, size - side), side, crop, data.interpolation)

    def by_window():
        window = draw_window(tf.io.extract_jpeg_shape(encoded)[:2], draws, data.scale, crop)
        square = tf.cast(tf.concat([window.corner, [window.side, window.side]], axis=0), tf.int32)

        def halved(ratio):
            pixels = tf.io.decode_and_crop_jpeg(encoded, square, channels=3, ratio=ratio)
            return tf.raw_ops.ResizeBilinear(images=pixels[tf.newaxis], size=[crop, crop], half_pixel_centers=True)[0]

        ways = [lambda: halved(1), lambda: halved(2), lambda: halved(4), lambda: halved(8)]
        ways.append(lambda: exactly(decode(encoded), window))
        return tf.switch_case(tf.where(window.whole, window.halvings, 4), ways)

    def by_whole():
        image = decode(encoded)
        return exactly(image, draw_window(tf.shape(image)[:2], draws, data.scale, crop))

    pixels = tf.cond(tf.io.is_jpeg(encoded), by_window, by_whole) if reads_windows(data) else by_whole()
    pixels = tf.ensure_shape(pixels if orientation is None else upright(pixels, orientation), [crop, crop, 3])
    if data.flip:
        pixels = tf.reverse(pixels, tf.range(1, 1 + tf.cast(draws[3] < 0.5, tf.int32)))  # of one axis, or of none
    if data.color_shift:
        # [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, one draw an image; added to whole rows, which is four times faster
        shift = tf.linalg.matvec(color_basis, data.color_shift * draws[4:])
        rows = tf.reshape(pixels, [crop, 3 * crop]) + tf.tile(shift, [crop])
        pixels = tf.reshape(rows, [crop, crop, 3])
    return pixels


def _resampled(image: tf.Tensor, corner: tf.Tensor, side: tf.Tensor, crop: int, interpolation: str) -> tf.Tensor:
    """The square of `side` at `corner` as crop x crop pixels, anti-aliased, from the pixels around it too."""
    scale = tf.fill([2], crop / side)
    return _scale_and_translate(image, scale, -corner * scale, (crop, crop), interpolation)
