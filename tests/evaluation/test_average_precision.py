"""Average precision against loops written from VOC's devkit, and against scikit-learn where the two definitions agree."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from vgg_keras.evaluation.average_precision import average_precisions


def curve_of_the_devkit(scores, labels):
    """Recall and precision behind each image that is ranked, as VOCevalcls.m computes them; no two scores are equal."""
    images = sorted((image for image in range(len(scores)) if labels[image] >= 0), key=lambda image: -scores[image])
    recall, precision, found = [], [], 0
    for rank, image in enumerate(images, start=1):
        found += labels[image] > 0
        recall.append(found / sum(label > 0 for label in labels))
        precision.append(found / rank)
    return recall, precision


def voc2007(scores, labels):
    recall, precision = curve_of_the_devkit(scores, labels)
    total = 0.0
    for tenth in range(11):
        total += max((p for r, p in zip(recall, precision, strict=True) if r >= tenth / 10 - 1e-12), default=0.0) / 11
    return 100 * total


def voc2010(scores, labels):
    """VOCap.m."""
    recall, precision = curve_of_the_devkit(scores, labels)
    recall, precision = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    return 100 * sum(
        (recall[place] - recall[place - 1]) * precision[place]
        for place in range(1, len(recall))
        if recall[place] != recall[place - 1]
    )


@pytest.fixture
def ranked(random):
    """Scores of 200 images in six classes, from a rare one to a frequent one, and their labels, some of them ignored."""
    labels = (random.uniform(size=(200, 6)) < (0.01, 0.05, 0.1, 0.3, 0.5, 0.9)).astype(np.int8)
    labels[0] = 1
    scores = random.normal(labels, 1.0).astype(np.float32)
    labels[random.uniform(size=labels.shape) < 0.05] = -1
    labels[0] = 1
    return scores, labels


def test_both_are_the_devkits(ranked):
    scores, labels = ranked
    found = average_precisions(scores, labels)
    for mine, loop in ((found.voc2007, voc2007), (found.area, voc2010)):
        expected = [loop(scores[:, place], labels[:, place]) for place in range(6)]
        print(f"{loop.__name__}: largest difference {np.abs(mine - expected).max():.2g} points of {expected}")
        assert np.abs(mine - expected).max() < 1e-9
    assert found.mean == pytest.approx(np.mean([voc2010(*pair) for pair in zip(scores.T, labels.T, strict=True)]))


def test_the_area_is_scikit_learns_where_precision_never_rises_and_the_area_under_its_curve_elsewhere(ranked):
    falling = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]]), np.array([[1], [1], [0], [0], [0]], np.int8)
    assert average_precisions(*falling).area[0] == 100 * average_precision_score(falling[1][:, 0], falling[0][:, 0])
    scores, labels = ranked
    found = average_precisions(scores, labels).area
    for place in range(6):
        counted = labels[:, place] >= 0
        truth = labels[counted, place], scores[counted, place]
        precision, recall, _ = precision_recall_curve(*truth)  # recall falls
        highest = np.maximum.accumulate(precision)
        area = 100 * float(np.sum((recall[:-1] - recall[1:]) * highest[:-1]))
        theirs = 100 * average_precision_score(*truth)
        print(f"class {place}: {found[place]:.3f}, of scikit-learn's curve {area:.3f}, its own score {theirs:.3f}")
        assert abs(found[place] - area) < 1e-9 and theirs <= found[place] + 1e-9
    assert found[3] > 100 * average_precision_score(labels[labels[:, 3] >= 0, 3], scores[labels[:, 3] >= 0, 3]) + 0.1


def test_equal_scores_stand_at_one_place_as_in_scikit_learn():
    labels = np.array([1, 0, 0, 1], np.int8)[:, None]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3]):
        found = average_precisions(np.zeros((4, 1), np.float32), labels[order])
        assert found.area[0] == found.voc2007[0] == 50.0
    assert average_precision_score(labels[:, 0], np.zeros(4)) == 0.5


def test_a_class_without_images_is_left_out_of_the_mean():
    labels = np.array([[1, 0, 0], [0, 0, -1], [1, 0, 0]], np.int8)
    scores = np.array([[0.9, 0.1, 0.2], [0.5, 0.2, 0.3], [0.1, 0.3, 0.1]], np.float32)
    found = average_precisions(scores, labels)
    assert np.isnan(found.area[1:]).all() and found.mean == pytest.approx(100 * (1 / 2 + 1 / 2 * 2 / 3))
    assert average_precisions(scores[:, 1:], labels[:, 1:]).mean is None


def test_the_recalls_are_compared_exactly():
    """Of ten images of a class the third is at a recall of 0.3, which in floats is below 3 * 0.1."""
    labels = np.array([1, 1, 1, *[0] * 90, *[1] * 7], np.int8)[:, None]
    scores = np.arange(100, 0, -1, np.float32)[:, None]
    expected = 100 * (4 * 1.0 + 7 * 10 / 100) / 11
    assert average_precisions(scores, labels).voc2007[0] == pytest.approx(expected, abs=1e-9)
