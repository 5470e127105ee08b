"""Multi-label sets of TensorFlow Datasets, laid out as VOC-2007 and as COCO, and their labels record by record."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras import stop
from vgg_keras.config import Config, Data, Runtime
from vgg_keras.data import tfds_labels
from vgg_keras.data.scan import without_bad_images
from vgg_keras.data.sources import open_source, open_test
from vgg_keras.data.tfrecords import record_offsets
from vgg_keras.errors import StoppedError, UserError

NAMES = ["cat", "dog", "bird", "car"]
# The objects of each image: class, and whether it is difficult.
OBJECTS = [[(image % 4, False), ((image + 1) % 4, image % 3 == 0)] if image % 5 else [] for image in range(20)]
COUNTS = {"train": range(10), "validation": range(10, 15), "test": range(15, 20)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import tensorflow_datasets as tfds

    pictures = np.random.default_rng(0).integers(0, 256, (20, 24, 20, 3), np.uint8)
    of_class = tfds.features.ClassLabel(names=NAMES)
    objects = tfds.features.Sequence({"label": of_class, "bbox": tfds.features.BBoxFeature(), "is_difficult": np.bool_})

    class Small(tfds.core.GeneratorBasedBuilder):
        """The features of VOC, or only those of COCO."""

        VERSION = tfds.core.Version("1.0.0")
        SEQUENCES = ("labels", "labels_no_difficult")

        def _info(self):
            features = {"image": tfds.features.Image(encoding_format="png"), "objects": objects}
            features |= {name: tfds.features.Sequence(of_class) for name in self.SEQUENCES}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {name: self._examples(images) for name, images in COUNTS.items()}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, images):
            for image in images:
                found = OBJECTS[image]
                box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
                boxes = [{"label": label, "bbox": box, "is_difficult": hard} for label, hard in found]
                labels = {
                    "labels": sorted({label for label, _ in found}),
                    "labels_no_difficult": sorted({label for label, hard in found if not hard}),
                }
                yield (
                    image,
                    {
                        "image": pictures[image],
                        "objects": boxes,
                        **{name: labels[name] for name in self.SEQUENCES},
                    },
                )

    class SmallVoc(Small):
        """As VOC-2007."""

    class SmallCoco(Small):
        """As COCO."""

        SEQUENCES = ()

    class SmallNoise(Small):
        """Two sequences of which nobody knows which one is meant."""

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(encoding_format="png"),
                        "seen": tfds.features.Sequence(of_class),
                        "heard": tfds.features.Sequence(of_class),
                    }
                ),
            )

        def _examples(self, images):
            for image in images:
                yield image, {"image": pictures[image], "seen": [0], "heard": [1]}

    root = tmp_path_factory.mktemp("tfds")
    for name in ("small_voc", "small_coco", "small_noise"):
        tfds.builder(name, data_dir=root).download_and_prepare()
    return root, {picture.tobytes(): image for image, picture in enumerate(pictures)}


def expected(image, difficult):
    """1 for an object that counts, -1 for one that is difficult, if the set says so."""
    row = np.zeros(len(NAMES), np.int8)
    for label, hard in sorted(OBJECTS[image], key=lambda one: not one[1]):
        row[label] = -1 if hard and difficult else 1
    return row.tolist()


@pytest.mark.parametrize(("name", "difficult"), [("small_voc", True), ("small_coco", False)])
def test_every_record_has_the_classes_of_its_objects(folder, name, difficult):
    root, known = folder
    source = open_source(Data(source=name, data_dir=str(root)))
    assert source.classes == tuple(NAMES) and source.multi_label
    assert "validation on its split 'validation', its split 'test' for the test" in source.description
    for split, images in (
        (source.train, COUNTS["train"]),
        (source.val, COUNTS["validation"]),
        (source.test, COUNTS["test"]),
    ):
        read = [split.read(tf.constant(image, tf.int64)) for image in range(split.size)]
        numbers = [known[tf.io.decode_png(encoded).numpy().tobytes()] for encoded, _ in read]
        assert sorted(numbers) == list(images)
        for image, (number, (_, label)) in enumerate(zip(numbers, read, strict=True)):
            assert label.numpy().tolist() == split.labels[image].tolist() == expected(number, difficult)
    assert any(-1 in row for row in source.train.labels.tolist()) == difficult
    _, _, _, whole = open_test(Data(source=name, data_dir=str(root)), "all")
    assert whole.labels.tolist() == np.concatenate([s.labels for s in (source.test, source.val, source.train)]).tolist()


@pytest.mark.slow
def test_the_scan_keeps_the_labels_and_names_a_class_that_no_image_has(folder, tmp_path):
    source = open_source(Data(source="small_voc", data_dir=str(folder[0])))
    config = Config(runtime=Runtime(cache_dir=str(tmp_path)))
    scanned, bad = without_bad_images(source, config)
    assert bad == [] and np.array_equal(scanned.train.labels, source.train.labels)
    again, _ = without_bad_images(source, config)  # from the cache
    assert np.array_equal(again.val.labels, source.val.labels)
    missing = np.flatnonzero((source.val.labels > 0).sum(axis=0) == 0)
    noted = [note for note in scanned.val.notes if "no readable val image" in note]
    assert (
        [f"'{NAMES[place]}'" in noted[0] for place in missing] == [True] * len(missing) if len(missing) else not noted
    )


def test_an_evaluation_reads_the_labels_of_its_split_alone_and_a_stop_ends_the_reading(folder, monkeypatch):
    data, titles = Data(source="small_voc", data_dir=str(folder[0])), []
    shown = tfds_labels.progress
    monkeypatch.setattr(tfds_labels, "progress", lambda **words: titles.append(words) or shown(**words))
    for asked, name, images in (("val", "val", 5), (None, "test", 5), ("train", "train", 10)):
        _, _, found, split = open_test(data, asked)
        assert (found, split.size, len(split.labels)) == (name, images, images)
        assert (
            titles.pop() == {"title": f"labels of small_voc, {name}", "total": images, "unit": "record"} and not titles
        )
    monkeypatch.setattr(stop, "_requested", True)
    with pytest.raises(StoppedError):
        open_source(data)


@pytest.mark.slow
def test_a_damaged_record_has_no_labels_and_is_named_by_the_scan(folder, tmp_path):
    shutil.copytree(folder[0] / "small_voc", tmp_path / "small_voc")
    (shard,) = (tmp_path / "small_voc").rglob("*train.tfrecord*")
    place, content = record_offsets(str(shard))[3], bytearray(shard.read_bytes())
    content[place + 40] ^= 1
    shard.write_bytes(bytes(content))
    source = open_source(Data(source="small_voc", data_dir=str(tmp_path)))
    sound = open_source(Data(source="small_voc", data_dir=str(folder[0]))).train.labels
    assert source.train.labels[3].tolist() == [0, 0, 0, 0]
    assert np.array_equal(np.delete(source.train.labels, 3, axis=0), np.delete(sound, 3, axis=0))
    config = Config(data=Data(max_bad_fraction=0.5), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    scanned, bad = without_bad_images(source, config)
    assert len(bad) == 1 and f"@{place}" in bad[0].name
    assert np.array_equal(scanned.train.labels, np.delete(sound, 3, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key"), [("small_voc", "labels"), ("small_coco", "objects/label")])
def test_a_record_with_a_label_that_is_no_class_is_named_by_the_scan(folder, tmp_path, name, key):
    shutil.copytree(folder[0] / name, tmp_path / name)
    (shard,) = (tmp_path / name).rglob("*train.tfrecord*")
    records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
    wrong = [place for place, record in enumerate(records) if record.features.feature[key].int64_list.value][:3]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for place, record in enumerate(records):
            if place in wrong:  # as of a set whose list of names was made shorter
                record.features.feature[key].int64_list.value[0] = (4, 2**40, -2)[wrong.index(place)]
            writer.write(record.SerializeToString())
    places = record_offsets(str(shard))
    config = Config(data=Data(max_bad_fraction=0.5), runtime=Runtime(cache_dir=str(tmp_path / "cache")))
    sound = open_source(Data(source=name, data_dir=str(folder[0]))).train.labels
    for _ in range(2):  # scanned, and from the cache
        scanned, bad = without_bad_images(open_source(Data(source=name, data_dir=str(tmp_path))), config)
        assert {image.reason for image in bad} == {"one of its labels is no class, where there are 4 classes from 0 on"}
        assert {image.name.rpartition("@")[2] for image in bad} == {str(places[place]) for place in wrong}
        assert np.array_equal(scanned.train.labels, np.delete(sound, wrong, axis=0))


def test_two_sequences_without_a_known_meaning_are_refused(folder):
    with pytest.raises(UserError, match=r"one class label feature\. Received: 'small_noise' with 2: seen, heard"):
        open_source(Data(source="small_noise", data_dir=str(folder[0])))
