"""Sets of TensorFlow Datasets: every record is read by its place; damaged records and labels are named."""

import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.data.toy_splits import SPLITS, labels
from vgg_keras import stop
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import pipeline
from vgg_keras.data.decoding import decode
from vgg_keras.data.errors import readable_images
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.data.tfds import _Records
from vgg_keras.data.tfds_labels import LabelFeature
from vgg_keras.errors import StoppedError, UserError


@pytest.fixture(scope="module")
def toy_set(tmp_path_factory):
    """A TFDS set of 40 PNG pictures in several shards, prepared as any other: its folder, and the pictures."""
    import tensorflow_datasets as tfds

    pictures = np.random.default_rng(0).integers(0, 256, (40, 24, 20, 3), np.uint8)

    class ToyPictures(tfds.core.GeneratorBasedBuilder):
        """Noise."""

        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="small"),)

        def _info(self):
            features = {
                "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "kind": tfds.features.ClassLabel(names=["noise", "more_noise", "other"]),
                "number": tfds.features.Scalar(np.int64),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._examples(0, 30), "test": self._examples(30, 40)}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, first, last):
            for number in range(first, last):
                yield number, {"picture": pictures[number], "kind": number % 3, "number": number}

    folder = tmp_path_factory.mktemp("tfds")
    tfds.builder("toy_pictures", data_dir=folder).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=4)
    )
    return folder, pictures


def test_a_tfds_set_by_name_reads_every_record_at_random(toy_set):
    folder, pictures = toy_set
    source = open_source(Data(source="toy_pictures/small", data_dir=str(folder)))
    assert source.classes == ("noise", "more_noise", "other")
    assert (source.train.size, source.val.size) == (30, 10)
    assert "validation on its split 'test'" in source.description
    known = {picture.tobytes(): number for number, picture in enumerate(pictures)}
    for split, numbers in ((source.train, range(30)), (source.val, range(30, 40))):
        order = list(reversed(range(split.size)))
        read = tf.data.Dataset.from_tensor_slices(tf.constant(order, tf.int64)).map(split.read, 2)
        found = [(known[decode(encoded).numpy().tobytes()], int(label)) for encoded, label in read]
        assert sorted(number for number, _ in found) == list(numbers)
        assert all(label == number % 3 for number, label in found)
    assert len({source.train.name(image).split("@")[0] for image in range(30)}) == 4  # shards


def test_a_tfds_set_holds_out_of_train_though_it_has_a_test_split(toy_set):
    data = Data(source="toy_pictures/small", data_dir=str(toy_set[0]), validation="held_out", holdout=0.1)
    source = open_source(data)
    assert "10% of 'train' held out, its split 'test' for the test" in source.description
    plain = open_source(Data(source="toy_pictures/small", data_dir=str(toy_set[0])))
    assert source.holds_out and not plain.holds_out
    names = {name: [split.name(i) for i in range(split.size)] for name, split in vars(source).items() if name in SPLITS}
    everything = [plain.train.name(image) for image in range(30)]
    assert names["val"] == everything[9::10] and names["train"] == [n for n in everything if n not in names["val"]]
    assert names["test"] == [plain.val.name(image) for image in range(10)]
    _, _, _, whole = open_test(data, "all")
    assert [whole.name(i) for i in range(40)] == names["test"] + names["val"] + names["train"]
    assert labels(whole)[:10] == labels(plain.val)


def test_a_set_that_cannot_be_downloaded_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"imagenet2012 must be downloaded by hand\. Manual directory .*image-net"):
        open_source(Data(source="imagenet2012", data_dir=str(tmp_path)))


