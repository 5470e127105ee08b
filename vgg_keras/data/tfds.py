"""Any classification set of TensorFlow Datasets by its name, each record read by its place in its shard.

The offsets of its records are listed once (`tfrecords`). So a TFDS set is shuffled over its full list like a folder, and a
resumed run skips only numbers.
"""

import contextlib
import dataclasses
import functools
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Data
from vgg_keras.data.class_names import class_name
from vgg_keras.data.splits import Source, Split, divided, evenly
from vgg_keras.data.stamps import stamps
from vgg_keras.data.tfds_labels import LabelFeature, label_feature, meant_of, with_labels
from vgg_keras.data.tfrecords import record_offsets
from vgg_keras.errors import StoppedError, UserError, nearest
from vgg_keras.paths import user_path
from vgg_keras.progress import progress


def open_builder(data: Data) -> Source:
    """The TFDS set `data.source`, downloaded and prepared where it is not yet.

    Its image feature and its class labels are found in its features. The validation split is `validation`, else
    `test`, else a held-out share of `train`. A set with both, whose test split has labels, is tested on `test`. With
    `data.validation=held_out` the share validates; `test`, else `validation`, is then the test split.

    Raises:
        UserError: no such set; one that must be downloaded by hand, with its instructions; one without an image or a
            label, or with several of which it does not say which are meant.
        StoppedError: by a signal, while the labels of a multi-label set are read.
    """
    records = _open(data)
    source, label = _source(records, data), records.label
    splits = {
        name: split and with_labels(split, label, f"labels of {source.name}, {name}")
        for name, split in (("train", source.train), ("val", source.val), ("test", source.test))
    }
    return dataclasses.replace(source, **splits)


def require_no_prepared_set(folder: Path) -> None:
    """Refuses the folder of a prepared set, which goes by its name, with that name.

    Raises:
        UserError: it is one.
    """
    if not (folder / _INFO).is_file():
        return
    folder = folder.resolve()
    try:
        names = json.loads((folder / _INFO).read_text())
        parts = [names["name"], *filter(None, [names.get("configName")])]
    except (OSError, ValueError, KeyError, TypeError):  # a file of another kind and this name
        return
    above = folder.parents[len(parts)]
    raise UserError(
        f"A set of TensorFlow Datasets goes by its name. Received: --data={folder}, a prepared one. Did you mean "
        f"--data={'/'.join(parts)}:{folder.name} --set=data.data_dir={above}?"
    )


_INFO = "dataset_info.json"  # in the folder of a prepared set


def open_test(data: Data, name: str | None) -> tuple[str, tuple[str, ...], str, Split]:
    """The images that an evaluation names; arguments and results as in `sources.open_test`.

    Only the split that is named is opened, and only its labels are read of a multi-label set: ImageNet's validation images are a
    twentieth of it, and may be on the disk without the others. Unlike a training, it needs no split `train`: imagenet_v2 is a
    test alone.
    """
    records = _open(data)
    if "train" in records.splits:
        description, name, split = _test_of(records, data, name)
    else:
        description, name, split = _test_alone(records, name)
    split = with_labels(split, records.label, f"labels of {data.source}, {name}")
    return description, records.classes, name, split


@dataclasses.dataclass(frozen=True)
class _Records:
    """A prepared set, of which no label is known yet.

    Attributes:
        source: its name as the user gave it.
        builder: TensorFlow Datasets'.
        image_key: of the image in an example.
        label: where its labels are.
    """

    source: str
    builder: Any
    image_key: str
    label: LabelFeature

    @property
    def splits(self) -> list[str]:
        """The names of its own splits."""
        return list(self.builder.info.splits)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        names = tuple(map(class_name, self.label.names))
        if len(set(names)) < len(names):
            again = next(name for place, name in enumerate(names) if name in names[:place])
            raise UserError(
                f"Each class has a name of its own. Received: {self.source!r} with two of {again!r}, whose names are the same "
                "letters in two Unicode forms (NFC and NFD)."
            )
        return names

    @property
    def present(self) -> list[str]:
        """Those of which some files are on the disk."""
        return [name for name in self.splits if any(map(os.path.exists, _shards(self.builder, name)))]

    def split(self, name: str) -> Split:
        """Its split of this name."""
        return _split(self.builder, name, self.image_key, self.label, self.classes)

    def described(self, division: str) -> str:
        """A line on the set."""
        kind = ", any number of them per image" if self.label.multi_label else ""
        return f"{self.builder.info.full_name} of TensorFlow Datasets: {len(self.classes)} classes{kind}, {division}"


def _open(data: Data) -> _Records:
    builder = _builder(data)
    image_key, label = _image_and_label(builder, data.source)
    _prepare(builder)
    return _Records(data.source, builder, image_key, label)


