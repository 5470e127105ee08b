"""What stands in which step: every image once an epoch, and the same pictures for any number of devices and restarts."""

import dataclasses
import io
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.conftest import write_images
from tests.data.crops import cropped
from vgg_keras.config import Data, Evaluation
from vgg_keras.data import augment, pipeline, scan
from vgg_keras.data.errors import readable_images
from vgg_keras.data.sources import open_test
from vgg_keras.data.splits import Split
from vgg_keras.errors import UserError
from vgg_keras.paths import printable

BASIS = np.random.default_rng(1).normal(0, 10, (3, 3)).astype(np.float32)


def noise(images, seed=0):
    """A split of random pictures of several sizes, PNG and JPEG in turn, whose label is their number."""
    random = np.random.default_rng(seed)
    sizes = [(40 + 5 * (image % 3), 36 + 40 * (image % 4)) for image in range(images)]
    pictures = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    encode = tf.io.encode_png, tf.io.encode_jpeg
    encoded = tf.constant([encode[image % 2](picture).numpy() for image, picture in enumerate(pictures)])
    return Split(
        images,
        lambda image: (tf.gather(encoded, image), tf.cast(image, tf.int32)),
        lambda image: f"p{image}",
        sizes=np.array(sizes, np.int32),
        jpegs=np.arange(images) % 2 == 1,
    )


def epochs(split, data, first, last, replicas=1):
    """A dict from step to {label: picture} over the devices, weight-0 slots left out, and the weights' sums."""
    elements = list(pipeline.training(split, data, 32, BASIS, 3, first, last, replicas).as_numpy_iterator())
    assert len(elements) == (last - first) * replicas
    steps, sums = {}, {}
    for index, (images, labels, weights) in enumerate(elements):
        step = first + index // replicas
        real = weights > 0
        assert list(real) == sorted(real, reverse=True)  # real images stand first
        steps.setdefault(step, {}).update(zip(labels[real].tolist(), images[real], strict=True))
        sums[step] = sums.get(step, 0) + weights.sum()
    return steps, sums


