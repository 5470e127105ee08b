"""What a net of boxes is trained on: a coloured rectangle is found in the crop by a NumPy loop where its target says."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.data.images import ORIENTATIONS
from tests.data.rectangles import config_of, draw, edges_of, found_box, opened, write_list
from vgg_keras.config import Data
from vgg_keras.data import pipeline
from vgg_keras.data.augment import draw_augmentations, epoch_draws
from vgg_keras.data.box_targets import stored_window, trained_boxes
from vgg_keras.data.boxes import Boxes
from vgg_keras.data.splits import Split


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    """A list of rectangles in sixteen files: JPEGs of each orientation and PNGs, of many sizes."""
    folder, random, rows = tmp_path_factory.mktemp("rectangles"), np.random.default_rng(0), []
    for place in range(16):
        width, height = random.integers(100, 420, 2)
        left, top = random.integers(0, width * 0.5), random.integers(0, height * 0.5)
        box = left, top, random.integers(left + width * 0.3, width + 1), random.integers(top + height * 0.3, height + 1)
        name = f"{place:02}.{'png' if place % 4 == 3 else 'jpg'}"
        draw(
            folder / name,
            (int(width), int(height)),
            map(int, box),
            1 if name.endswith("png") else ORIENTATIONS[place // 2],
        )
        rows.append((name, "ab"[place % 2], "train", *box))
    draw(folder / "val.png", (300, 200), (60, 40, 200, 180))
    rows += [("val.png", "a", "val", 60, 40, 200, 180)]
    return write_list(folder, rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        ("data.jpeg_decoding=window",),
        ("data.jpeg_decoding=full", "data.scale=70,180"),
        ("data.jpeg_decoding=window", "data.scale=70,180", "data.visible_box=1"),
        ("data.interpolation=bicubic", "data.flip=false", "data.visible_box=0"),
        ("data.jpeg_decoding=full", "data.cut_boxes=clip"),
        ("data.pad=6",),
    ],
    ids=" ".join,
)
def test_a_crop_shows_its_rectangle_where_its_target_says(rectangles, changes):
    config = config_of(rectangles, *changes)
    source, bad = opened(config)
    assert not bad and source.train.size == 16
    crop, off, cuts = 64, [], 0
    batches = pipeline.training(source.train, config.data, crop, np.zeros((3, 3), np.float32), 3, 0, 8)  # four epochs
    for images, targets, _ in batches.as_numpy_iterator():
        for pixels, target in zip(images, targets, strict=True):
            found = found_box(pixels)
            edges = edges_of(target, crop)
            cuts += edges.min() < -1 or edges.max() > crop + 1
            if found is None:  # nothing is seen: of width or height less than a pixel is inside
                visible = np.minimum(edges[2:], crop) - np.maximum(edges[:2], 0)
                assert config.data.visible_box < 0.5 and visible.min() < 1
                continue
            off.append(np.abs(found - np.clip(edges, 0, crop)).max())
            size, seen = edges[2:] - edges[:2], np.clip(edges[2:], 0, crop) - np.clip(edges[:2], 0, crop)
            if config.data.cut_boxes == "whole":
                assert (seen >= np.minimum(config.data.visible_box * size, crop) - 1.5).all(), "too little is seen"
    print(
        f"{' '.join(changes)}: largest difference {max(off):.2f}, mean {np.mean(off):.2f} pixels, {cuts} boxes are cut"
    )
    assert max(off) < 1.3 and np.mean(off) < 0.5 and len(off) > 40
    if config.data.cut_boxes == "clip":
        assert not cuts
    elif config.data.visible_box < 1:
        assert cuts


@pytest.mark.slow
@pytest.mark.parametrize("flip", ["true", "false"])
def test_a_box_is_mirrored_where_its_crop_is(tmp_path, flip):
    """A picture as wide as the crop: the box's centre is at 35 % of it, or at 65 % of the mirror image."""
    for name in "abc":
        draw(tmp_path / f"{name}.png", (100, 160), (10, 10, 60, 70))
    rows = [
        (f"{name}.png", "xyx"[place], ("train", "train", "val")[place], 10, 10, 60, 70)
        for place, name in enumerate("abc")
    ]
    config = config_of(write_list(tmp_path, rows), f"data.flip={flip}", "data.visible_box=0", scale=64)
    source, _ = opened(config)
    basis, centres = np.zeros((3, 3), np.float32), set()
    for epoch in range(12):
        _, target = pipeline.training_crop(source.train, 0, 0, epoch, config.data, 64, basis)
        centres.add(round(float(target[1]), 3))
    assert centres == ({0.35, 0.65} if flip == "true" else {0.35})


@pytest.mark.slow
def test_a_crop_alone_is_that_of_the_batch(rectangles):
    config, basis = config_of(rectangles), np.zeros((3, 3), np.float32)
    source, _ = opened(config)
    rows = next(pipeline.training(source.train, config.data, 64, basis, 3, 1, 2).as_numpy_iterator())[1]
    alone = pipeline.training_crop(source.train, 5, 3, 0, config.data, 64, basis)[1].numpy()
    first = next(pipeline.training(source.train, config.data, 64, basis, 3, 0, 1).as_numpy_iterator())[1]
    assert any((row == alone).all() for row in np.concatenate([first, rows]))