def _source(records: _Records, data: Data) -> Source:
    """The set's training, validation and test images."""
    if "train" not in records.splits:
        raise UserError(f"A data set must have a split 'train'. Received: {data.source!r} with {records.splits}.")
    train = records.split("train")
    own = list(_own_parts(records, data, records.splits))
    found = {part: split for part, _, split in own}
    train, val = (train, found["val"]) if "val" in found else divided(train, data.holdout, data.source)
    described = records.described(_division(own, data))
    return Source(data.source, described, records.classes, train, val, found.get("test"), holds_out="val" not in found)


_Part = tuple[str, str, Split]  # val or test, the name of the set's own split that is it, and its images


def _own_parts(records: _Records, data: Data, names: Collection[str]) -> Iterator[_Part]:
    """Of these splits those beside `train` that have labels, of ImageNet the validation: each is opened when it is reached."""
    own = data.validation == "own"
    order = ("validation", "test") if own else ("test", "validation")
    opened = ((name, one) for name in order if name in names and _labelled(one := records.split(name)))
    for part, (name, split) in zip(("val", "test") if own else ("test",), opened, strict=False):
        yield part, name, split


def _division(own: Sequence[_Part], data: Data) -> str:
    """How a set is divided, in words."""
    names = {part: name for part, name, _ in own}
    first = f"validation on its split {names['val']!r}" if "val" in names else f"{data.holdout:.0%} of 'train' held out"
    return first + (f", its split {names['test']!r} for the test" if "test" in names else "")


def _test_of(records: _Records, data: Data, name: str | None) -> tuple[str, str, Split]:
    """Of a set with training images: its description, the name of the split that an evaluation names, and the split."""
    own: list[_Part] = []
    for part in _own_parts(records, data, records.present) if name in (None, "val", "test") else ():
        own.append(part)
        if part[0] == name:
            break
    found = {part: split for part, _, split in own}
    name = name or ("test" if "test" in found else "val")
    if name in found:
        return records.described(_division(own, data)), name, found[name]
    source = _source(records, data)
    return source.description, name, source.split(name)


def _test_alone(records: _Records, name: str | None) -> tuple[str, str, Split]:
    """Of a set without training images: its description, the name of the split that an evaluation names, and the split."""
    own = {"test": "test", "val": "validation"}
    parts = {one: part for one in own if own[one] in records.splits and _labelled(part := records.split(own[one]))}
    name = name or next(iter(parts), "test")
    wanted = list(parts) if name == "all" else [one for one in parts if one == name]
    if not wanted:
        raise UserError(
            f"An evaluation takes a split that the set has. Received: --split={name} of {records.source!r} with "
            f"{records.splits}. Its 'validation' is val."
        )
    division = f"its own {' and '.join(repr(own[one]) for one in wanted)}"
    return records.described(division), name, functools.reduce(Split.followed_by, (parts[one] for one in wanted))


