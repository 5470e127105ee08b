"""An image file's header, read before it is decoded: orientation, size, and whether TensorFlow would decode it wrongly.

Everything is TensorFlow operations on the file's bytes, so that it runs inside tf.data and inside a SavedModel, which refuses
the files that the scan skips.

Pillow does not replace this in the scan. It reads a JPEG's header six times as fast, which would save 15 % of a decoding. But
the rules would then exist twice, since the SavedModel needs them in its graph. In the map of the scan, Python's lock would make
its threads wait for each other. And Pillow is no safer:
- `getexif` decodes a PNG: half a second for a file of 25 KB with 5,000 x 5,000 pixels.
- It does not report the pixels in all frames of a GIF, nor the channel masks of a BMP.
"""

import tensorflow as tf

KINDS = "JPEG, PNG, BMP, GIF or WebP"  # what `decoding.decode` reads, identified by the first bytes
_STARTS = ((b"\xff\xd8\xff", 0), (b"\x89PNG\r\n\x1a\n", 0), (b"BM", 0), (b"GIF8", 0), (b"WEBP", 8))  # in that order
FIRST_BYTES = 12  # that identify a file's kind
_SEGMENTS = 1000  # of a JPEG that are searched for EXIF's, which is the first or second; a hostile file has millions
_BLOCKS = 2**16  # of a GIF that are searched for frames, those of a chain together; a hostile file has millions
_CHAIN = 256  # of its blocks at most that are passed over together
_PADDING = 1200  # zeros behind a file's bytes, so that a field beyond the end of a short file can be read
_EXIF = b"Exif\0\0"  # begins the content of EXIF's segment
_ADOBE = b"\xff\xee\x00\x0eAdobe"  # begins the segment by which four colours in a JPEG are known to be inverted


def is_image(first: bytes) -> bool:
    """Whether a file begins like one of `KINDS`, by its first `FIRST_BYTES`, outside of TensorFlow."""
    return any(first.startswith(start, place) for start, place in _STARTS)


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG file, its tag 0x0112, 1 to 8, int32.

    1, upright, where the tag is missing, damaged or out of its range. So are files of other kinds, which cameras do not write.
    """
    # most files have no EXIF: their segments need not be read
    return tf.cond(has_exif(encoded), lambda: _of_jpeg(encoded), lambda: 1)


def has_exif(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file may have an EXIF segment, a bool scalar: a search that is several times as fast as to split the file."""
    return tf.strings.regex_full_match(encoded, r"\C*Exif\x00\x00\C*")  # \C is any byte, also of text that is no UTF-8


def _of_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    data, end = _bytes(encoded), tf.strings.length(encoded)

    def unfinished(place, exif):
        return (exif == end) & (place < end) & (data[place + 1] != 0xDA)  # behind 0xDA are the pixels

    def segment(place, exif):
        marker = data[place + 1]
        # decoders skip stray bytes between segments
        stray = (data[place] != 0xFF) | (marker == 0xFF) | (marker == 0)
        following = tf.minimum(tf.where(stray, place + 1, place + 2 + _number(data[place + 2 : place + 4])), end)
        found = ~stray & (marker == 0xE1) & _is(data, _EXIF, place + 4)
        return following, tf.where(found, place + 10, exif)

    start = tf.where(tf.io.is_jpeg(encoded), 2, end)
    following, exif = tf.while_loop(unfinished, segment, (start, end), maximum_iterations=_SEGMENTS)
    return _of_tiff(data[exif:following])


