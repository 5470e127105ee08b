"""Any classification set of TensorFlow Datasets by its name, each record read by its place in its shard.

Shards are TFRecord files, which only stream. Their record offsets, listed once from the headers, make them readable in
any order, so a TFDS set is shuffled over its whole list like a folder, and a resumed run skips nothing but numbers.
"""

import contextlib
import os
import struct
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.config import Data
from vgg_keras.data.splits import Source, Split, evenly, held_out
from vgg_keras.errors import UserError, nearest
from vgg_keras.paths import printable, user_path


def open_builder(data: Data) -> Source:
    """The TFDS set `data.source`, downloaded and prepared where it is not yet.

    Its one image feature and its one class label feature are found in its features; validation is the split
    `validation`, else `test`, else a held-out share of `train`. With `data.validation=held_out` it is that share, and the
    split `test`, else `validation`, is the test's.

    Raises:
        UserError: no such set; one that must be downloaded by hand, with its instructions; one without an image or a
            label, or with several.
    """
    import tensorflow_datasets as tfds

    data_dir = _data_dir(data.data_dir)
    try:
        builder = tfds.builder(data.source, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        hint = nearest(data.source, ["digits", *tfds.list_builders(with_community_datasets=False)])
        if not hint.startswith("Did") or "/" in data.source:
            hint = "There is no folder of that name either; `tfds.list_builders()` names the sets."
        raise UserError(
            f"--data takes 'digits', a TensorFlow Datasets name or a folder. Received: {data.source!r}, which is none. {hint}"
        ) from None
    except (ValueError, AssertionError) as error:  # such as an unknown configuration or version of a known set
        raise UserError(f"TensorFlow Datasets refuses the name {data.source!r}: {_one_line(error)}") from None
    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        features = {}
    image_key = _only_key(features, tfds.features.Image, "image", data.source)
    label_key = _only_key(features, tfds.features.ClassLabel, "class label", data.source)
    if features[image_key].np_dtype != np.uint8:
        raise UserError(f"Images must be 8 bits deep. Received: {data.source!r} with {features[image_key].np_dtype}.")

    _prepare(builder)
    decoders = {image_key: tfds.decode.SkipDecoding()}

    classes = tuple(map(printable, features[label_key].names))

    def split(name: str) -> Split:
        return _split(builder, name, lambda record: _pick(features, decoders, record, image_key, label_key), classes)

    if "train" not in builder.info.splits:
        raise UserError(
            f"A data set must have a split 'train'. Received: {data.source!r} with {list(builder.info.splits)}."
        )
    train, test = split("train"), None
    order = ("validation", "test") if data.validation == "own" else ("test", "validation")
    for own in [name for name in order if name in builder.info.splits]:
        test = split(own)
        if _labelled(test):
            break
        test = None
    if test and data.validation == "own":
        val, test, division = test, None, f"validation on its split {own!r}"
    else:
        validates = held_out(train.size, data.holdout)
        train, val = train.select(np.flatnonzero(~validates)), train.select(np.flatnonzero(validates))
        division = f"{data.holdout:.0%} of 'train' held out" + (f", its split {own!r} for the test" if test else "")
    return Source(
        name=data.source,
        description=f"{builder.info.full_name} of TensorFlow Datasets: {len(classes)} classes, {division}",
        classes=classes,
        train=train,
        val=val,
        test=test,
    )


def _data_dir(name: str) -> str | None:
    """Where TensorFlow Datasets keeps its sets; None: where it does by itself, which needs a user with a home."""
    if name:
        return str(user_path(name))
    if not os.environ.get("TFDS_DATA_DIR"):
        try:
            user_path("~")
        except UserError:
            raise UserError(
                "TensorFlow Datasets keeps its sets in the user's home folder. Received: a user without one. "
                "Name another folder: --set=data.data_dir=FOLDER."
            ) from None
    return None


def _prepare(builder) -> None:
    if builder.info.file_format and builder.info.file_format.value != "tfrecord":
        raise UserError(
            f"A TensorFlow Datasets set must be prepared as tfrecord. Received: {builder.data_path} in "
            f"{builder.info.file_format.value}. Prepare it anew with file_format='tfrecord', or name another data.data_dir."
        )
    try:
        builder.download_and_prepare()
    except AssertionError as error:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise
        raise UserError(f"{builder.name} must be downloaded by hand. {_one_line(error)}") from None
    except Exception as error:  # a download fails in as many ways as there are hosts
        raise UserError(
            f"{builder.name} could not be downloaded and prepared: {type(error).__name__}: {_one_line(error)}. "
            "Name a folder that holds it prepared with --set=data.data_dir=..., or another --data."
        ) from None


def _one_line(text) -> str:
    return " ".join(str(text).split())


def _only_key(features, kind: type, what: str, source: str) -> str:
    keys = [key for key, feature in features.items() if isinstance(feature, kind)]
    if len(keys) != 1:
        raise UserError(
            f"A classification set has one {what} feature. Received: {source!r} with {len(keys)}: {', '.join(keys) or 'none'}."
        )
    return keys[0]


def _pick(features, decoders, record, image_key, label_key):
    example = features.deserialize_example(record, decoders=decoders)
    # one beyond int32 must not become a class by losing its upper digits
    label = tf.clip_by_value(tf.cast(example[label_key], tf.int64), tf.int32.min, tf.int32.max)
    return example[image_key], tf.cast(label, tf.int32)


_FIRST_LABELS = 16  # records that tell whether a split has labels


def _labelled(split: Split) -> bool:
    """Whether a split has labels, told by some readable records of it: some sets keep those of their test split back."""
    for image in evenly(split.size, _FIRST_LABELS):
        with contextlib.suppress(tf.errors.OpError):  # a damaged one, which the scan names
            if int(split.read(tf.constant(image, tf.int64))[1]) >= 0:
                return True
    return False


_HEADER = 12  # bytes: a record's length (8) and that number's checksum (4), before its data and 4 bytes more
_CRC32C = np.arange(256, dtype=np.uint32)  # what a byte does to the checksum
for _ in range(8):
    _CRC32C = np.where(_CRC32C & 1, _CRC32C >> 1 ^ np.uint32(0x82F63B78), _CRC32C >> 1)


def record_offsets(path: str) -> list[int]:
    """Where each record of a TFRecord file begins.

    A record whose data is damaged has its place all the same, and the scan names it. Behind a damaged length the others
    cannot be found.

    Raises:
        UserError: a length is damaged, or the last record is cut short; its place is named.
    """
    offsets, headers, place, size = [], [], 0, os.path.getsize(path)
    with open(path, "rb", buffering=0) as file:
        while place < size:
            headers.append(os.pread(file.fileno(), _HEADER, place).ljust(_HEADER, b"\0"))
            offsets.append(place)
            place += _HEADER + struct.unpack("<Q", headers[-1][:8])[0] + 4
    sound = _sound(np.frombuffer(b"".join(headers), np.uint8).reshape(-1, _HEADER))
    # one whose checksum is damaged and not its number leads to a sound one all the same, or to the file's end
    lost = ~sound & ~np.append(sound, place == size)[1:]
    if lost.any():
        raise UserError(
            "Each record of a TFRecord file is found by the lengths before it. Received: "
            f"{path}@{offsets[int(np.argmax(lost))]}, whose length is damaged. Put the file back, or prepare the set anew."
        )
    if place != size:
        raise UserError(
            f"A TFRecord file must end with a whole record. Received: {path}@{offsets[-1]}, cut short. "
            "Put the file back, or prepare the set anew."
        )
    return offsets


def _sound(headers: np.ndarray) -> np.ndarray:
    """Which of these headers, (records, 12) uint8, have the checksum of their length: CRC-32C, rotated and shifted."""
    checksum = np.full(len(headers), 0xFFFFFFFF, np.uint32)
    for byte in headers[:, :8].T:
        checksum = checksum >> 8 ^ _CRC32C[checksum & 0xFF ^ byte]
    checksum = ~checksum
    masked = (checksum >> 15 | checksum << 17) + np.uint32(0xA282EAD8)
    return masked == np.ascontiguousarray(headers[:, 8:]).view("<u4")[:, 0]


def _split(builder, name: str, pick, classes: tuple[str, ...]) -> Split:
    shards: Sequence[str] = [str(path) for path in builder.info.splits[name].filepaths]
    offsets = [record_offsets(path) for path in shards]
    shard_of = np.concatenate([np.full(len(places), shard, np.int32) for shard, places in enumerate(offsets)])
    offset_of = np.concatenate([np.asarray(places, np.int64) for places in offsets])
    stamps = [f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for path in shards]
    paths = tf.constant([os.fsencode(path) for path in shards])  # which need not be UTF-8
    shard_table, offset_table = tf.constant(shard_of), tf.constant(offset_of)

    def read(image):
        # the public TFRecordDataset has no offsets; its kernel has
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(paths, tf.gather(shard_table, image))],
            compression_type="",
            buffer_size=tf.constant(0, tf.int64),
            byte_offsets=[tf.gather(offset_table, image)],
        )
        records = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
        return pick(records.take(1).get_single_element())

    return Split(
        size=len(shard_of),
        read=read,
        name=lambda image: f"{os.path.basename(shards[shard_of[image]])}@{offset_of[image]}",
        root=os.path.dirname(shards[0]),
        stamp=lambda image: f"{stamps[shard_of[image]]} {offset_of[image]}",
        classes=classes,
    )
