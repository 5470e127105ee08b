"""An epoch's line from the sums of its steps, batch by batch, against the measures of all images at once."""

import numpy as np
import pytest

from vgg_keras.config import Architecture
from vgg_keras.evaluation.measures import measure
from vgg_keras.training import epoch_measures


def test_a_validations_balanced_error_is_that_of_all_images(random):
    scores, labels = random.normal(size=(60, 7)), random.choice([0, 1, 2, 5], 60, p=[0.7, 0.2, 0.08, 0.02])
    wrong = scores.argmax(axis=1) != labels
    found = epoch_measures.Validation(Architecture("A", num_classes=7))
    for part in np.array_split(np.arange(60), 4):
        of_classes = np.stack(
            [np.bincount(labels[part], w, minlength=7) for w in (np.ones(len(part)), wrong[part])], axis=1
        )
        found.add(np.array([10.0, wrong[part].sum(), 0.0, len(part)]), of_classes)
    line, expected = found.measures(), measure(scores, labels)
    assert line["val_balanced_error"] == pytest.approx(expected.balanced_error)
    assert line["val_top1_error"] == pytest.approx(expected.top1_error) and line["val_loss"] == pytest.approx(40 / 60)
    assert epoch_measures.metric_of(line, "balanced_error") == line["val_balanced_error"]
    assert epoch_measures.metric_of(line, "top1_error") == epoch_measures.error_of(line) == line["val_top1_error"]
    shown = epoch_measures.shown({**line, "top1_error": 50.0}, "best 12.00 %")
    assert f"(best 12.00 %), balanced {expected.balanced_error:.2f} %" in shown


def test_a_validations_average_precision_is_that_of_all_images(random):
    """Images of weight 0 only pad a batch."""
    labels = (random.uniform(size=(60, 3)) < 0.3).astype(np.int8)
    labels[7, 1] = -1
    scores = random.uniform(size=(60, 3)).astype(np.float32)
    found = epoch_measures.Validation(Architecture("A", num_classes=3, multi_label=True))
    for part in np.array_split(np.arange(60), 4):
        rows = np.concatenate([scores[part], labels[part], np.ones((len(part), 1))], axis=1).astype(np.float32)
        padding = np.concatenate([rows[:2, :-1], np.zeros((2, 1))], axis=1)
        found.add(np.array([10.0, 3.0, 44.0, len(part)]), np.concatenate([rows, padding]).astype(np.float32))
    line, expected = found.measures(), measure(scores, labels)
    assert line["val_mean_average_precision"] == pytest.approx(expected.mean_average_precision)
    assert line["val_mean_average_precision_voc2007"] == pytest.approx(expected.mean_average_precision_voc2007)
    assert line["val_hamming_loss"] == pytest.approx(100 * 12 / 176) and "val_top1_error" not in line
    error = epoch_measures.error_of(line)
    assert error == epoch_measures.metric_of(line, "top1_error") == pytest.approx(100 - expected.mean_average_precision)
    assert epoch_measures.named(error, True) == f"mAP {expected.mean_average_precision:.2f} %"
    nothing = epoch_measures.error_of({"val_mean_average_precision": None})  # of images without any class
    assert nothing == 100
