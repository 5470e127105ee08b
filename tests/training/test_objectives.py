"""The losses and sums of an objective against NumPy in float64, and what a step does with a box's gradient."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture, Config, Data, Evaluation, Training
from vgg_keras.errors import UserError
from vgg_keras.localization.boxes import in_crop, iou
from vgg_keras.training import epoch_measures, objectives


def config_of(boxes, box_unit="crop", classes=3, **training):
    architecture = Architecture("A", num_classes=classes, crop=64, boxes=boxes, box_unit=box_unit)
    return Config(architecture, Data(scale=(72,)), Training(**training))


@pytest.fixture
def targets():
    random = np.random.default_rng(0)
    return np.concatenate([[[0], [2], [1], [2], [0]], random.uniform(0.2, 0.8, (5, 4))], axis=1).astype(np.float32)


@pytest.mark.parametrize(("boxes", "unit"), [("scr", "crop"), ("pcr", "crop"), ("pcr", "pixels")])
def test_euclidean_loss_is_half_the_squared_distance_of_the_classs_box(targets, boxes, unit):
    config = config_of(boxes, unit)
    objective, random = objectives.of(config), np.random.default_rng(1)
    scale = 64.0 if unit == "pixels" else 1.0
    outputs = (random.uniform(-0.2, 1, (5, config.architecture.outputs)) * scale).astype(np.float32)
    labels = targets[:, 0].astype(int)
    chosen = outputs.astype(np.float64).reshape(5, -1, 4)[np.arange(5), labels if boxes == "pcr" else 0]
    expected = ((chosen - targets[:, 1:].astype(np.float64) * scale) ** 2).sum(axis=1) / 2
    losses = objective.losses(tf.constant(outputs), tf.constant(targets)).numpy()
    np.testing.assert_allclose(losses, expected, rtol=1e-5)

    # the sums, without the padding of weight 0
    weights = np.array([0.25, 0.25, 0.25, 0.25, 0], np.float32)
    sums = objective.sums(*map(tf.constant, (outputs, targets, losses, weights))).numpy()
    edges = in_crop(chosen[:4] / scale * (64 if unit == "pixels" else 1), config.architecture)[:, 0]
    truth = np.concatenate([targets[:4, 1:3] - targets[:4, 3:] / 2, targets[:4, 1:3] + targets[:4, 3:] / 2], axis=1)
    ratios = iou(edges, truth.astype(np.float64))
    np.testing.assert_allclose(sums, [expected[:4].sum(), (ratios <= 0.5).sum(), ratios.sum(), 4], rtol=1e-5)
    line = epoch_measures.of_sums(sums, "val_", config.architecture)
    assert line["val_top1_error"] == 100 * (ratios <= 0.5).mean() and line["val_mean_iou"] == pytest.approx(
        ratios.mean()
    )
    print(f"{boxes} in {unit}: IoU {np.round(ratios, 3)}, losses differ by {np.abs(losses - expected).max():.2g}")


@pytest.mark.parametrize(("several", "weights"), [(False, None), (False, (0.5, 4.0, 1.0)), (True, None)])
def test_an_answer_that_knows_nothing_has_the_loss_that_a_rising_one_is_measured_by(several, weights):
    """The loss of logits of 0, of an image of the heaviest class; by NumPy -log of the probability, of each class 1/2 or 1/3."""
    architecture = Architecture("A", num_classes=3, crop=64, multi_label=several)
    given = None if weights is None else np.array(weights, np.float32)
    objective = objectives.of(Config(architecture, Data(scale=(72,))), given)
    labels = tf.constant(np.eye(3, dtype=np.int8) if several else [0, 1, 2], tf.int8 if several else tf.int32)
    losses = objective.losses(tf.zeros([3, 3]), labels).numpy()
    expected = max(weights or (1,)) * -np.log(1 / 2 if several else 1 / 3)
    print(f"{objective.ignorant_loss:.6f} against {losses.max():.6f} of zeros")
    assert objective.ignorant_loss == pytest.approx(expected) == pytest.approx(float(losses.max()))


@pytest.mark.parametrize("unit", ["crop", "pixels"])
def test_boxes_of_zeros_have_that_loss_too(unit):
    objective = objectives.of(config_of("scr", unit))
    half = tf.constant([[0, 0.5, 0.5, 0.5, 0.5]], tf.float32)  # in the middle, of half the crop's sides
    assert float(objective.losses(tf.zeros([1, 4]), half)[0]) == objective.ignorant_loss


def test_a_right_box_of_another_class_is_not_trained():
    objective = objectives.of(config_of("pcr"))
    outputs = tf.Variable(np.random.default_rng(2).uniform(size=(2, 12)).astype(np.float32))
    targets = tf.constant([[1, 0.5, 0.5, 0.2, 0.2], [2, 0.4, 0.4, 0.3, 0.3]], tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(objective.losses(outputs, targets))
    gradient = tape.gradient(loss, outputs).numpy().reshape(2, 3, 4)
    expected = np.zeros((2, 3, 4))
    expected[0, 1] = outputs.numpy()[0, 4:8] - targets.numpy()[0, 1:]  # of half a square
    expected[1, 2] = outputs.numpy()[1, 8:] - targets.numpy()[1, 1:]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_label_smoothing_and_other_protocols_do_not_belong_to_boxes():
    with pytest.raises(UserError, match="label_smoothing belongs to classes"):
        config_of("scr", label_smoothing=0.1)
    with pytest.raises(UserError, match="class_weights belongs to classes"):
        config_of("scr", class_weights=("balanced",))
    with pytest.raises(UserError, match="plateau_metric of a box net is top1_error or loss"):
        config_of("scr", plateau_metric="balanced_error")
    with pytest.raises(UserError, match=r"protocol of a box net is center or dense.*multi_crop"):
        Config(Architecture("A", boxes="scr"), evaluation=Evaluation(protocol="multi_crop"))