def test_an_epoch_takes_every_image_once_in_an_order_of_its_own():
    split, data = noise(11), Data(batch=4, scale=(32, 40))
    steps, sums = epochs(split, data, 0, 9)
    assert [len(steps[step]) for step in range(9)] == [4, 4, 3] * 3
    orders = [[label for step in range(epoch, epoch + 3) for label in steps[step]] for epoch in (0, 3, 6)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert np.allclose(list(sums.values()), 1, atol=1e-6)  # a weighted sum is the mean over the step's images


def test_pictures_differ_from_epoch_to_epoch():
    split, data = noise(4), Data(batch=4, scale=(32, 40))
    steps, _ = epochs(split, data, 0, 2)
    for label in range(4):
        assert np.abs(steps[0][label] - steps[1][label]).max() > 5


def test_devices_and_restarts_change_no_picture():
    split, data = noise(11), Data(batch=4, scale=(32, 40))
    steps, _ = epochs(split, data, 0, 9)
    for first, replicas in ((0, 2), (0, 3), (4, 1), (5, 2)):
        others, sums = epochs(split, data, first, 9, replicas)
        assert np.allclose(list(sums.values()), 1, atol=1e-6)
        for step in range(first, 9):
            assert others[step].keys() == steps[step].keys()
            for label, picture in others[step].items():
                assert np.array_equal(picture, steps[step][label])


def test_a_partial_batch_spreads_over_the_devices():
    elements = list(pipeline.training(noise(6), Data(batch=4, scale=(32,)), 32, BASIS, 0, 1, 2, 2).as_numpy_iterator())
    assert [int((weights > 0).sum()) for _, _, weights in elements] == [1, 1]


def test_what_is_seen_of_an_image_is_what_the_epochs_hold():
    """And the crop that its file alone makes of the epoch's draws; graphs round the colour shift in another order."""
    largest = 0.0
    split, data = noise(6), Data(batch=6, scale=(32, 40))
    for epoch, (windows, labels, _) in enumerate(
        pipeline.training(split, data, 32, BASIS, 3, 0, 2).as_numpy_iterator()
    ):
        draws = augment.epoch_draws(pipeline.seed_of(3, tf.constant(epoch, tf.int64)), 6)
        for window, image in zip(windows, labels, strict=True):
            expected, label = pipeline.seen(split, int(image), 3, epoch, data, 32, BASIS)
            assert int(label) == image
            encoded, _ = split.read(tf.constant(image, tf.int64))
            for other in (expected, cropped(encoded, draws[image], data, 32, BASIS)):
                largest = max(largest, np.abs(window - other).max())
    print(f"largest difference {largest:.2g} grey levels")
    assert largest <= 1e-4


@pytest.mark.parametrize("image", [2, 3])  # a PNG, a JPEG
@pytest.mark.parametrize("exact", [False, True])
def test_an_image_of_another_size_than_the_scan_found_stops_a_run(image, exact):
    """Its square would lie elsewhere, or beyond it, where there is black."""
    split, data = noise(6), Data(batch=6, scale=(32, 40), jpeg_decoding="full" if exact else "window")
    split.sizes[image] += (1, 2)
    height, width = split.sizes[image]
    with pytest.raises(
        UserError, match=f"p{image}, which has {width - 2} x {height - 1} pixels and had {width} x {height}"
    ):
        with readable_images(split.followed_by(noise(3))):
            list(pipeline.training(split, data, 32, BASIS, 3, 0, 1))


FAULTS = {
    "a folder": lambda path, size: path.mkdir(),
    "a FIFO": lambda path, size: os.mkfifo(path),
    "a device": lambda path, size: path.symlink_to("/dev/zero"),
    "Too many levels of symbolic links": lambda path, size: path.symlink_to(path.name),
    "No such file": lambda path, size: None,
    "an empty file": lambda path, size: path.touch(),
    "2,147,483,648 bytes": lambda path, size: path.touch() or os.truncate(path, 2**31),
    "Invalid JPEG data|Unknown image file": lambda path, size: path.write_bytes(b"x" * size),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_takes_the_place_of_an_image_stops_what_reads_it_with_a_line(tmp_path, fault):
    name = os.fsdecode(b"caf\xe9.jpg")
    photos = tmp_path / "photos"
    for folder in ("cat", "dog"):
        write_images(photos / folder, [(40, 50)] * 5)
    victim = photos / "cat" / name
    shutil.copy(photos / "cat" / "000.jpg", tmp_path / "copy")
    shutil.copy(tmp_path / "copy", victim)
    data = Data(source=str(photos), batch=4, scale=(32,), color_shift=0.0)
    whole = scan.inspected(open_test(data, "all")[3], data)[0]
    image = [path.endswith(printable(name)) for path in map(whole.path, range(whole.size))].index(True)
    victim.unlink()
    FAULTS[fault](victim, (tmp_path / "copy").stat().st_size)
    rules = Evaluation(batch=4)
    readers = [
        lambda: pipeline.training(whole, data, 32, BASIS, 0, 0, 3),
        lambda: pipeline.validation(whole, data, 32, 32, 4),
        lambda: pipeline.whole_images(whole, data, rules, 32, 32),
        lambda: pipeline.crops(whole, data, rules, 32, 32, 2),
    ]
    for read in readers if "FIFO" in fault else readers[:1]:
        with pytest.raises(UserError, match=rf"must stay as they were .*(?:{fault})") as error:
            with readable_images(whole):
                list(read())
        assert "\n" not in str(error.value)
        assert printable(name) in str(error.value)
    with pytest.raises(UserError, match=rf"{re.escape(printable(name))}, which can no longer be read: .*(?:{fault})"):
        pipeline.picture(whole, image)
    if "JPEG" not in fault:
        with pytest.raises(UserError, match=fault):
            pipeline.encoded(whole, image)


SCRIPT = """
import sys, time
import numpy as np, tensorflow as tf
from vgg_keras.config import Data
from vgg_keras.data import folders, image_files, pipeline, scan

if sys.argv[2] == "mirrored":
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
data = Data(source=sys.argv[1], batch=4, scale=(32,))
split, _ = scan.inspected(folders.open_test(data, "all")[3], data)
image_files._no_image = lambda mode, size: time.sleep(0.05) or ""  # so that some calls are going on at the end


def batches(replicas):
    return pipeline.training(split, data, 32, np.eye(3, dtype=np.float32), 0, 0, 100, replicas)


if sys.argv[2] == "mirrored":
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    iterator = iter(strategy.distribute_datasets_from_function(lambda _: batches(2)))
else:
    iterator = iter(batches(1))
next(iterator)
raise ValueError("of the script")
"""


@pytest.mark.parametrize("devices", ["one", "mirrored"])
def test_a_script_ends_while_images_are_read(tmp_path, devices):
    for folder in ("cat", "dog"):
        write_images(tmp_path / folder, [(40, 50)] * 20)
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), devices]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 1 and ended.stderr.rstrip().endswith("ValueError: of the script"), ended.stderr