def _of_tiff(data: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of a TIFF structure, which EXIF's segment holds; 1 where there is none."""
    size = tf.size(data)
    data = tf.concat([data, tf.zeros([16], tf.uint8)], axis=0)
    little = _is(data, b"II*\0")

    def number(place, digits):
        return _number(data[place : place + digits], little)

    directory = tf.minimum(number(4, 4), size) + 2
    entries = tf.clip_by_value((size - directory) // 12, 0, number(directory - 2, 2))
    tags = tf.reshape(data[directory : directory + 12 * entries], [-1, 12])[:, :2]  # (entries, 2)
    wanted = tf.where(little, tf.constant([0x12, 0x01], tf.uint8), tf.constant([0x01, 0x12], tf.uint8))
    found = tf.cast(tf.where(tf.reduce_all(tags == wanted, axis=1))[:, 0], tf.int32)
    entry = directory + 12 * tf.concat([found, [0]], axis=0)[0]
    short, long = (number(entry + 2, 2) == kind for kind in (3, 4))
    value = number(entry + 8, tf.where(long, 4, 2))
    tiff = (little | _is(data, b"MM\0*")) & (tf.size(found) > 0) & (short | long) & (number(entry + 4, 4) == 1)
    return tf.where(tiff & (value >= 1) & (value <= 8), value, 1)


def refusal(encoded: tf.Tensor, max_pixels: tf.Tensor | int) -> tf.Tensor:
    """Why a file must not be decoded, in a few words, a string scalar; empty where it may.

    Either its header gives more than `max_pixels` pixels, or TensorFlow would decode it to wrong pixels without an error.

    Raises:
        InvalidArgumentError: a JPEG whose header cannot be read.
    """
    others = (lambda inspect=inspect: inspect(_bytes(encoded)) for inspect in (_png, _bmp, _gif, _webp))
    pixels, size, fault = tf.switch_case(_kind(encoded), [lambda: _jpeg(encoded), *others, _none])
    fault = tf.where(tf.strings.length(encoded) > 0, fault, "an empty file")
    too_large = tf.strings.join([size, ", more than data.max_pixels=", tf.strings.as_string(max_pixels)])
    return tf.where(pixels > tf.cast(max_pixels, tf.int64), too_large, fault)


# Each of these returns how many pixels a decoder makes of a file, that number in words, and what else forbids it.


def _jpeg(encoded):
    height, width, colours = tf.unstack(tf.io.extract_jpeg_shape(encoded))
    unknown = "four colours without Adobe's segment, so that they may be inverted or not: save it as RGB"

    def of_cmyk():
        return tf.where(_contains(tf.strings.substr(encoded, 0, 2**16), _ADOBE), "", unknown)

    return _sized(width, height, tf.cond(colours == 4, of_cmyk, lambda: ""))


def _png(data):
    return _sized(_number(data[16:20]), _number(data[20:24]))


def _bmp(data):
    def number(place, digits):
        return _number(data[place : place + digits], little=True)

    info, depth, packing = number(14, 4), number(28, 2), number(30, 4)
    height = tf.abs(tf.cast(tf.bitcast(data[22:26], tf.int32), tf.int64))  # below 0 where the upper row is first
    masks = _is(data, b"\0\0\xff\0\0\xff\0\0\xff\0\0\0", 54)  # of R, G, B: their order without masks
    palette = 14 + tf.minimum(info, tf.size(data) - _PADDING)
    colours = tf.cast(tf.reshape(data[palette : palette + 1024], [256, 4])[:, :3], tf.int32)  # B, G, R, nothing
    grey = tf.reduce_all(colours == tf.range(256)[:, tf.newaxis])
    plain = (packing == 0) & ((depth == 24) | (depth == 32) | ((depth == 8) & grey))
    plain |= ((packing == 3) | (packing == 6)) & (depth == 32) & masks
    fault = "a BMP with a palette, or not of 24 or 32 bits a pixel: save it as PNG"
    known = info >= 40  # OS/2's shorter header has its fields elsewhere
    return _sized(tf.where(known, number(18, 4), 0), height, tf.where(known & plain, "", fault))


def _gif(data):
    """Counts the pixels of all frames: TensorFlow decodes them all before it returns the first.

    Its picture is as large as the largest frame. A first frame that reaches beyond that is cut off, and the rest is black.
    ImageMagick's -crop leaves one so without +repage.
    """
    end = tf.size(data) - _PADDING

    def table(flags):  # bytes of a table of colours
        return tf.where(flags & 0x80 > 0, 3 * tf.bitwise.left_shift(2, flags & 7), 0)

    def number(place):
        return _number(data[place : place + 2], little=True)

    def block(place, inside, pixels, first, largest):
        kind = tf.cast(data[place], tf.int32)
        # most chains are of full blocks: they are passed over together, for a loop of TensorFlow is slow
        full = tf.argmax(
            tf.concat([data[place : place + 256 * _CHAIN : 256] < 255, [True]], axis=0), output_type=tf.int32
        )
        chain = tf.where(full > 0, 256 * full, kind + 1)
        frame, extension = ~inside & (kind == 0x2C), kind == 0x21
        flags = tf.cast(data[place + 9], tf.int32)
        outside = tf.where(frame, 11 + table(flags), tf.where(extension, 2, end))  # others end the file
        size = tf.stack([number(place + 5), number(place + 7)])
        area = tf.where(frame, tf.reduce_prod(tf.cast(size, tf.int64)), 0)
        corner = tf.stack([number(place + 1), number(place + 3)])
        first = tf.where(frame & tf.reduce_all(first == 0), corner + size, first)
        largest = tf.where(frame, tf.maximum(largest, size), largest)
        following = tf.minimum(place + tf.where(inside, chain, outside), end)  # inside: chains of up to 255 bytes
        return following, tf.where(inside, kind > 0, True), pixels + area, first, largest

    def unfinished(place, *_):
        return place < end

    screen = tf.cast(number(6), tf.int64) * tf.cast(number(8), tf.int64)
    start = 13 + table(tf.cast(data[10], tf.int32))
    nothing = tf.zeros([2], tf.int32)  # of the first frame its right and lower edges, and the largest width and height
    begin = start, False, tf.constant(0, tf.int64), nothing, nothing
    place, _, pixels, first, largest = tf.while_loop(unfinished, block, begin, maximum_iterations=_BLOCKS)
    pixels = tf.maximum(pixels, screen)
    beside = tf.reduce_any(first > largest)
    fault = tf.where(beside, "a GIF whose first frame lies beside its corner: save it as PNG", "")
    fault = tf.where(place < end, f"a GIF of more than {_BLOCKS:,} blocks: save its first frame as PNG", fault)
    return pixels, tf.strings.join([tf.strings.as_string(pixels), " pixels in all frames"]), fault


def _webp(data):
    def number(place, digits):
        return _number(data[place : place + digits], little=True)

    lossless, extended = _is(data, b"VP8L", 12), _is(data, b"VP8X", 12)
    bits = tf.bitcast(data[21:25], tf.int32)  # VP8L: 14 of the width, 14 of the height, each less one
    width = tf.where(lossless, bits % 2**14 + 1, number(26, 2) % 2**14)
    height = tf.where(lossless, bits // 2**14 % 2**14 + 1, number(28, 2) % 2**14)
    width, height = (tf.where(extended, number(at, 3) + 1, size) for at, size in ((24, width), (27, height)))
    beyond = (extended & (data[20] & 0x12 > 0)) | (lossless & (bits & 2**28 > 0))  # flags of animation and transparency
    fault = "a WebP that is animated or has transparency: save it, or its first frame, as PNG"
    return _sized(width, height, tf.where(beyond, fault, ""))


def _none():
    return tf.constant(0, tf.int64), "", f"no {KINDS} file"


def _sized(width, height, fault=""):
    width, height = tf.cast(width, tf.int64), tf.cast(height, tf.int64)
    words = tf.strings.join([tf.strings.as_string(width), " x ", tf.strings.as_string(height), " pixels"])
    return width * height, words, tf.convert_to_tensor(fault)


def _kind(encoded: tf.Tensor) -> tf.Tensor:
    """The index in `_STARTS` of a file's kind; the number of kinds where it is none."""
    first = tf.strings.join([tf.strings.substr(encoded, 0, FIRST_BYTES), b"\0" * FIRST_BYTES])
    found = [tf.strings.substr(first, place, len(start)) == start for start, place in _STARTS]
    return tf.argmax(tf.stack([*found, True]), output_type=tf.int32)


def _contains(encoded: tf.Tensor, text: bytes) -> tf.Tensor:
    return tf.size(tf.strings.split(encoded, text)) > 1


def _bytes(encoded: tf.Tensor) -> tf.Tensor:
    """A file as uint8, with `_PADDING` behind it."""
    return tf.io.decode_raw(tf.strings.join([encoded, b"\0" * _PADDING]), tf.uint8)


def _is(data: tf.Tensor, text: bytes, place: tf.Tensor | int = 0) -> tf.Tensor:
    return tf.reduce_all(data[place : place + len(text)] == tf.constant(list(text), tf.uint8))


def _number(digits: tf.Tensor, little: tf.Tensor | bool = False) -> tf.Tensor:
    """Up to four bytes as a number, int32; a larger one becomes the largest int32."""
    digits = tf.cast(tf.where(little, digits[::-1], digits), tf.int64)
    value = tf.reduce_sum(digits * tf.constant([2**24, 2**16, 2**8, 1], tf.int64)[4 - tf.size(digits) :])
    return tf.cast(tf.minimum(value, 2**31 - 1), tf.int32)
