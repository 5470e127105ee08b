"""The score map over the picture, against SciPy's interpolation and against the convolutional net."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.interpolate import RegularGridInterpolator

from vgg_keras.config import Architecture, Evaluation
from vgg_keras.evaluation import plots
from vgg_keras.evaluation.heatmap import draw_overlay, over_the_picture
from vgg_keras.evaluation.protocols import Dense
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional


@pytest.mark.slow
def test_the_score_map_is_the_convolutional_nets(random):
    architecture = Architecture("A", num_classes=6, width=1 / 16, crop=64, mean=(120, 110, 100))
    model = build(architecture, seed=3)
    image = random.uniform(0, 255, (100, 1000, 3)).astype(np.float32)
    score_map = Dense(model, architecture, Evaluation(batch=5)).score_map(tf.constant(image))
    expected = np.asarray(to_fully_convolutional(model)(image[None]))[0]
    difference = np.abs(score_map - expected).max()
    print(f"largest difference {difference:.2g} of scores up to {np.abs(expected).max():.3g}")
    assert score_map.shape == (2, 30, 6) and difference <= 1e-4


def test_values_stand_at_the_centres_of_their_windows(random):
    values, size = random.normal(size=(2, 4)), (120, 170)
    seen = over_the_picture(values, 64, size)  # windows of 64 pixels, centred at 32, 64, 96 ...
    centres = [32 + 32 * np.arange(count) for count in values.shape]
    expected = RegularGridInterpolator(centres, values)
    places = [(y, x) for y in range(32, 64) for x in range(32, 128)]
    measured = np.array([seen[place] for place in places])
    assert np.abs(measured - expected(np.array(places) + 0.5)).max() < 1e-12
    assert np.isnan(seen[15, 50]) and np.isfinite(seen[16, 50]) and np.isfinite(seen[79, 50]) and np.isnan(seen[80, 50])
    assert np.isnan(seen[50, 15]) and seen[40, 16] == seen[40, 31] and np.isnan(seen[50, 144])


def test_a_single_position_is_one_square():
    seen = over_the_picture(np.array([[0.7]]), 96, (96, 100))
    assert np.isfinite(seen).sum() == 32 * 32 and (seen[32:64, 32:64] == 0.7).all()


@pytest.mark.parametrize("size", [(256, 384), (768, 256), (64, 512)])
def test_long_names_of_classes_stay_in_the_picture(tmp_path, monkeypatch, size):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, *_, **__: drawn.append(figure))
    title = "predicted: black and gold garden spider (100% at Q=256, no mirror image), actual: Chesapeake Bay retriever"
    meaning = "probability of black and gold garden spider at a position"
    draw_overlay(np.zeros((*size, 3)), np.zeros(size), title, meaning, tmp_path / "one.png")
    (figure,) = drawn
    figure.draw_without_rendering()
    inside, texts = figure.bbox, (figure.get_suptitle(), figure.axes[-1].get_ylabel())
    boxes = [figure._suptitle.get_window_extent(), figure.axes[-1].yaxis.label.get_window_extent()]
    plots.pyplot().close(figure)
    assert texts == (title, meaning)
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)
    assert all(inside.y0 <= box.y0 and box.y1 <= inside.y1 for box in boxes)