def split_of(*boxes):
    """A split of images of 40 x 30 with these boxes each."""
    lists = [np.array(one, np.float64).reshape(-1, 4) for one in boxes]
    read = lambda image: (tf.constant(""), tf.constant(0))  # noqa: E731, never called
    sizes = np.array([[40, 30]] * len(boxes), np.int32)
    return Split(len(boxes), read, str, sizes=sizes, boxes=Boxes.of_lists(lists, [0] * len(boxes)))


def test_each_box_of_an_image_is_drawn_as_often():
    """Over 300 epochs a share of 1 in 3 is met within five standard deviations, 0.136."""
    three, one = [(0, 0, 10, 10), (5, 5, 20, 20), (1, 2, 3, 4)], [(7, 7, 9, 9)]
    drawn = trained_boxes(split_of(three, one), Data(several_boxes="random")).of_epoch
    epochs = np.stack([drawn(tf.constant([1, epoch])).numpy() for epoch in range(300)])
    shares = [np.mean((epochs[:, 0] == np.float32(box)).all(axis=1)) for box in three]
    print(f"shares of three boxes: {shares}")
    assert sum(shares) == pytest.approx(1) and max(np.abs(np.array(shares) - 1 / 3)) < 0.136
    assert (epochs[:, 1] == np.float32(one[0])).all()
    assert np.array_equal(drawn(tf.constant([1, 7])), epochs[7])  # a resumed run draws the same


def test_the_largest_box_is_trained_in_every_epoch_and_of_other_sets_none():
    split = split_of([(0, 0, 5, 5), (5, 5, 20, 20)], [(7, 7, 9, 9)])
    largest = trained_boxes(split, Data(several_boxes="largest")).of_epoch
    assert largest(tf.constant([1, 2])).numpy().tolist() == [[5, 5, 20, 20], [7, 7, 9, 9]]
    turned = dataclasses.replace(split, orientations=np.array([3, 1], np.int32))  # turned by half, 40 high, 30 wide
    found = trained_boxes(turned, Data(several_boxes="largest")).of_epoch(tf.constant([1, 2])).numpy()
    assert found.tolist() == [[10, 20, 25, 35], [7, 7, 9, 9]]
    assert trained_boxes(dataclasses.replace(split, boxes=None), Data()) is None


def test_a_crop_is_trained_on_the_box_of_which_it_shows_most():
    """Against a loop that counts the pixels of each box in each crop; images of one, two and four boxes, some of them turned."""
    random, lists = np.random.default_rng(0), []
    for count in [1, 2, 4] * 8:
        low, size = random.integers(0, 60, (count, 2)), random.integers(15, 40, (count, 2))
        lists.append(np.concatenate([low, low + size], axis=1))
    sizes = np.array([[110, 100], [100, 110]] * 12, np.int32)
    split = dataclasses.replace(
        split_of(*lists), sizes=sizes, jpegs=np.zeros(24, bool), orientations=np.array([1, 3] * 12, np.int32)
    )
    data, basis, others = Data(several_boxes="in_crop", scale=(80,)), np.zeros((3, 3), np.float32), 0
    boxes = trained_boxes(split, data)
    for epoch in range(10):
        seed, images = tf.constant([3, epoch]), tf.constant(random.permutation(24)[:9])
        must_show = tf.gather(boxes.of_epoch(seed), images)
        draws = tf.gather(epoch_draws(seed, 24), images)
        drawn = draw_augmentations(sizes[images], np.zeros(9, bool), draws, data, 32, basis, must_show)
        trained = boxes.of_crops(images, must_show, drawn).numpy()
        others += (trained != must_show.numpy()).any(axis=1).sum()
        for row, (image, window) in enumerate(zip(images.numpy(), stored_window(drawn).numpy(), strict=True)):
            stored = [turned_by_half(box, sizes[image]) if image % 2 else box for box in lists[image]]
            shown = [pixels_shown(box, window) for box in stored]
            assert trained[row].tolist() in [box.tolist() for box in stored]
            place = [box.tolist() for box in stored].index(trained[row].tolist())
            assert shown[place] == max(shown) > 0
    print(f"{others} of 90 crops show more of another box than of the drawn one")
    assert 5 < others < 60


def turned_by_half(box, size):
    """The box in the image before it was turned by half; the image's height and width are `size`."""
    height, width = size
    return np.array([width - box[2], height - box[3], width - box[0], height - box[1]])


def pixels_shown(box, window):
    """How many pixels of a box lie in a window of whole pixels: top, left, height, width."""
    assert (window == np.round(window)).all()
    mask = np.zeros((128, 128), int)
    mask[box[1] : box[3], box[0] : box[2]] += 1
    top, left, height, width = window.astype(int)
    return (mask[top : top + height, left : left + width] == 1).sum()
