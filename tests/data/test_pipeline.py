"""The images of a step: every image once an epoch, and the same crops for any number of devices and restarts."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import write_images
from tests.data.awkward import tiff, with_exif
from tests.data.crops import cropped
from tests.data.images import ORIENTATIONS, pillow_upright
from tests.data.rectangles import config_of, draw, edges_of, found_box, opened, write_list
from tests.data.scans import scanned_photos
from tests.data.toy_splits import BASIS, noise, pictures
from vgg_keras.config import Data, Evaluation
from vgg_keras.data import augment, decoding, pipeline, rescaling


@pytest.fixture
def album(tmp_path):
    """Two classes of photographs, of which some are stored with_exif, and the same ones upright, by name."""
    upright = {}
    for label, name in enumerate(("cat", "dog")):
        for number, path in enumerate(write_images(tmp_path / "photos" / name, [(40, 60)] * 10, seed=label)):
            orientation = 1 + (number + label) % 8
            path.write_bytes(with_exif(path.read_bytes(), tiff(orientation)))
            stored = decoding.decode(path.read_bytes()).numpy()
            upright[f"{name}/{path.name}"] = pillow_upright(stored, orientation)
    return tmp_path, upright


@pytest.mark.slow
def test_every_dataset_gives_upright_images(album):
    folder, upright = album
    for source in (scanned_photos(folder), scanned_photos(folder)):  # the second time from the cache
        for split in (source.val, source.split("all"), source.train.select([9, 2, 5])):
            truths = [upright[split.name(image)] for image in range(split.size)]
            for image, truth in enumerate(truths):
                assert np.array_equal(pipeline.picture(split, image)[0], truth)
            middles = [rescaling.center_crop(truth, 36, 32, "bilinear") for truth in truths]
            batches = pipeline.validation(split, Data(), 32, 36, 4).as_numpy_iterator()
            shown = np.concatenate([images[weights > 0] for images, _, weights in batches])
            assert np.abs(shown - middles).max() <= 1e-3
            for images, _, ids in pipeline.whole_images(split, Data(), Evaluation(batch=4), 32, 36).as_numpy_iterator():
                for window, image in zip(images, ids, strict=True):
                    assert np.abs(window - rescaling.rescale(truths[image], 36, "bilinear")).max() <= 1e-3


@pytest.mark.slow
def test_training_gives_upright_crops(album):
    """Crops without a flip are those of the stored file, rotated; with the field off they are not."""
    folder, _ = album
    fields = {"flip": False, "color_shift": 0.0, "batch": 16}
    data = Data(scale=(36,), **fields)
    rotated, stored = (
        scanned_photos(folder, **fields).train,
        scanned_photos(folder, exif_orientation=False, **fields).train,
    )
    assert stored.orientations is None and set(rotated.orientations) == set(ORIENTATIONS)
    basis = np.zeros((3, 3), np.float32)
    for split in (rotated, stored):
        ((images, _, _),) = pipeline.training(split, data, 32, basis, 3, 0, 1).as_numpy_iterator()
        expected = [
            pipeline.training_crop(split, image, 3, 0, data, 32, basis)[0].numpy() for image in range(split.size)
        ]
        for image in images:
            assert min(np.abs(image - crop).max() for crop in expected) == 0
    for image in range(stored.size):
        plain, crop = (
            pipeline.training_crop(split, image, 3, 0, data, 32, basis)[0].numpy() for split in (stored, rotated)
        )
        truth = pillow_upright(np.round(plain).astype(np.uint8), int(rotated.orientations[image]))
        assert np.abs(crop - truth).max() <= 0.5


def epochs(split, data, first, last, replicas=1):
    """A dict from step to {label: picture} over the devices, without weight-0 slots, and the weights' sums."""
    elements = list(pipeline.training(split, data, 32, BASIS, 3, first, last, replicas).as_numpy_iterator())
    assert len(elements) == (last - first) * replicas
    steps, sums = {}, {}
    for index, (images, labels, weights) in enumerate(elements):
        step = first + index // replicas
        real = weights > 0
        assert list(real) == sorted(real, reverse=True)  # real images come first
        steps.setdefault(step, {}).update(zip(labels[real].tolist(), images[real], strict=True))
        sums[step] = sums.get(step, 0) + weights.sum()
    return steps, sums


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    split, data = noise(11), Data(batch=4, scale=(32, 40))
    steps, sums = epochs(split, data, 0, 9)
    assert [len(steps[step]) for step in range(9)] == [4, 4, 3] * 3
    orders = [[label for step in range(epoch, epoch + 3) for label in steps[step]] for epoch in (0, 3, 6)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert np.allclose(list(sums.values()), 1, atol=1e-6)  # a weighted sum is the mean over the step's images


def test_crops_differ_from_epoch_to_epoch():
    split, data = noise(4), Data(batch=4, scale=(32, 40))
    steps, _ = epochs(split, data, 0, 2)
    for label in range(4):
        assert np.abs(steps[0][label] - steps[1][label]).max() > 5


@pytest.mark.slow
def test_devices_and_restarts_change_no_crop():
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


@pytest.mark.parametrize(("replicas", "rows"), [(1, 3), (2, 2)])
def test_a_batch_larger_than_the_set_is_the_set(replicas, rows):
    """What fills it up is decoded too: a batch of a billion would never be there."""
    split = noise(3)
    found = {}
    for batch in (3, 10**9):
        training = pipeline.training(split, Data(batch=batch, scale=(32, 40)), 32, BASIS, 0, 0, 2, replicas)
        validation = pipeline.validation(split, Data(scale=(36,)), 32, 36, batch, replicas)
        found[batch] = [list(one.as_numpy_iterator()) for one in (training, validation)]
    for small, large in zip(*found.values(), strict=True):
        assert [images.shape[0] for images, _, _ in large] == [rows] * len(large)
        assert all(all(map(np.array_equal, *pair)) for pair in zip(small, large, strict=True))
    assert len(found[3][0]) == 2 * replicas and len(found[3][1]) == replicas


@pytest.mark.slow
def test_training_crop_is_that_of_the_training_dataset():
    """And the crop of its file by the epoch's draws; graphs round the colour shift in another order."""
    largest = 0.0
    split, data = noise(6), Data(batch=6, scale=(32, 40))
    for epoch, (windows, labels, _) in enumerate(
        pipeline.training(split, data, 32, BASIS, 3, 0, 2).as_numpy_iterator()
    ):
        draws = augment.epoch_draws(pipeline.seed_of(3, tf.constant(epoch, tf.int64)), 6)
        for window, image in zip(windows, labels, strict=True):
            expected, label = pipeline.training_crop(split, int(image), 3, epoch, data, 32, BASIS)
            assert int(label) == image
            encoded, _ = split.read(tf.constant(image, tf.int64))
            for other in (expected, cropped(encoded, draws[image], data, 32, BASIS)):
                largest = max(largest, np.abs(window - other).max())
    print(f"largest difference {largest:.2g} grey levels")
    assert largest <= 1e-4


@pytest.mark.slow
def test_each_image_has_each_place_of_an_epoch_equally_often():
    """Each image has each place equally often."""
    split, data = noise(5), Data(batch=5, scale=(32,), flip=False, color_shift=0.0)
    counts = np.zeros((5, 5))
    for _, labels, _ in pipeline.training(split, data, 32, BASIS, 0, 0, 500).as_numpy_iterator():
        counts[np.arange(5), labels] += 1
    statistic = ((counts - 100) ** 2 / 100).sum()
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


@pytest.mark.slow
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

    for replicas, workers in ((4, 2), (3, 3)):
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


def test_whole_images_of_one_size_share_a_batch(random):
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("in_graph", [False, True])
def test_places_equal_numpys_for_every_size(in_graph):
    """Also in a graph, where `crops` computes them. In a row of 7 crops and 1 spare pixel the fourth lies at a tie."""
    for grid in range(2, 8):
        positions = functools.partial(pipeline.crop_positions, grid=grid)
        positions = tf.function(positions) if in_graph else positions
        for spare in range(300):
            firsts, counts = positions(tf.constant(spare))
            found = np.repeat(firsts.numpy(), counts.numpy())
            assert found.tolist() == np.round(np.linspace(0, spare, grid)).astype(int).tolist()


@pytest.mark.slow
def test_validation_crops_show_their_rectangles(tmp_path):
    rows = []
    for place, (size, box, orientation) in enumerate(
        [((300, 200), (60, 40, 200, 180), 1), ((220, 330), (10, 60, 200, 260), 6), ((150, 90), (0, 0, 150, 90), 1)]
    ):
        draw(tmp_path / f"{place}.jpg", size, box, orientation)
        rows.append((f"{place}.jpg", "ab"[place % 2], "train", *box))
    for row in list(rows):
        (tmp_path / f"v{row[0]}").write_bytes((tmp_path / row[0]).read_bytes())
        rows.append((f"v{row[0]}", row[1], "val", *row[3:]))
    config = config_of(write_list(tmp_path, rows))
    source, _ = opened(config)
    ((images, targets, weights),) = pipeline.validation(source.val, config.data, 64, 80, 4).as_numpy_iterator()
    off = [
        np.abs(found_box(pixels) - np.clip(edges_of(target, 64), 0, 64)).max()
        for pixels, target, weight in zip(images, targets, weights, strict=True)
        if weight
    ]
    print(f"validation: largest difference {max(off):.2f} pixels")
    assert len(off) == 3 and max(off) < 1
