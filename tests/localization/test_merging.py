"""Greedy merging against a plain loop over all pairs, on hand-made and random boxes; its cost."""

import time

import numpy as np
import pytest

from vgg_keras.localization.merging import match_score, merge


def loop(boxes, scores, threshold):
    """The procedure as it is written down, over lists of boxes."""
    boxes, scores = [list(map(float, box)) for box in boxes], list(map(float, scores))

    def score(a, b):
        centres = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (a, b)]
        apart = ((centres[0][0] - centres[1][0]) ** 2 + (centres[0][1] - centres[1][1]) ** 2) ** 0.5
        sizes = [(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
        diagonal = sum((w**2 + h**2) ** 0.5 for w, h in sizes) / 2
        across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        area = sum(w * h for w, h in sizes) / 2
        distance = apart / (diagonal or 1e-300) if apart else 0.0  # a box may be a point, or a line
        return distance + 1 - (across * down / area if area else 0.0)

    while len(boxes) > 1:
        pairs = [(score(boxes[i], boxes[j]), i, j) for i in range(len(boxes)) for j in range(i + 1, len(boxes))]
        lowest, i, j = min(pairs)
        if lowest > threshold:
            break
        boxes[i] = [(one + other) / 2 for one, other in zip(boxes[i], boxes[j], strict=True)]
        scores[i] += scores[j]
        del boxes[j], scores[j]
    order = sorted(range(len(boxes)), key=lambda place: -scores[place])
    return np.array([boxes[place] for place in order]), np.array([scores[place] for place in order])


def test_hand_made_boxes():
    # two beside each other, their mean then meets the third; one far away with the highest score of its own
    boxes = [(0, 0, 10, 10), (2, 0, 12, 10), (1, 1, 11, 11), (50, 50, 60, 60)]
    assert match_score(np.array(boxes[0]), np.array(boxes[0])) == 0
    # centres 2 apart, diagonals 14.142, intersection 80 of 100
    assert match_score(np.array(boxes[0]), np.array(boxes[1])) == pytest.approx(2 / 200**0.5 + 1 - 0.8)
    merged, scores = merge(boxes, [0.3, 0.4, 0.2, 0.5], 0.5)
    # the pairs (0, 2) and (1, 2) have the lowest score, centres 1.414 apart and an intersection of 81; the earlier is taken
    first = np.mean([boxes[0], boxes[2]], axis=0)
    np.testing.assert_allclose(merged, [(first + boxes[1]) / 2, boxes[3]])
    np.testing.assert_allclose(scores, [0.9, 0.5])
    assert len(merge(boxes, [0.3, 0.4, 0.2, 0.5], 0.0)[0]) == 4
    assert len(merge(boxes, [0.3, 0.4, 0.2, 0.5], 100)[0]) == 1


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 40, 65])
@pytest.mark.parametrize("threshold", [0.3, 0.6, 1.2])
def test_random_boxes_are_merged_as_by_a_loop(count, threshold):
    random = np.random.default_rng(count)
    corners = random.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(20, 60, (count, 2))], axis=1)
    scores = random.uniform(size=count)
    found, expected = merge(boxes, scores, threshold), loop(boxes, scores, threshold)
    assert len(found[0]) == len(expected[0])
    if count:
        print(
            f"{count} boxes, t={threshold}: {len(found[0])} left, difference {np.abs(found[0] - expected[0]).max():.2g}"
        )
        np.testing.assert_allclose(found[0], expected[0], atol=1e-9)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-9)


def test_equal_boxes_and_points_become_one():
    merged, scores = merge([(1, 2, 3, 4)] * 5, [1] * 5, 0.0)
    assert merged.tolist() == [[1, 2, 3, 4]] and scores.tolist() == [5]
    points = [(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 9, 9), (1, 2, 1, 2)]  # without a size nothing meets
    merged, _ = merge(points, [1] * 4, 0.5)
    assert len(merged) == 4 and np.isfinite(merged).all()


def test_the_arguments_are_left_as_they_are_and_scaling_changes_nothing():
    random = np.random.default_rng(5)
    corners = random.uniform(0, 100, (20, 2))
    boxes, scores = np.concatenate([corners, corners + 50], axis=1), np.ones(20)
    before = boxes.copy()
    merged, _ = merge(boxes, scores, 0.5)
    np.testing.assert_array_equal(boxes, before)
    np.testing.assert_allclose(merge(boxes * 8, scores, 0.5)[0], 8 * merged)


@pytest.mark.slow
def test_the_cost_grows_no_faster_than_the_square():
    def seconds(count):
        boxes = np.tile([(0.0, 0.0, 10.0, 10.0)], (count, 1))  # equal boxes: each pair is every other's nearest
        began = time.process_time()
        merge(boxes, np.ones(count), 1.0)
        return time.process_time() - began

    small, large = min(seconds(200) for _ in range(3)), min(seconds(800) for _ in range(2))
    print(f"200 boxes {small:.3f} s, 800 boxes {large:.3f} s: {large / small:.1f} times")
    assert large / small < 2 * 16  # four times the boxes: 16 times by the square, 64 by the cube
