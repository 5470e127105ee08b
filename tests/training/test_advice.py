"""The advice after a training whose numbers ran away is a command line that the package takes."""

import re

import pytest

from vgg_keras.overrides import override, parse_assignments
from vgg_keras.recipes import load
from vgg_keras.training.advice import not_finite, too_high


def assignments(message):
    return re.findall(r"--set=([\w.]+=[\d.e-]*\d)", message)


def test_the_rate_of_sgdw_is_lowered_with_its_decay():
    """SGDW's decay is the share of the weights at this rate."""
    config = override(load("D"), {"stages": (), "training.learning_rate": 0.01, "training.weight_decay": 5e-6})
    message = too_high(config, first=2.3, loss=4.56e8, step=7, rate=0.01)
    assert "Received: 2.3 at step 1 and 4.56e+08 at step 7, learning rate 0.01" in message
    lower = override(config, parse_assignments(assignments(message))).training
    assert (lower.learning_rate, lower.weight_decay) == (pytest.approx(1e-4), pytest.approx(5e-8))


def test_adams_decay_stays_and_a_wider_precision_is_named():
    config = override(load("D"), {"stages": (), "training.optimizer": "adam", "training.learning_rate": 1e-3})
    message = not_finite(config, "mixed_float16", "The loss", step=3, rate=1e-3)
    assert message.startswith(
        "The loss must stay finite. Received: not a number or infinite at step 3, learning rate 0.001."
    )
    assert assignments(message) == ["training.learning_rate=0.0001"]
    assert "--set=runtime.precision=float32" in message
    assert "runtime.precision" not in not_finite(config, "float32", "The loss", step=3, rate=1e-3)


def test_a_stage_of_a_chain_is_lowered_at_its_place():
    chain = load("finetune")
    config = chain.of_stage(chain.stages[1])
    assert "--set=stages.N.learning_rate=1e-05, where N is the place of block5" in not_finite(
        config, "float32", "A", 1, 1e-4
    )
