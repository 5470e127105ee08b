"""What an image file is: whether it can be decoded, its size, its orientation; of many files at once, on all cores."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data.decoding import DCT, decode
from vgg_keras.data.errors import message_of
from vgg_keras.data.headers import has_exif, orientation, refusal
from vgg_keras.data.pipeline import without_autotune
from vgg_keras.data.scan_cache import ROW
from vgg_keras.data.splits import ChangedError, Split

RESULTS = 64  # images whose results Python takes at once; of a bad one all are inspected one by one
PIECE_SECONDS = 10.0  # in which a piece of the images should be inspected, so that progress is shown
SMALLEST_PIECE, LARGEST_PIECE = 256, 2**16  # images


class NotRead(str):
    """Why a file could not be opened or read. It says nothing about the content, so that the next run tries again."""


# Of some images: the ids of the good ones, their rows (n,) of `ROW`, and why the others cannot be used, by id.
Findings = tuple[np.ndarray, np.ndarray, dict[int, str]]
_NONE = np.zeros(0, np.int64), np.zeros(0, ROW)


def inspect_images(split: Split, data: Data, images: np.ndarray) -> Iterator[Findings]:
    """What is found of each of these images, a few at a time, so that a stop is quick.

    A piece is as large as `PIECE_SECONDS` allow, since the start of one takes a tenth of a second. Of large files that is a few
    hundred.
    """
    size = SMALLEST_PIECE
    while len(images):
        piece, images = images[:size], images[size:]
        started = time.monotonic()
        yield from _inspect_piece(split, data, piece)
        rate = len(piece) / max(time.monotonic() - started, 1e-6)
        size = int(np.clip(PIECE_SECONDS * rate, SMALLEST_PIECE, LARGEST_PIECE))


def _inspect_piece(split: Split, data: Data, images: np.ndarray) -> Iterator[Findings]:
    """The same of a piece: what cannot be opened, then by two graphs, and one by one what fails in these.

    JPEG files without peculiarities, which most are, go through a short graph first: the long one of `_content` takes several
    times as long as to decode a small image.
    """
    if split.inspect:
        found = {image: split.inspect(image, data.max_file_bytes) for image in images.tolist()}
        refused = {image: NotRead(reason) for image, reason in found.items() if reason}
        if refused:
            yield *_NONE, refused
        images = np.setdiff1d(images, list(refused))
    for graph in (_quick, _content):
        rest = set(images.tolist())
        for ids, rows, refused in _inspect_together(split, graph, images, data.max_pixels):
            rest.difference_update(ids.tolist(), refused)
            yield ids, rows, refused
        images = np.array(sorted(rest), np.int64)
    for image in images.tolist():
        found = _inspect_one(split, image, data.max_pixels)
        yield (*_NONE, {image: found}) if isinstance(found, str) else (np.array([image]), found, {})


def _inspect_together(split: Split, graph: Callable, images: np.ndarray, max_pixels: int) -> Iterator[Findings]:
    """The same of images by one graph, without those that it leaves, and those of a batch in which one fails."""
    if not len(images):
        return

    def inspect(image):
        return image, *graph(*_read(split, image), max_pixels)

    ids = split.checked(tf.data.Dataset.from_tensor_slices(images), all_of_them=False)
    rows = ids.map(inspect, tf.data.AUTOTUNE, deterministic=False).batch(RESULTS).prefetch(2)
    for found, reasons, *values in _whole_batches(without_autotune(rows), len(images)):
        good = reasons == b""
        table = np.zeros(int(good.sum()), ROW)
        for name, column in zip(ROW.names, values, strict=True):
            table[name] = column[good]
        others = np.flatnonzero(~good & (reasons != _LATER)).tolist()
        yield found[good], table, {int(found[place]): reasons[place].decode() for place in others}


def _whole_batches(rows: tf.data.Dataset, images: int) -> Iterator[list[np.ndarray]]:
    """The batches of a dataset. One in which an image fails is lost, and those behind it come."""
    batches = iter(rows)
    for _ in range(images + 1):  # each batch and each failure is of one image at least
        try:
            yield [column.numpy() for column in next(batches)]
        except StopIteration:
            return
        except (tf.errors.OpError, UnicodeDecodeError):  # the latter: a path in the message is not UTF-8
            stop.raise_if_requested()


def _inspect_one(split: Split, image: int, max_pixels: int) -> np.ndarray | str:
    """One image. An error of reading may be gone tomorrow; an error of decoding is a property of the file."""
    try:
        encoded, label = _read(split, split.unchanged(tf.constant(image, tf.int64)))
    except tf.errors.DataLossError as error:  # a record's checksum
        return message_of(error, split.path(image))
    except (tf.errors.OpError, ChangedError, UnicodeDecodeError) as error:
        return NotRead(message_of(error, split.path(image)))
    try:
        reason, *values = (value.numpy() for value in _content(encoded, label, max_pixels))
        return reason.decode() or np.array([tuple(values)], ROW)
    except tf.errors.InvalidArgumentError as error:
        return message_of(error, split.path(image))
    except tf.errors.OpError as error:  # such as of memory
        return NotRead(message_of(error, split.path(image)))


def _read(split: Split, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An image's file and its label; 0 in a multi-label set, whose labels are known without a scan."""
    encoded, label = split.read(image)
    return encoded, tf.constant(0, tf.int32) if split.multi_label else label


_SIGNATURE = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)]
_LATER = b"later"  # instead of a reason: of an image that `_quick` leaves to `_content`


@tf.function(input_signature=_SIGNATURE, autograph=False)
def _quick(encoded, label, max_pixels):
    """`_content` of a JPEG in grey or RGB without EXIF and with few pixels; `_LATER` for all other files."""
    unread = tf.zeros([2], tf.int32)

    def of_jpeg():
        shape = tf.io.extract_jpeg_shape(encoded)
        few = tf.reduce_prod(tf.cast(shape[:2], tf.int64)) <= max_pixels
        return tf.cond(few & (shape[2] <= 3) & ~has_exif(encoded), lambda: decoded(shape[:2]), lambda: unread)

    def decoded(size):
        # an eighth of the size: all of the file is read, but fewer pixels are computed. TensorFlow would remove a decoding whose
        # result nothing reads
        pixels = tf.io.decode_jpeg(encoded, channels=3, ratio=8, dct_method=DCT)
        return tf.where(tf.shape(pixels)[0] > 0, size, unread)

    jpeg = tf.io.is_jpeg(encoded)
    size = tf.cond(jpeg, of_jpeg, lambda: unread)
    reason = tf.where(tf.reduce_all(size > 0), b"", _LATER)
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, tf.constant(1), size[0], size[1], jpeg, label


@tf.function(input_signature=_SIGNATURE, autograph=False)
def _content(encoded, label, max_pixels):
    """Why a file is refused, and the fields of `ROW`. The image is decoded, for that may fail.

    Traced once for all splits, because it is large.
    """
    reason = refusal(encoded, max_pixels)
    size = tf.cond(reason == "", lambda: tf.shape(decode(encoded)), lambda: tf.zeros([3], tf.int32))
    fingerprint = tf.strings.to_hash_bucket_fast(encoded, 2**63 - 1)
    return reason, fingerprint, orientation(encoded), size[0], size[1], tf.io.is_jpeg(encoded), label
