"""An image file to pixels: decoded as it is stored, then made upright."""

from collections.abc import Callable

import tensorflow as tf

# For each EXIF orientation, from 0 (none): which axes are reversed, and the order of the axes after that.
REVERSED = [(row in (3, 4, 6, 7), row in (2, 3, 7, 8), False) for row in range(9)]
ORDERED = [(0, 1, 2) if row < 5 else (1, 0, 2) for row in range(9)]

# How a JPEG's blocks become pixels, as in Pillow and torchvision. TensorFlow's default is libjpeg's fast transform, which is
# off by a grey level of red and blue on average, and by less where it halves: window and full decoding would differ.
DCT = "INTEGER_ACCURATE"


FILE_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}  # that an image file is decoded to, with Pillow's name of each
_GREY = (19595, 38470, 7471)  # of 65,536, as in Pillow's mode L: a colour of equal R, G and B stays


def decode(encoded: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """JPEG, PNG, BMP, GIF (its first frame) or WebP by content, as (height, width, channels) uint8, as it is stored.

    In 3 channels grey and CMYK become RGB and transparency is dropped, in 1 all colours become grey, in 4 a PNG's transparency
    is the last channel, which is 255 in all other files. Of 16 bits the upper 8 remain. `headers.refusal` names the files that
    must not be decoded.

    Args:
        encoded: the file, or an image of `arrays` as (height, width, any) uint8.
        channels: 1, 3 or 4; of an image of `arrays` its own too.
    """
    encoded = tf.convert_to_tensor(encoded)
    if encoded.dtype == tf.uint8:
        return _with_channels(encoded, channels)
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: _decode_jpeg(encoded, channels),
        lambda: _decode_other(encoded, channels),
    )
    return tf.ensure_shape(image, [None, None, channels])


def _decode_jpeg(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    def read(read_channels):
        return tf.io.decode_jpeg(encoded, channels=read_channels, dct_method=DCT)

    if channels == 1:
        return grey_jpeg(tf.io.extract_jpeg_shape(encoded), read)
    return _with_channels(tf.ensure_shape(read(3), [None, None, 3]), channels)


def grey_jpeg(shape: tf.Tensor, read: Callable[[int], tf.Tensor]) -> tf.Tensor:
    """A JPEG in grey: its own luminance; of four colours, which the decoder cannot bring to grey, that of the RGB.

    Args:
        shape: (3,), of the file's header.
        read: a number of channels to the pixels in them.
    """
    return tf.cond(shape[2] == 4, lambda: _with_channels(tf.ensure_shape(read(3), [None, None, 3]), 1), lambda: read(1))


def _decode_other(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    def opaque():  # has no argument for the DCT
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        return _with_channels(tf.ensure_shape(image, [None, None, 3]), channels)

    if channels != 4:
        return opaque()
    png = tf.strings.substr(encoded, 0, 4) == b"\x89PNG"
    return tf.cond(png, lambda: tf.io.decode_png(encoded, channels=4), opaque)


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """An image (height, width, 1 or 3) in other channels: grey in RGB, RGB in grey, RGB with an opaque alpha."""
    if image.shape[-1] == channels:
        return image
    if image.shape[-1] == 1:
        image = tf.repeat(image, 3, axis=-1)
    elif channels == 1:
        weighted = tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * tf.constant(_GREY), axis=-1, keepdims=True)
        return tf.cast((weighted + 2**15) // 2**16, tf.uint8)
    return image if channels == 3 else tf.pad(image, [[0, 0], [0, 0], [0, 1]], constant_values=255)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """The image (height, width, channels) rotated and flipped as its EXIF orientation, 1 to 8, requires.

    Of a crop, which is float32, four operations and no branch, because training does it for each.
    """
    reversed_axes = tf.raw_ops.Reverse(tensor=image, dims=tf.gather(REVERSED, orientation))
    if image.dtype == tf.uint8:
        turned = tf.cond(orientation > 4, lambda: _transposed(reversed_axes), lambda: reversed_axes)
    else:
        turned = tf.transpose(reversed_axes, tf.gather(ORDERED, orientation))
    return tf.ensure_shape(turned, [None, None, image.shape[-1]])


def _transposed(image: tf.Tensor) -> tf.Tensor:
    """(height, width, channels) as (width, height, channels): blocks of a row's width make a batch of columns.

    `tf.transpose` of integers logs an error where TensorFlow uses oneDNN, by default on CPUs with AVX512-VNNI and the like.
    """
    blocks = tf.stack([1, tf.shape(image)[1]])
    return tf.squeeze(tf.space_to_batch(image[tf.newaxis], blocks, [[0, 0], [0, 0]]), 2)
