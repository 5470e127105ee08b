"""Window decoding: only the crop's window of a JPEG is decoded, for the crops of `augment`.

The decoder skips the blocks outside of the window. It halves the image at no cost, up to three times, where the window then
still has pixels enough. The window is rescaled without a filter, down or up by two at most.
"""

import tensorflow as tf

from vgg_keras.data.decoding import DCT, grey_jpeg

FULL_DECODE = 4  # the decode mode of full decoding, see `augment`; 0 to 3 are the halvings of a decoded window


def decode_window(
    image: tf.Tensor,
    encoded: tf.Tensor,
    size: tf.Tensor,
    decode_mode: tf.Tensor,
    window: tf.Tensor,
    crop: int,
    channels: int,
) -> tf.Tensor:
    """The window of a JPEG, rescaled to (crop, crop, channels) float32.

    Args:
        image: its id, for a message.
        encoded: the file.
        size: (2,) int32, height and width that the file must have.
        decode_mode: how often the decoder halves the image, 0 to 3.
        window: (4,) float32 integers: top, left, height, width in pixels of the halved image.
        crop: side of the result.
        channels: 3 for RGB, 1 for grey.

    Raises:
        InvalidArgumentError: the file cannot be decoded, or has another size.
    """
    shape = tf.io.extract_jpeg_shape(encoded)
    with tf.control_dependencies([require_size(image, shape, size)]):
        decode_mode = tf.identity(decode_mode)
    pixels_of_window = tf.cast(window, tf.int32)

    def decoded(ratio):
        def read(channels):
            return tf.io.decode_and_crop_jpeg(encoded, pixels_of_window, channels, ratio=ratio, dct_method=DCT)

        return lambda: grey_jpeg(shape, read) if channels == 1 else read(channels)

    pixels = tf.switch_case(decode_mode, [decoded(1), decoded(2), decoded(4), decoded(8)])
    pixels = tf.cast(pixels, tf.float32)  # the operation reads floats as vectors, but bytes one by one
    resized = tf.raw_ops.ResizeBilinear(images=pixels[tf.newaxis], size=[crop, crop], half_pixel_centers=True)
    return tf.squeeze(resized, 0)


def require_size(image: tf.Tensor, shape: tf.Tensor, size: tf.Tensor) -> tf.Operation:
    """Asserts that an image (height, width, ...) has the size that was scanned, for which its window was drawn."""
    # the operation itself: `tf.debugging.assert_equal` would add ten others
    message = ["an image must have the size that was scanned: image", image, "has", shape[:2], "and had", size]
    return tf.raw_ops.Assert(condition=tf.reduce_all(shape[:2] == size), data=message)


def pixels_of_one(halvings: tf.Tensor) -> tf.Tensor:
    """How many pixels of the image become one by these halvings, (..., 1) float32."""
    return tf.cast(tf.bitwise.left_shift(1, halvings), tf.float32)[..., tf.newaxis]
