"""TensorFlow's errors of images that cannot be read, turned into one line that names the file.

The scan reports bad images before a run. These are the images that went bad after it: deleted, replaced or damaged files.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator

import tensorflow as tf

from vgg_keras.data.splits import ChangedError, Split
from vgg_keras.errors import UserError

_UNREADABLE = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,  # a folder in a file's place
    tf.errors.UnknownError,  # the disk failed, links in a circle, or a `ChangedError`
    tf.errors.AbortedError,  # a network's disk lost the file
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.ResourceExhaustedError,  # too many open files; or memory, which is not the image's fault
    ChangedError,
    UnicodeDecodeError,  # TensorFlow's own, of a path that is not UTF-8
)
_UNCHANGED = "The images must stay as they were when the run began. Received"
_NAMED = 3  # changed files in a message

# The words of our own assertions in the pipeline, and of TensorFlow, that say which image is meant.
_TOO_LARGE = re.compile(r"too large: image (\d+), (\d+ x \d+)")
_OTHER_SIZE = re.compile(r"scanned: image\] \[(\d+)\] \[has\] \[(\d+) (\d+)\] \[and had\] \[(\d+) (\d+)\]")
_CORRUPTED = re.compile(r"corrupted record at (\d+)")
_IN_MAP = "Error in user-defined function passed to"


@contextlib.contextmanager
def readable_images(split: Split | None = None) -> Iterator[None]:
    """Turns the error of an image in a dataset into a message.

    Args:
        split: the images; in a training those that are trained on. A message names the one that is too large, of another
            size than when it was scanned, or a damaged record.

    Raises:
        UserError: an element of the dataset could not be made.
    """
    try:
        yield
    except _UNREADABLE as error:
        if found := _TOO_LARGE.search(str(error)):
            raise UserError(
                "An image rescaled to Q must have evaluation.max_pixels or fewer. "
                f"Received: {split.path(int(found[1]))}, {found[2]} pixels then. Raise the limit, or leave the image out."
            ) from error
        if not _of_input(error):
            raise
        if found := _OTHER_SIZE.search(str(error)):
            image, *sizes = map(int, found.groups())
            raise UserError(
                f"{_UNCHANGED}: {split.path(image) if split else image}, "
                f"which has {sizes[1]} x {sizes[0]} pixels and had {sizes[3]} x {sizes[2]}. Put it back to go on, or begin "
                "anew in another folder."
            ) from error
        raise UserError(
            f"{_UNCHANGED} one that can no longer be read: {_damaged_record(split, error) or _changed_files(split, error)}"
            f"{message_of(error)}. Run the same command again: the scan names it, or takes it if its content is as it was. Put "
            "it back to go on, or begin anew without it in another folder."
        ) from error


@contextlib.contextmanager
def readable_image(split: Split, image: int) -> Iterator[None]:
    """Turns the error of one image, read outside of any dataset, into a message.

    Raises:
        UserError: the image could not be read.
    """
    try:
        yield
    except _UNREADABLE as error:
        path = split.path(image)
        raise UserError(
            f"An image must be readable. Received: {path}, which can no longer be read: {message_of(error, path)}."
        ) from error


def message_of(error: Exception, path: str = "") -> str:
    """The words of an error that matter to a user, in one line, without `path` where the caller has named it."""
    return _words(error).removeprefix(f"{path}: ").removeprefix(f"{path}; ")


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode(errors="backslashreplace").rpartition(": ")[2].partition("\n")[0]
    lines = str(error).splitlines()
    if found := next((line for line in lines if "ChangedError: " in line), None):  # of Python inside of tf.data
        return found.partition("ChangedError: ")[2]
    if lines[0] == "Graph execution error:":  # of a tf.function: where it was traced comes first
        lines = [before for before, line in itertools.pairwise(lines) if "[[{{node " in line] or lines
    message = lines[0].split("}} ")[-1].split(" [Op:")[0].rstrip(". ")
    # the name of the pipeline's map means nothing to a user
    return message.rpartition("transformation with iterator: ")[2].split(": ", 1)[-1] if _IN_MAP in message else message


def _of_input(error: Exception) -> bool:
    """Whether an error is of an image that was to be read, and not of a step of the net."""
    if not isinstance(error, tf.errors.OpError):
        return True
    if isinstance(error, tf.errors.ResourceExhaustedError) and "open files" not in str(error):
        return False
    return "IteratorGetNext" in str(error) or "{{node ReadFile}}" in str(error)


def _damaged_record(split: Split | None, error: Exception) -> str:
    """The damaged record with a colon, or nothing. TensorFlow gives only its offset in its shard: the one that still fails."""
    found = _CORRUPTED.search(str(error))
    ends = tuple(f"@{int(found[1]) - before}" for before in (0, 12)) if found else ()  # its length fails, or its data
    for image in range(split.size if split and found else 0):
        if split.name(image).endswith(ends):
            try:
                split.read(tf.constant(image, tf.int64))
            except tf.errors.DataLossError:
                return f"{split.path(image)}: "
    return ""


def _changed_files(split: Split | None, error: Exception) -> str:
    """The files that were written anew, with a colon, or nothing: TensorFlow does not name a file that it cannot decode."""
    if not (split and split.changed and isinstance(error, tf.errors.InvalidArgumentError)):
        return ""
    found = [split.path(image) for image in range(split.size) if split.changed(image)]
    more = f" or one of {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return f"{' or '.join(found[:_NAMED])}{more}, written anew: " if found else ""
