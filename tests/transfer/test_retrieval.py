"""The nearest images, beside every cosine in NumPy."""

import dataclasses
import time

import numpy as np
import pytest

from tests.transfer.test_classification import hand_made
from vgg_keras.transfer.descriptors import unit_norm
from vgg_keras.transfer.retrieval import nearest


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