def test_a_set_without_one_image_and_one_label_is_refused(tmp_path):
    import tensorflow_datasets as tfds

    class WordsOnly(tfds.core.GeneratorBasedBuilder):
        """Text."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"text": "word"}

    tfds.builder("words_only", data_dir=tmp_path).download_and_prepare()
    with pytest.raises(UserError, match=r"has one image feature\. Received: 'words_only' with 0: none"):
        open_source(Data(source="words_only", data_dir=str(tmp_path)))


@pytest.fixture(scope="module")
def labelled_twice(tmp_path_factory):
    """A set with a mask beside its pictures and two class labels, as of oxford_iiit_pet; and one with other splits."""
    import tensorflow_datasets as tfds

    picture, images = np.zeros((9, 8, 3), np.uint8), tfds.features.Image(encoding_format="png")
    fine, coarse = tfds.features.ClassLabel(names=["a", "b", "c\u0327"]), tfds.features.ClassLabel(names=["xy", "z"])

    class LabelledTwice(tfds.core.GeneratorBasedBuilder):
        """Black pictures."""

        VERSION = tfds.core.Version("1.0.0")
        SPLITS, MEANT = ("train", "validation", "test"), ("image", "label")

        def _info(self):
            mask = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
            features = {"coarse_label": coarse, "image": images, "label": fine, "mask": mask}
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=self.MEANT)

        def _split_generators(self, manager):
            return {name: self._examples(count) for count, name in enumerate(self.SPLITS, start=3)}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, count):
            for n in range(count):
                yield n, {"image": picture, "mask": picture[..., :1], "label": n % 3, "coarse_label": n % 3 // 2}

    class LabelledAlike(LabelledTwice):
        """Nothing says which of its features are meant."""

        SPLITS, MEANT = ("train",), None

    class LabelledTests(LabelledTwice):
        """As imagenet_v2 and cifar10_1, or a set with a validation split alone."""

        SPLITS = ("test", "validation", "extra")

    folder = tmp_path_factory.mktemp("labelled_twice")
    for name in ("labelled_twice", "labelled_alike", "labelled_tests"):
        tfds.builder(name, data_dir=folder).download_and_prepare()
    return str(folder)


def test_of_several_images_and_labels_those_of_supervised_learning_are_read(labelled_twice):
    source = open_source(Data(source="labelled_twice", data_dir=labelled_twice))
    assert source.classes == ("a", "b", "\u00e7") and sorted(labels(source.train)) == [0, 1, 2]
    assert decode(source.train.read(tf.constant(0, tf.int64))[0]).shape == (9, 8, 3)
    with pytest.raises(UserError, match=r"one image feature\. Received: 'labelled_alike' with 2: image, mask"):
        open_source(Data(source="labelled_alike", data_dir=labelled_twice))


def test_a_set_with_validation_and_test_splits_is_tested_on_its_test_split(labelled_twice):
    data = Data(source="labelled_twice", data_dir=labelled_twice)
    source = open_source(data)
    assert (source.train.size, source.val.size, source.test.size) == (3, 4, 5)
    assert "validation on its split 'validation', its split 'test' for the test" in source.description
    assert [open_test(data, name)[2:][0] for name in (None, "val")] == ["test", "val"]
    assert [open_test(data, name)[3].size for name in (None, "val", "all")] == [5, 4, 12]


def test_an_evaluation_needs_the_files_of_its_own_split_alone(labelled_twice, tmp_path, monkeypatch):
    """ImageNet's validation images are 6 of 150 GB, and its training images a million records to find."""
    shutil.copytree(Path(labelled_twice) / "labelled_twice", tmp_path / "labelled_twice")
    data = Data(source="labelled_twice", data_dir=str(tmp_path))
    (tests,) = tmp_path.rglob("*-test.tfrecord*")
    (trained,) = tmp_path.rglob("*-train.tfrecord*")
    trained.unlink()
    for name, found in ((None, ("test", 5)), ("val", ("val", 4))):
        assert (lambda opened: (opened[2], opened[3].size))(open_test(data, name)) == found
    for function in (open_source, lambda data: open_test(data, "all")):
        with pytest.raises(UserError, match=rf"Received: \S*{trained.name}, which is missing\. Put back"):
            function(data)
    tests.unlink()
    description, _, *found = open_test(data, None)
    assert (found[0], found[1].size) == ("val", 4) and description.endswith("validation on its split 'validation'")
    monkeypatch.setattr(stop, "_requested", True)
    with pytest.raises(StoppedError):
        open_test(data, "val")


def test_a_set_that_is_prepared_elsewhere_is_pointed_out(tmp_path):
    with pytest.raises(UserError, match=r"the folder that holds imagenet2012/5\S+/: --set=data\.data_dir=FOLDER"):
        open_source(Data(source="imagenet2012", data_dir=str(tmp_path)))
    (tmp_path / "imagenet2012" / "5.0.0").mkdir(parents=True)
    (tmp_path / "imagenet2012" / "5.0.0" / "dataset_info.json").touch()
    with pytest.raises(UserError, match=r"/imagenet2012 holds version 5\.0\.0: --data=imagenet2012:5\.0\.0 reads it"):
        open_source(Data(source="imagenet2012", data_dir=str(tmp_path)))
    with pytest.raises(UserError, match=r"^data\.data_dir is a folder of this machine\. Received: gs://bucket/sets"):
        open_source(Data(source="imagenet2012", data_dir="gs://bucket/sets"))


