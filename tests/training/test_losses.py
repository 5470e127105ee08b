"""Losses of both kinds of labels against Keras's, and what is counted beside them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Architecture
from vgg_keras.evaluation.measures import measure
from vgg_keras.training import epoch_measures, losses, steps


@pytest.fixture
def several(random):
    """Logits and labels of eight images of any number of five classes."""
    labels = (random.uniform(size=(8, 5)) < 0.4).astype(np.int8)
    labels[2] = 0
    return random.normal(0, 3, (8, 5)).astype(np.float32), labels


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_sigmoids_is_kerass(several, smoothing):
    logits, labels = several
    judge = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    expected = judge(labels.astype(np.float32), logits).numpy()
    found = losses.losses(tf.constant(logits), tf.constant(labels), smoothing).numpy()
    print(f"smoothing {smoothing}: largest difference {np.abs(found - expected).max():.2g}")
    assert np.abs(found - expected).max() < 1e-6


def test_an_ignored_class_has_no_gradient_and_adds_nothing(several):
    logits, labels = tf.constant(several[0]), several[1].copy()
    labels[3, 1] = -1
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = losses.losses(logits, tf.constant(labels), 0.1)
    gradient = tape.gradient(found, logits).numpy()
    assert gradient[3, 1] == 0 and (gradient != 0).sum() == 39
    of_class = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    expected = [
        float(of_class([float(label > 0)], [logit])) for label, logit in zip(labels[3], several[0][3], strict=True)
    ]
    assert float(found[3]) == pytest.approx((sum(expected) - expected[1]) / 5, rel=1e-5)


def test_class_weights_multiply_as_kerass_class_weight(random):
    """Keras's fit multiplies each image's loss by the weight of its class and divides by the number of images."""
    logits, labels = random.normal(size=(6, 3)).astype(np.float32), np.array([0, 1, 2, 2, 0, 1], np.int32)
    weights = np.array([0.5, 2.0, 4.0], np.float32)
    judge = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    one_hot = np.eye(3, dtype=np.float32)[labels]
    expected = float(judge(one_hot, logits, sample_weight=weights[labels]))
    found = losses.losses(tf.constant(logits), tf.constant(labels), 0.1, tf.constant(weights))
    assert float(tf.reduce_mean(found)) == pytest.approx(expected, rel=1e-6)


def test_weights_of_several_labels_multiply_each_class_by_itself(several):
    logits, labels = several
    weights = np.array([[1, 1, 1, 0.5, 2], [1, 3, 0, 1, 5]], np.float32)
    found = losses.losses(tf.constant(logits), tf.constant(labels), 0.0, tf.constant(weights)).numpy()
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    plain = -np.where(labels > 0, np.log(probability), np.log(1 - probability))
    expected = (plain * np.where(labels > 0, weights[1], weights[0])).mean(axis=1)
    assert np.abs(found - expected).max() < 1e-5


def test_a_steps_sums_are_the_measures(several, random):
    logits, labels = several
    labels[0, :3] = labels[[1, 4, 5], 2] = labels[
        7, 3
    ] = -1  # of an image three: a share of each would weigh its others more
    weights = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    of_images = losses.losses(tf.constant(logits), tf.constant(labels))
    found = losses.sums(tf.constant(logits), tf.constant(labels), of_images, tf.constant(weights)).numpy()
    line = epoch_measures.of_sums(found, "", Architecture("A", num_classes=5, multi_label=True))
    probabilities = 1 / (1 + np.exp(-logits[:6].astype(np.float64)))
    assert found[steps.IMAGES] == 6 and found[steps.DECISIONS] == 24  # of 30
    assert line["hamming_loss"] == pytest.approx(measure(probabilities, labels[:6]).hamming_loss)
    assert found[steps.LOSS] == pytest.approx(of_images.numpy()[:6].sum(), rel=1e-6)

    scores, classes = random.normal(size=(40, 4)).astype(np.float32), random.integers(0, 3, 40).astype(np.int32)
    images, wrong = losses.class_sums(tf.constant(scores), tf.constant(classes), tf.ones(40)).numpy().T
    assert images.tolist() == np.bincount(classes, minlength=4).tolist() and images[3] == 0
    assert 100 * np.mean(wrong[:3] / images[:3]) == pytest.approx(measure(scores, classes).balanced_error)
