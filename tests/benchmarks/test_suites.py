"""The suites by their names, and what their options refuse."""

import pytest

from vgg_keras.benchmarks.suites import READ_BY, SUITES, Options, run
from vgg_keras.config import Architecture, Config, Training
from vgg_keras.errors import UserError


def options(num_classes=0, training=None, **fields):
    config = Config(architecture=Architecture("A", num_classes=num_classes, **fields), training=training or Training())
    return Options(config, None, None, 5, [], 1, None, [])


def test_nets_have_imagenets_classes_and_mean():
    architecture = options(0).architecture
    assert (architecture.num_classes, architecture.mean) == (1000, (123.68, 116.779, 103.939))
    with pytest.raises(UserError, match=r"nets have 1000 classes\. Received: 10\."):
        options(10)


def test_nets_that_no_suite_can_run_are_refused_in_a_line():
    with pytest.raises(UserError, match=r"images are in RGB\. Received: architecture\.channels=1\."):
        options(channels=1)
    for suite in ("train", "forward", "evaluate", "scaling", "all"):
        with pytest.raises(UserError, match=rf"nets give classes\. Received: `benchmark {suite}` of a net of boxes"):
            run(suite, options(boxes="pcr"))


def test_frozen_layers_are_refused_where_a_step_is_timed_beside_those_of_all_layers():
    for suite in ("train", "scaling", "all"):
        with pytest.raises(UserError, match=r"trains all layers, .* Received: training\.layers=fc\."):
            run(suite, options(training=Training(layers="fc")))


def test_another_backend_is_refused_before_anything_is_timed(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    for suite in ("evaluate", "scaling", "all"):
        with pytest.raises(UserError, match=rf"{suite}` runs on Keras's tensorflow backend\. .*BACKEND=jax\."):
            run(suite, options())


def test_flags_are_read_by_suites_that_exist():
    assert {suite for suites in READ_BY.values() for suite in suites} <= set(SUITES)