def test_a_stop_ends_the_preparation_of_a_set_and_leaves_nothing_of_it(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class NeverReady(tfds.core.GeneratorBasedBuilder):
        """A stop is requested at its first example."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(3):
                yield number, {"image": np.zeros((8, 8, 3), np.uint8), "label": 0}
                signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(stop, "_requested", False)
    stop.listen()
    try:
        with pytest.raises(StoppedError):
            open_source(Data(source="never_ready", data_dir=str(tmp_path)))
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert not list((tmp_path / "never_ready").iterdir())


def test_the_folder_of_a_prepared_set_is_refused_with_the_sets_name(toy_set):
    (folder,) = Path(toy_set[0]).rglob("1.0.0")
    meant = rf"Did you mean --data=toy_pictures/small:1\.0\.0 --set=data\.data_dir={toy_set[0]}\?"
    for function in (open_source, lambda data: open_test(data, None)):
        with pytest.raises(UserError, match=meant):
            function(Data(source=str(folder)))
    assert open_source(Data(source="toy_pictures/small:1.0.0", data_dir=str(toy_set[0]))).train.size == 30


def test_a_set_without_training_images_can_be_tested_on(labelled_twice):
    data = Data(source="labelled_tests", data_dir=labelled_twice)
    for asked, name, size in ((None, "test", 3), ("test", "test", 3), ("val", "val", 4), ("all", "all", 7)):
        description, classes, found, split = open_test(data, asked)
        assert (found, split.size, len(labels(split))) == (name, size, size) and classes == ("a", "b", "\u00e7")
    assert description.endswith("3 classes, its own 'test' and 'validation'")
    with pytest.raises(UserError, match=r"--split=train of 'labelled_tests' with \['test', 'validation', 'extra'\]"):
        open_test(data, "train")
    with pytest.raises(UserError, match="must have a split 'train'"):
        open_source(data)


@pytest.fixture
def own_set(toy_set, tmp_path):
    """The toy set in a folder of the test's own, and what flips a bit of one of its shards."""
    shutil.copytree(toy_set[0], tmp_path / "tfds")

    def flip(shard, place):
        (path,) = (tmp_path / "tfds").rglob(f"*{shard}")
        content = bytearray(path.read_bytes())
        content[place] ^= 4
        path.write_bytes(content)
        return path

    def opened():
        config = Config(
            data=Data(source="toy_pictures/small", data_dir=str(tmp_path / "tfds"), max_bad_fraction=0.1),
            runtime=Runtime(cache_dir=str(tmp_path / "cache")),
        )
        return without_bad_images(open_source(config.data), config)

    return flip, opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shard", "part"),
    [
        ("train.tfrecord-00001-of-00004", "data"),
        ("train.tfrecord-00001-of-00004", "checksum of the data"),
        ("test.tfrecord-00000-of-00004", "checksum of the length"),
    ],
)
def test_a_damaged_record_is_counted_and_named_and_no_other_is_lost(own_set, shard, part):
    flip, opened = own_set
    whole, bad = opened()
    assert bad == []
    everything = {
        name: [split.name(i) for i in range(split.size)]
        for name, split in vars(whole).items()
        if name in SPLITS and split
    }
    (names,) = [n for n in everything.values() if any(shard in name for name in n)]
    names = [name for name in names if shard in name]
    victim, place = names[0], int(names[0].split("@")[1])  # the first of its shard, so that others follow it
    end = int(names[1].split("@")[1])
    flip(shard, {"data": place + 40, "checksum of the data": end - 2, "checksum of the length": place + 9}[part])
    source, bad = opened()
    assert [Path(image.name).name for image in bad] == [victim] and "corrupted record at" in bad[0].reason
    for name, before in everything.items():
        split = getattr(source, name)
        assert [split.name(i) for i in range(split.size)] == [one for one in before if one != victim]
        for i in range(split.size):
            decode(split.read(tf.constant(i, tf.int64))[0])


@pytest.mark.slow
def test_a_damaged_length_stops_with_shard_and_offset(own_set):
    flip, opened = own_set
    names = [opened()[0].train.name(image) for image in range(30)]
    for victim in (names[1], names[-1]):
        shard, place = victim.split("@")
        for byte in range(8):
            path = flip(shard, int(place) + byte)
            with pytest.raises(UserError, match=rf"{re.escape(victim)}, whose length is damaged"):
                opened()
            flip(shard, int(place) + byte)
    assert path.exists() and opened()[1] == []


