"""Images at another size, anti-aliased: the full image with its smaller side at S or Q, or a window of it."""

import tensorflow as tf

KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}


def rescaled_size(height: tf.Tensor, width: tf.Tensor, side: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width with the smaller one at `side` and the same aspect ratio, rounded to integers, int64.

    The pixels of a strip of one by ten million may exceed int32.
    """
    factor = tf.cast(side, tf.float64) / tf.cast(tf.minimum(height, width), tf.float64)

    def rescaled(size):
        return tf.cast(tf.round(tf.cast(size, tf.float64) * factor), tf.int64)

    return rescaled(height), rescaled(width)


def rescale(image: tf.Tensor, side: int, interpolation: str) -> tf.Tensor:
    """The full image with its smaller side at `side`, (height, width, channels) float32; it must fit the memory."""
    rescaled = rescaled_size(tf.shape(image)[0], tf.shape(image)[1], side)
    size = [tf.cast(length, tf.int32) for length in rescaled]
    return rescale_and_crop(image, rescaled, 0, 0, size, interpolation)


def center_crop(image: tf.Tensor, side: int, crop: int, interpolation: str) -> tf.Tensor:
    """The middle `crop` x `crop` window of the image rescaled to `side`, float32."""
    height, width = rescaled_size(tf.shape(image)[0], tf.shape(image)[1], side)
    window = rescale_and_crop(
        image, (height, width), (height - crop) // 2, (width - crop) // 2, (crop, crop), interpolation
    )
    return tf.ensure_shape(window, [crop, crop, image.shape[-1]])


def center_window(height: tf.Tensor, width: tf.Tensor, side: int, crop: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where `center_crop` lies: how much longer the rescaled image's height and width are than the image's, and its top and left.

    Returns:
        (2,) float32 factors, (2,) float32 pixels of the rescaled image.
    """
    rescaled = tf.stack(rescaled_size(height, width, side))
    stretch = tf.cast(rescaled, tf.float32) / tf.cast(tf.stack([height, width]), tf.float32)
    return stretch, tf.cast((rescaled - crop) // 2, tf.float32)


def rescale_and_crop(image, rescaled, top, left, size, interpolation: str) -> tf.Tensor:
    """The window of `size` at (top, left) of `image` rescaled to `rescaled`, anti-aliased.

    One operation that computes only the window's pixels; they equal those of rescaling the full image and cropping.

    Args:
        image: (height, width, channels), uint8 or float.
        rescaled: (height, width) of the full rescaled image.
        top, left: of the window in the rescaled image, pixels.
        size: (height, width) of the window.
        interpolation: "bilinear" or "bicubic".

    Returns:
        (size[0], size[1], channels) float32 in 0-255.
    """
    scale = tf.cast(tf.stack(rescaled), tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    return _scale_and_translate(image, scale, -tf.cast(tf.stack([top, left]), tf.float32), size, interpolation)


def resample_window(image: tf.Tensor, corner: tf.Tensor, side: tf.Tensor, crop: int, interpolation: str) -> tf.Tensor:
    """The square window of `side` at `corner` as (crop, crop, channels) pixels, anti-aliased, from the pixels around it too."""
    scale = tf.fill([2], crop / side)
    return _scale_and_translate(image, scale, -corner * scale, (crop, crop), interpolation)


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