@pytest.mark.parametrize(
    ("error", "of_input"),
    [
        (
            tf.errors.UnknownError(None, None, "a.jpg; Input/output error [[{{node ReadFile}}]] [Op:IteratorGetNext]"),
            True,
        ),
        (tf.errors.ResourceExhaustedError(None, None, "a.jpg; Too many open files [Op:IteratorGetNext]"), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating [Op:IteratorGetNext]"), False),
        (tf.errors.InvalidArgumentError(None, None, "shapes differ [Op:__inference_step]"), False),
        (tf.errors.UnavailableError(None, None, "Collective ops is aborted by: a worker is gone"), False),
    ],
)
def test_an_error_of_the_disk_becomes_a_line_and_one_of_a_step_stays_itself(error, of_input):
    with pytest.raises(UserError if of_input else type(error)):
        with readable_images():
            raise error


def test_the_order_is_even():
    """Each image stands at each place of an epoch equally often."""
    split, data = noise(5), Data(batch=5, scale=(32,), flip=False, color_shift=0.0)
    counts = np.zeros((5, 5))
    for _, labels, _ in pipeline.training(split, data, 32, BASIS, 0, 0, 2000).as_numpy_iterator():
        counts[np.arange(5), labels] += 1
    statistic = ((counts - 400) ** 2 / 400).sum()
    print(f"chi-square of places {statistic:.1f}, 16 degrees of freedom")
    assert statistic < 39.3  # one in a thousand


def test_validation_takes_every_image_once_in_order():
    split, data = noise(11), Data(scale=(36,))
    for replicas in (1, 2):
        batches = list(pipeline.validation(split, data, 32, 36, 4, replicas).as_numpy_iterator())
        assert len(batches) % replicas == 0
        labels = np.concatenate([labels[weights > 0] for _, labels, weights in batches])
        assert labels.tolist() == list(range(11))
        assert all(images.shape == (4, 32, 32, 3) for images, _, _ in batches)


def test_workers_share_the_elements_of_their_devices():
    """Worker after worker they are those of one process, and no worker reads an image of another's."""
    split, data = noise(11), Data(batch=4, scale=(32, 40))

    def elements(replicas, worker=0, workers=1):
        read = []

        def note(image):
            read.append(int(image))
            return image

        def noted(image):
            return split.read(tf.ensure_shape(tf.py_function(note, [image], tf.int64), []))

        noting = dataclasses.replace(split, read=noted)
        training = pipeline.training(noting, data, 32, BASIS, 3, 1, 9, replicas, worker, workers)
        validation = pipeline.validation(noting, data, 32, 36, 2, replicas, worker, workers)
        return [list(dataset.as_numpy_iterator()) for dataset in (training, validation)], read

    for replicas, workers in ((2, 2), (4, 2), (3, 3)):
        whole, _ = elements(replicas)
        shares = [elements(replicas, worker, workers) for worker in range(workers)]
        local = replicas // workers
        for kind in range(2):
            for turn in range(len(whole[kind]) // replicas):
                parts = [part for share, _ in shares for part in share[kind][turn * local : (turn + 1) * local]]
                together = whole[kind][turn * replicas : (turn + 1) * replicas]
                for part, expected in zip(parts, together, strict=True):
                    assert all(np.array_equal(one, other) for one, other in zip(part, expected, strict=True))
        for share, read in shares:
            assert len(read) == sum(len(weights) for kind in share for _, _, weights in kind)


def pictures(random, sizes):
    encoded = tf.constant([tf.io.encode_png(random.integers(0, 256, (*size, 3), np.uint8)).numpy() for size in sizes])
    return Split(
        len(sizes), lambda image: (tf.gather(encoded, image), tf.cast(image, tf.int32)), lambda image: f"p{image}"
    )


def test_whole_images_of_one_size_stand_together(random):
    sizes = [(50, 40), (40, 40), (50, 40), (40, 90), (40, 40), (50, 40)]
    split, seen = pictures(random, sizes), {}
    for images, labels, ids in pipeline.whole_images(
        split, Data(), Evaluation(batch=2, flip=False), 50, 40
    ).as_numpy_iterator():
        assert len(images) <= 2 and np.array_equal(labels, ids)
        seen.update({int(number): (len(images), images.shape[1:3]) for number in ids})
    assert {number: size for number, (_, size) in seen.items()} == dict(enumerate(sizes))
    assert sorted(count for count, _ in seen.values()) == [1, 1, 2, 2, 2, 2]
    # as many pixels in a batch as in so many crops, or a single image
    for images, _, _ in pipeline.whole_images(split, Data(), Evaluation(batch=6), 32, 40).as_numpy_iterator():
        assert len(images) == 1 or 2 * images[..., 0].size <= 6 * 32**2


def test_crops_lie_on_the_papers_grid(random):
    """25 crops spread evenly, corner to corner; places that coincide come once and count as often."""
    for size, side, grid in (
        ((50, 70), 48, 5),
        ((40, 40), 40, 5),
        ((40, 40), 32, 5),
        ((60, 33), 32, 3),
        ((41, 64), 37, 1),
    ):
        split, rules = pictures(random, [size]), Evaluation(batch=4)
        whole = pipeline.rescale(pipeline.decode(split.read(tf.constant(0, tf.int64))[0]), side, "bilinear").numpy()
        expected = {}
        for top in np.linspace(0, whole.shape[0] - 32, grid) if grid > 1 else [(whole.shape[0] - 32) // 2]:
            for left in np.linspace(0, whole.shape[1] - 32, grid) if grid > 1 else [(whole.shape[1] - 32) // 2]:
                place = int(np.round(top)), int(np.round(left))
                expected[place] = expected.get(place, 0) + 1
        crops, counts = [], []
        for batch, _, ids, numbers in pipeline.crops(split, Data(), rules, 32, side, grid).as_numpy_iterator():
            assert len(batch) <= 4 and not ids.any()
            crops += list(batch)
            counts += numbers.tolist()
        assert sum(counts) == grid**2
        assert counts == list(expected.values())
        for (top, left), crop in zip(expected, crops, strict=True):
            assert np.array_equal(crop, whole[top : top + 32, left : left + 32])


def test_places_equal_numpys_for_every_size():
    for spare in range(300):
        for grid in range(2, 8):
            firsts, counts = pipeline.places(tf.constant(spare), grid)
            places = np.repeat(firsts.numpy(), counts.numpy())
            assert places.tolist() == np.round(np.linspace(0, spare, grid)).astype(int).tolist()


def test_a_strip_that_has_more_pixels_at_q_than_32_bits_count_is_named():
    file = io.BytesIO()
    Image.fromarray(np.zeros((1, 10_000_000, 3), np.uint8)).save(
        file, "BMP"
    )  # a PNG of TensorFlow's has a million at most
    strip = tf.constant(file.getvalue())
    split = Split(1, lambda image: (strip, tf.constant(0)), str)
    with pytest.raises(UserError, match="256 x 2560000000 pixels then"):
        with readable_images(split):
            list(pipeline.whole_images(split, Data(), Evaluation(), 224, 256))


def test_an_image_past_the_limit_of_pixels_is_named(random):
    split, rules = pictures(random, [(40, 40), (10, 200)]), Evaluation(max_pixels=40 * 700)
    with pytest.raises(UserError, match=r"Received: p1, 40 x 800 pixels then\. Raise the limit"):
        with readable_images(split):
            list(pipeline.whole_images(split, Data(), rules, 32, 40))
