"""One update is the same on one device and on two, in one piece and in micro-batches, with full and partial batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.evaluation import metrics
from vgg_keras.training import steps

UPDATES = Path(__file__).parent / "updates.py"


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    """Weights and sums after 5 updates, computed once for each setting; a process each, since strategies collide."""
    folder, known = tmp_path_factory.mktemp("updates"), {}

    def run(devices, images, batch=4, micro_batch=0, dropout=0.0, batch_norm=0, steps=5, alike=0):
        setting = tuple(map(str, (devices, images, batch, micro_batch, dropout, batch_norm, steps, alike)))
        if setting not in known:
            out = folder / ("-".join(setting) + ".npz")
            subprocess.run([sys.executable, UPDATES, *setting, out], check=True, capture_output=True, text=True)
            with np.load(out) as arrays:
                known[setting] = {name: arrays[name] for name in arrays.files}
        return known[setting]

    return run


def largest_difference(one, other):
    return max(np.abs(one[name] - other[name]).max() for name in one if name != "sums")


@pytest.mark.slow
@pytest.mark.parametrize(("images", "last"), [(11, 3), (9, 1), (12, 4)])
def test_two_devices_give_the_update_of_one(updates, images, last):
    one, two = updates(1, images), updates(2, images)
    assert list(one["sums"][:, steps.IMAGES]) == [4, 4, last, 4, 4]
    difference = largest_difference(one, two)
    print(f"last batch of {last}: largest weight difference {difference:.2g}")
    assert np.abs(one["sums"]).max() > 0
    assert difference <= 1e-6


@pytest.mark.slow
def test_micro_batches_give_the_update_of_the_whole_batch(updates):
    difference = largest_difference(updates(1, 11), updates(1, 11, micro_batch=3))
    print(f"micro-batches of 3 in a batch of 4: largest weight difference {difference:.2g}")
    assert difference <= 1e-6


@pytest.mark.slow
def test_dropout_is_a_function_of_seed_and_step(updates):
    one, again = updates(1, 11, dropout=0.5), updates(1, 11, dropout=0.5, steps=3)
    assert np.array_equal(one["sums"][:3], again["sums"])  # the same draws, bit for bit
    assert not np.allclose(one["sums"][0], updates(1, 11)["sums"][0])  # and dropout is on


@pytest.mark.slow
@pytest.mark.parametrize(("dropout", "equal"), [(0.0, True), (0.5, False)])
def test_devices_draw_different_masks(updates, dropout, equal):
    """Two devices with one image each, the same one: equal masks would make the sum twice the first device's loss."""
    first = updates(1, 2, batch=1, dropout=dropout, steps=1, alike=1)["sums"][0, steps.LOSS]
    both = updates(2, 2, batch=2, dropout=dropout, steps=1, alike=1)["sums"][0, steps.LOSS]
    print(f"dropout {dropout}: one device's loss {first:.4f}, two devices' sum {both:.4f}")
    assert (abs(both - 2 * first) < 1e-5) == equal


@pytest.mark.slow
def test_batch_norm_averages_are_carried_through_micro_batches(updates):
    whole, parts = updates(1, 8, batch_norm=1, steps=1), updates(1, 8, batch_norm=1, micro_batch=2, steps=1)
    averages = [name for name, value in whole.items() if name != "sums" and not np.array_equal(value, parts[name])]
    assert averages  # two parts, two steps of the moving average
    assert all(np.isfinite(parts[name]).all() for name in parts)


def test_label_ranks_in_a_graph_equal_those_in_numpy(random):
    scores = random.integers(0, 4, (200, 7)).astype(np.float32)  # with ties
    scores[3] = np.nan
    labels = random.integers(0, 7, 200).astype(np.int32)
    assert np.array_equal(
        steps.label_ranks(tf.constant(scores), tf.constant(labels)), metrics.label_ranks(scores, labels)
    )
