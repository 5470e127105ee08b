"""A cell's test in results.json."""

import json

import numpy as np

from vgg_keras.reproduction import tested


def test_a_test_is_the_same_after_json():
    wrong = np.random.default_rng(0).integers(0, 2, 21).astype(bool)
    there = json.loads(json.dumps(tested.Tested(wrong, 12.5, "ab").to_json()))
    back = tested.Tested.from_json(there, 21)
    np.testing.assert_array_equal(back.wrong, wrong)
    assert (back.top1_error, back.top5_error, back.images_sha256) == (100 * wrong.mean(), 12.5, "ab")
