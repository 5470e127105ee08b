"""An image file to pixels: decoded as it is stored, then made upright."""

import tensorflow as tf

# For each EXIF orientation, from 0 (none): which axes are reversed, and the order of the axes after that.
REVERSED = [(row in (3, 4, 6, 7), row in (2, 3, 7, 8), False) for row in range(9)]
ORDERED = [(0, 1, 2) if row < 5 else (1, 0, 2) for row in range(9)]

# How a JPEG's blocks become pixels, as in Pillow and torchvision. TensorFlow's default is libjpeg's fast transform, which is
# off by a grey level of red and blue on average, and by less where it halves: window and full decoding would differ.
DCT = "INTEGER_ACCURATE"


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """JPEG, PNG, BMP, GIF (its first frame) or WebP by content, as (height, width, 3) uint8, as it is stored.

    Grey and CMYK become RGB, 16 bits their upper 8; transparency is dropped. `headers.refusal` names the files that must not
    be decoded.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=DCT),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),  # has no argument for the DCT
    )
    return tf.ensure_shape(image, [None, None, 3])


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image (height, width, 3) rotated and flipped as its EXIF orientation, 1 to 8, requires.

    Four operations and no branch, because training does it for every crop.
    """
    reversed_axes = tf.raw_ops.Reverse(tensor=image, dims=tf.gather(REVERSED, orientation))
    return tf.transpose(reversed_axes, tf.gather(ORDERED, orientation))
