"""Appendix B's linear SVM against scikit-learn's, for one class per image and for several."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.svm import LinearSVC

from tests.transfer.test_classification import hand_made
from vgg_keras import stop
from vgg_keras.config import Features
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.evaluation.average_precision import average_precisions
from vgg_keras.evaluation.report_mistakes import DECISION_VALUE
from vgg_keras.transfer import linear_svm
from vgg_keras.transfer.linear_svm import Division


def test_the_score_is_scikit_learns(random):
    found = hand_made(random)
    division = Division("half", np.arange(0, 45), np.arange(45, 90))
    outcome = linear_svm.test(found, division, Features(svm_c=(1.0,)), seed=0)
    machine = LinearSVC(C=1.0, dual="auto", max_iter=10_000, random_state=0)
    predicted = machine.fit(found.descriptors[:45], found.labels[:45]).predict(found.descriptors[45:])
    assert np.array_equal(outcome.scores.scores.argmax(axis=1), predicted)
    assert outcome.reached["mean_class_recall"] == pytest.approx(
        100 * balanced_accuracy_score(found.labels[45:], predicted)
    )
    assert (
        outcome.reached["top1_error"] == pytest.approx(100 * np.mean(predicted != found.labels[45:]))
        and outcome.reached["top1_error"] > 0
    )
    assert outcome.converged
    assert outcome.c == 1 and outcome.errors == {}  # a single C is not tried


def test_c_is_chosen_on_a_fifth_of_the_training_images(random):
    found = hand_made(random, noise=1.2)
    division = Division("half", np.arange(0, 60), np.arange(60, 90))
    rules = Features(svm_c=(1e-3, 1.0, 1e3))
    outcome = linear_svm.test(found, division, rules, seed=0)
    places = np.arange(60) // 3  # of an image in its class
    chooses = places % 5 == 4
    for c in rules.svm_c:
        fitted = LinearSVC(C=c, dual="auto", max_iter=10_000, random_state=0)
        fitted.fit(found.descriptors[:60][~chooses], found.labels[:60][~chooses])
        right = fitted.predict(found.descriptors[:60][chooses])
        expected = 100 - 100 * balanced_accuracy_score(found.labels[:60][chooses], right)
        assert outcome.errors[c] == pytest.approx(expected)
    assert outcome.errors[outcome.c] == min(outcome.errors.values()) and len(set(outcome.errors.values())) > 1


def test_a_stop_ends_the_choice_of_c(random, monkeypatch):
    monkeypatch.setattr(stop, "_requested", False)
    fitted, fit = [], LinearSVC.fit

    def stopped(*arguments):
        fitted.append(1)
        monkeypatch.setattr(stop, "_requested", True)
        return fit(*arguments)

    monkeypatch.setattr(LinearSVC, "fit", stopped)
    with pytest.raises(StoppedError):
        linear_svm.test(hand_made(random), Division("half", np.arange(0, 60), np.arange(60, 90)), Features(), seed=0)
    assert len(fitted) == 1


def test_mean_class_recall_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert linear_svm.mean_class_recall(np.array([0, 0, 0, 1, 1, 0]), labels) == 100 * (3 / 4 + 1 / 2) / 2


def several(random):
    """The descriptors, with the class of an image and sometimes the next one, some of them ignored."""
    found = hand_made(random)
    labels = np.eye(3, dtype=np.int8)[found.labels]
    labels[::4] = np.maximum(labels[::4], np.roll(labels[::4], 1, axis=1))
    labels[3::11, 2] = -1
    return dataclasses.replace(found, labels=labels)


def test_several_labels_have_a_machine_for_each_class_and_their_average_precision(random):
    found = several(random)
    division = Division("half", np.arange(0, 45), np.arange(45, 90))
    outcome = linear_svm.test(found, division, Features(svm_c=(1.0,)), seed=0)
    for place in range(3):
        truth = found.labels[:45, place]
        machine = LinearSVC(C=1.0, dual="auto", max_iter=10_000, random_state=0)
        machine.fit(found.descriptors[:45][truth >= 0], truth[truth >= 0])
        expected = machine.decision_function(found.descriptors[45:])
        difference = np.abs(outcome.scores.scores[:, place] - expected).max()
        print(f"class {place}: largest difference of a decision value {difference:.2g}")
        assert difference < 1e-5
        tested = found.labels[45:, place] >= 0
        theirs = 100 * average_precision_score(found.labels[45:, place][tested], expected[tested])
        assert average_precisions(outcome.scores.scores, outcome.scores.labels).area[place] >= theirs - 1e-9
    reached = average_precisions(outcome.scores.scores, found.labels[45:])
    assert outcome.reached == {
        "mean_average_precision": reached.mean,
        "mean_average_precision_voc2007": reached.mean_voc2007,
    }
    assert outcome.text.startswith(f"mAP {reached.mean:.2f} %, VOC-2007 mAP")


def test_c_is_chosen_by_average_precision_on_every_fifth_image_of_several_labels(random):
    found = several(random)
    division = Division("half", np.arange(0, 60), np.arange(60, 90))
    outcome = linear_svm.test(found, division, Features(svm_c=(1e-3, 10.0)), seed=0)
    chooses = np.arange(60) % 5 == 4
    alone = Division("alone", np.arange(60)[~chooses], np.arange(60)[chooses])
    for c in (1e-3, 10.0):
        expected = linear_svm.test(found, alone, Features(svm_c=(c,)), seed=0).reached["mean_average_precision"]
        assert outcome.errors[c] == pytest.approx(100 - expected)
    labels = found.labels.copy()
    labels[:60, 1] = np.minimum(labels[:60, 1], 0)
    with pytest.raises(UserError, match="Each class that is tested has training images"):
        linear_svm.test(dataclasses.replace(found, labels=labels), division, Features(), seed=0)


@pytest.mark.parametrize("known", [0, 1], ids=["none", "all"])
def test_the_decision_for_a_class_that_none_or_all_of_the_training_images_have(random, known):
    found = several(random)
    labels = found.labels.copy()
    labels[:, 1] = known
    division = Division("half", np.arange(0, 45), np.arange(45, 90))
    outcome = linear_svm.test(dataclasses.replace(found, labels=labels), division, Features(svm_c=(1.0,)), seed=0)
    decided = outcome.scores.scores[:, 1] >= DECISION_VALUE.threshold
    assert (decided == known).all()