@pytest.mark.slow
def test_a_record_that_is_damaged_in_mid_run_stops_it_with_shard_and_offset(own_set):
    flip, opened = own_set
    source, _ = opened()
    victim = source.train.name(17)
    shard, place = victim.split("@")
    flip(shard, int(place) + 40)
    data = Data(batch=5, scale=(32,), color_shift=0.0)
    with pytest.raises(
        UserError, match=rf"can no longer be read: .*{re.escape(victim)}: corrupted record at {int(place) + 12}\."
    ):
        with readable_images(source.split("all")):
            list(pipeline.training(source.train, data, 32, np.zeros((3, 3), np.float32), 0, 0, 6))


@pytest.fixture
def labelled(tmp_path):
    """Prepares a TFDS set whose records have these labels, of three classes, and opens and scans it."""
    import tensorflow_datasets as tfds

    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)

    def prepare(train, test=(), **fields):
        with tfds.core.registered.skip_registration():  # of one name there is one class in a process

            class Labelled(tfds.core.GeneratorBasedBuilder):
                """Noise."""

                VERSION = tfds.core.Version("1.0.0")

                def _info(self):
                    features = {
                        "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
                        "label": tfds.features.ClassLabel(num_classes=3),
                    }
                    return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

                def _split_generators(self, manager):
                    splits = {"train": self._examples(train)}
                    return {**splits, "test": self._examples(test)} if test else splits

                def _generate_examples(self):
                    raise NotImplementedError

                def _examples(self, labels):
                    for number, label in enumerate(labels):
                        yield number, {"image": pixels, "label": label % 3}

        folder = tmp_path / f"{len(train)}-{len(test)}"
        if not folder.exists():
            builder = Labelled(data_dir=folder)
            builder.download_and_prepare()
            for name, labels in (("train", train), ("test", test)):
                for path in builder.data_path.glob(f"*-{name}.tfrecord*"):
                    _relabel(path, iter(labels))
        config = Config(
            data=Data(source="labelled", data_dir=str(folder), max_bad_fraction=0.5, **fields),
            runtime=Runtime(cache_dir=str(tmp_path / "cache")),
        )
        return without_bad_images(open_source(config.data), config)

    return prepare


def _relabel(path, labels):
    """Writes the records anew with these labels, whatever the set's own encoder thinks of them."""
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            example = tf.train.Example.FromString(record)
            example.features.feature["label"].int64_list.value[:] = [next(labels)]
            writer.write(example.SerializeToString())


@pytest.mark.slow
def test_a_record_with_a_label_that_is_no_class_is_named_and_left_out(labelled):
    wrong = (-1, -2, 3, 1000, 2**31, 2**32 + 1, -(2**40))
    train = [0, 1, -1, 2, 0, -2, 3, 2, 0, 1000, 1, 2**31, 2, 2**32 + 1, -(2**40), 1]
    shown = [min(max(label, -(2**31)), 2**31 - 1) for label in wrong]
    for _ in range(2):  # scanned, and from the cache
        source, bad = labelled(train, validation="held_out", holdout=0.5)
        assert all(re.fullmatch(r".*labelled-train\.tfrecord-00000-of-00001@\d+", record.name) for record in bad)
        reasons = [f"its label is {label}, where there are 3 classes from 0 on" for label in shown]
        assert sorted(record.reason for record in bad) == sorted(reasons)
        kept = source.train.labels.tolist() + source.val.labels.tolist()
        assert sorted(kept) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert labels(source.train) + labels(source.val) == kept


@pytest.mark.slow
def test_a_split_without_labels_is_refused_and_one_with_a_few_is_not_taken_for_one(labelled):
    source, bad = labelled([0, 1, 2] * 3, [-1] + [0, 1, 2] * 3)
    assert source.val.size == 9 and len(bad) == 1 and "-test.tfrecord" in bad[0].name
    with pytest.raises(UserError, match=r"A split must have labels\. Received: labelled whose train images have none"):
        labelled([-1] * 6, [0, 1, 2])


def test_two_classes_that_are_one_in_unicodes_composed_form_are_refused():
    label = LabelFeature(("caf\u00e9", "tea", "cafe\u0301"), "label")
    with pytest.raises(
        UserError, match="'drinks' with two of 'caf\u00e9', whose names are the same letters in two Unicode forms"
    ):
        _Records("drinks", None, "image", label).classes  # noqa: B018
