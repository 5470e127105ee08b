"""What is done to one image, as pure functions: decode, rescale to S, crop, flip, colour shift (3.1)."""

import tensorflow as tf

from vgg_keras.config import Data

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, BMP or GIF (its first frame) by content, as (height, width, 3) uint8; grey and CMYK become RGB."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


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
    old = tf.cast(tf.shape(image)[:2], tf.float32)
    window = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=tf.stack(size),
        scale=tf.cast(tf.stack(rescaled), tf.float32) / old,
        translation=-tf.cast(tf.stack([top, left]), tf.float32),
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


def training_crop(image: tf.Tensor, seed: tf.Tensor, data: Data, crop: int, color_basis: tf.Tensor) -> tf.Tensor:
    """3.1's augmentation of one image, a function of `seed` alone: S, a random crop, a flip and a colour shift.

    Args:
        image: (height, width, 3) uint8.
        seed: (2,) integers, different for each epoch and image.
        data: its `scale`, `flip`, `color_shift` and `interpolation` are read.
        crop: side of the result.
        color_basis: (3, 3), of `Statistics.color_basis`.

    Returns:
        (crop, crop, 3) float32, RGB 0-255 plus the colour shift.
    """
    scale_seed, top_seed, left_seed, flip_seed, color_seed = tf.unstack(tf.random.split(seed, 5))
    side = tf.random.stateless_uniform([], scale_seed, data.scale[0], data.scale[-1] + 1, tf.int32)
    height, width = rescaled_size(tf.shape(image)[0], tf.shape(image)[1], side)
    top = tf.random.stateless_uniform([], top_seed, 0, height - crop + 1, tf.int32)
    left = tf.random.stateless_uniform([], left_seed, 0, width - crop + 1, tf.int32)
    window = rescale_and_crop(image, (height, width), top, left, (crop, crop), data.interpolation)
    window = tf.ensure_shape(window, [crop, crop, 3])
    if data.flip:
        mirrored = tf.random.stateless_uniform([], flip_seed) < 0.5
        window = tf.where(mirrored, window[:, ::-1], window)
    if data.color_shift:
        # [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, one draw an image
        window += tf.linalg.matvec(color_basis, tf.random.stateless_normal([3], color_seed, stddev=data.color_shift))
    return window