def _builder(data: Data):
    """The builder of a set by its name; nothing is downloaded yet."""
    import tensorflow_datasets as tfds

    data_dir = _data_dir(data.data_dir)
    try:
        return tfds.builder(data.source, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        hint = nearest(data.source, ["digits", *tfds.list_builders(with_community_datasets=False)])
        if not hint.startswith("Did") or "/" in data.source:
            hint = "There is no folder of that name either; `tfds.list_builders()` names the sets."
        raise UserError(
            "--data takes 'digits', a TensorFlow Datasets name, a folder or a .csv list. "
            f"Received: {data.source!r}, which is none. {hint}"
        ) from None
    except (ValueError, AssertionError) as error:  # such as an unknown configuration or version of a known set
        raise UserError(f"TensorFlow Datasets refuses the name {data.source!r}: {_one_line(error)}") from None


def _image_and_label(builder, source: str) -> tuple[str, LabelFeature]:
    """The key of a set's image feature, and its labels. Of several they are those that the set names for supervised learning."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        features = {}
    meant = [key for key in builder.info.supervised_keys or () if isinstance(key, str)]
    images = meant_of(_image_keys(features), meant)
    if len(images) != 1:
        raise UserError(
            f"A classification set has one image feature. Received: {source!r} with {len(images)}: "
            f"{', '.join(images) or 'none'}."
        )
    label = label_feature(features, source, meant)
    if features[images[0]].np_dtype != np.uint8:
        raise UserError(f"Images must be 8 bits deep. Received: {source!r} with {features[images[0]].np_dtype}.")
    return images[0], label


def _image_keys(features: Any) -> list[str]:
    """The keys of all images in an example."""
    import tensorflow_datasets as tfds

    return [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]


def _data_dir(name: str) -> str | None:
    """Where TensorFlow Datasets keeps its sets; None: its own default, which needs a user with a home."""
    if re.match(r"\w+://", name):  # of which a path would make a folder
        raise UserError(f"data.data_dir is a folder of this machine. Received: {name}. Copy the set to a disk.")
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
        with stop.at_once():  # ImageNet's preparation takes hours
            builder.download_and_prepare()
    except StoppedError:
        raise
    except AssertionError as error:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise
        raise UserError(
            f"{builder.name} must be downloaded by hand. {_one_line(error)} {_elsewhere(builder)}"
        ) from None
    except Exception as error:  # a download fails in as many ways as there are hosts
        raise UserError(
            f"{builder.name} could not be downloaded and prepared: {type(error).__name__}: {_one_line(error)}. "
            "Name a folder that holds it prepared with --set=data.data_dir=..., or another --data."
        ) from None


def _elsewhere(builder) -> str:
    """Where a set may lie prepared that was not found, in a sentence: another version beside it, or another folder."""
    wanted = Path(builder.data_path)
    others = sorted(path.parent.name for path in wanted.parent.glob(f"*/{_INFO}"))
    name = builder.name + (f"/{builder.builder_config.name}" if builder.builder_config else "")
    if others:
        return f"{wanted.parent} holds version {others[-1]}: --data={name}:{others[-1]} reads it."
    folder = "/".join((name, str(builder.version)))
    return f"If it is prepared already, name the folder that holds {folder}/: --set=data.data_dir=FOLDER."


def _one_line(text) -> str:
    return " ".join(str(text).split())


_FIRST_LABELS = 16  # records that are read to know whether a split has labels


def _labelled(split: Split) -> bool:
    """Whether some readable records of a split have labels: some sets do not publish those of their test split."""
    for image in evenly(split.size, _FIRST_LABELS):
        with contextlib.suppress(tf.errors.OpError):  # a damaged one, which the scan names
            label = split.read(tf.constant(image, tf.int64))[1].numpy()
            if (label > 0).any() if label.ndim else label >= 0:
                return True
    return False


def _shards(builder, name: str) -> list[str]:
    """The files of a split."""
    return [str(path) for path in builder.info.splits[name].filepaths]


def _offsets(shards: Sequence[str], lengths: Sequence[int], title: str) -> list[list[int]]:
    """The offsets of the records of each file. Of ImageNet's million they take minutes where the disk is slow.

    Raises:
        UserError: a file is missing, or damaged.
        StoppedError: by a signal.
    """
    missing = [path for path in shards if not os.path.exists(path)]
    if missing:
        more = f" and {len(missing) - 1:,} more of {len(shards):,} files" if len(missing) > 1 else ""
        raise UserError(
            "A prepared set has the files that dataset_info.json counts, on a disk of this machine. Received: "
            f"{missing[0]}{more}, which {'are' if more else 'is'} missing. Put back what is missing, or prepare the set anew."
        )
    found = []
    with progress(title=title, total=sum(lengths), unit="record") as bar:
        for shard, records in zip(shards, lengths, strict=True):
            found.append(record_offsets(shard, records))
            bar.update(records)
            stop.raise_if_requested()
    return found


def _split(builder, name: str, image_key: str, feature: LabelFeature, classes: tuple[str, ...]) -> Split:
    """A split whose records are read by their offsets; the image is not decoded, nor is another beside it, such as a mask."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    decoders = {key: tfds.decode.SkipDecoding() for key in _image_keys(features)}
    shards = _shards(builder, name)
    offsets = _offsets(shards, builder.info.splits[name].shard_lengths, f"records of {builder.name}, {name}")
    shard_of = np.concatenate([np.full(len(places), shard, np.int32) for shard, places in enumerate(offsets)])
    offset_of = np.concatenate([np.asarray(places, np.int64) for places in offsets])
    statuses = np.array([[one.st_size, one.st_mtime_ns, one.st_ctime_ns] for one in map(os.stat, shards)], np.int64)
    of_shards = stamps(shards, *statuses.T)
    texts = [f"{stamp:x}" for stamp in of_shards.tolist()]
    paths = tf.constant([os.fsencode(path) for path in shards])  # a path need not be UTF-8
    shard_table, offset_table = tf.constant(shard_of), tf.constant(offset_of)

    def example_of(image):
        # the public TFRecordDataset has no offsets; its kernel has
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[tf.gather(paths, tf.gather(shard_table, image))],
            compression_type="",
            buffer_size=tf.constant(0, tf.int64),
            byte_offsets=[tf.gather(offset_table, image)],
        )
        records = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
        return features.deserialize_example(records.take(1).get_single_element(), decoders=decoders)

    def read(image):
        example = example_of(image)
        return example[image_key], feature.label(example)

    return Split(
        size=len(shard_of),
        read=read,
        name=lambda image: f"{os.path.basename(shards[shard_of[image]])}@{offset_of[image]}",
        root=os.path.dirname(shards[0]),
        stamps=stamps([texts[shard] for shard in shard_of], offset_of),
        classes=classes,
    )
