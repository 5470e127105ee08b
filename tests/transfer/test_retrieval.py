"""The nearest images, beside every cosine in NumPy."""

import dataclasses
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from tests.transfer.test_classification import hand_made
from vgg_keras.config import Data
from vgg_keras.data.arrays import split_of_arrays
from vgg_keras.evaluation import plots
from vgg_keras.evaluation.photographs import opened
from vgg_keras.transfer import retrieval
from vgg_keras.transfer.descriptors import unit_norm
from vgg_keras.transfer.retrieval import Neighbour, draw, nearest


def test_the_nearest_images_are_those_of_the_largest_cosines(random):
    found = hand_made(random)
    query = unit_norm(random.normal(size=(1, 12)))[0].astype(np.float32)
    cosines = (found.descriptors.astype(np.float64) * query).sum(axis=1)
    order = np.argsort(-cosines)
    answers = nearest(found, query, 7)
    assert [one.image for one in answers] == order[:7].tolist()
    assert np.allclose([one.cosine for one in answers], cosines[order[:7]], atol=1e-6)
    assert [one.label for one in answers] == [found.classes[found.labels[image]] for image in order[:7]]
    assert [one.image for one in nearest(found, found.descriptors[3], 1)] == [3]
    assert len(nearest(found, query, 1000)) == 90


@pytest.mark.slow
def test_ten_thousand_descriptors_answer_in_a_second(random):
    found = hand_made(random)
    many = dataclasses.replace(
        found,
        descriptors=unit_norm(random.standard_normal((10_000, 4096), np.float32)).astype(np.float32),
        ids=tuple(map(str, range(10_000))),
        labels=np.zeros(10_000, np.int32),
    )
    began = time.perf_counter()
    answers = nearest(many, many.descriptors[1234], 8)
    seconds = time.perf_counter() - began
    print(f"nearest of 10,000: {seconds:.3f} s")
    assert answers[0].image == 1234 and seconds < 1


@pytest.mark.slow
def test_a_contact_sheet_of_many_images_has_the_first_ones(random, tmp_path, monkeypatch):
    """Hundreds would be wider than Matplotlib draws; here more than two of each of two photographs are too many."""
    assert max(1.5 * (1 + retrieval.NEIGHBOURS), 1.75 * retrieval.ROWS) * 90 < 2**16
    monkeypatch.setattr(retrieval, "NEIGHBOURS", 2)
    monkeypatch.setattr(retrieval, "ROWS", 2)
    images = random.integers(0, 256, (4, 8, 8, 3), np.uint8)
    Image.fromarray(images[0]).save(tmp_path / "query.png")
    split = split_of_arrays(images, np.zeros(4, np.int32))
    answers = [[Neighbour(place, str(place), "a", 0.5) for place in range(4)]] * 3
    draw(opened([tmp_path / "query.png"] * 3, Data()), answers, split, tmp_path / "nearest.png")
    with Image.open(tmp_path / "nearest.png") as sheet:
        assert sheet.size == (round(1.5 * 3 * 90), round(1.75 * 2 * 90))


@pytest.mark.slow
def test_names_of_classes_do_not_cover_each_other(random, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, *_, **__: drawn.append(figure))
    split = split_of_arrays(random.integers(0, 256, (2, 8, 8, 3), np.uint8), np.zeros(2, np.int32))
    Image.new("RGB", (8, 8)).save(tmp_path / "query_with_a_name_that_is_long.png")
    names = ("black and gold garden spider", "Chesapeake Bay retriever")
    answers = [[Neighbour(place, str(place), name, 0.5) for place, name in enumerate(names)]]
    draw(opened(tmp_path / "query_with_a_name_that_is_long.png", Data()), answers, split, tmp_path / "nearest.png")
    (figure,) = drawn
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    plots.pyplot().close(figure)
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
