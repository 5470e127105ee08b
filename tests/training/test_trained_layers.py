"""Which layers are trained, and the rates of their own."""

import re

import pytest

from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.overrides import override
from vgg_keras.recipes import load
from vgg_keras.training.trained_layers import rate_factors, resolved, trained_layers

D, GAP = Architecture("D"), Architecture("D", head="gap")
BLOCK5 = ("block5_conv1", "block5_conv2", "block5_conv3")


@pytest.mark.parametrize(
    ("net", "chosen", "first", "count"),
    [
        (D, "all", "block1_conv1", 16),
        (D, "fc", "fc1", 3),
        (D, "new", "fc1", 3),
        (GAP, "fc", "predictions", 1),
        (D, "block5", "block5_conv1", 6),
        (D, "block4_conv2", "block4_conv2", 8),
        (GAP, "block5", "block5_conv1", 4),
        (D, "fc2", "fc2", 2),
        (Architecture("B-5x5"), "block3", "block3_conv1", 6),
    ],
)
def test_from_a_block_or_a_layer_on(net, chosen, first, count):
    names = trained_layers(net, chosen)
    assert (names[0], names[-1], len(names)) == (first, "predictions", count)


def test_new_is_the_first_layer_that_the_start_lacks():
    convolutions = trained_layers(D, "all")[:13]
    assert resolved(D, "new", convolutions) == "fc1"
    assert resolved(GAP, "new", convolutions) == "predictions"
    assert resolved(D, "new", trained_layers(D, "all")) == "predictions"  # whose classes may be others
    assert resolved(D, "block5", convolutions) == "block5"


@pytest.mark.parametrize(
    ("chosen", "meant"), [("block6", "Did you mean .block5"), ("fc3", "Did you mean .fc"), ("head", "Known: all")]
)
def test_layers_that_the_net_does_not_have_are_refused(chosen, meant):
    with pytest.raises(UserError, match="training.layers is all, fc, new, or the block or layer") as caught:
        trained_layers(D, chosen)
    assert f"Received: {chosen!r}" in str(caught.value) and re.search(meant, str(caught.value))


def test_rate_factors_of_blocks_and_of_layers():
    assert rate_factors(D, ["predictions:10", "block5:0.1"]) == {
        **dict.fromkeys(BLOCK5, 0.1),
        "predictions": 10.0,
    }
    assert rate_factors(D, ["block5_conv2:2", "block5:0.1"])["block5_conv2"] == 2.0  # a layer goes before its block
    assert rate_factors(D, ["fc:3", "fc2:4"]) == {"fc1": 3.0, "fc2": 4.0, "predictions": 3.0}
    assert rate_factors(GAP, ["fc1:3", "predictions:2"]) == {"predictions": 2.0}  # a recipe for both heads
    assert rate_factors(D, []) == {}


@pytest.mark.parametrize(
    ("head", "factors"),
    [
        ({"head": "gap"}, {}),
        ({"head": "gap", "fc_layers": 0}, {}),
        ({"head": "gap", "fc_units": (256,), "fc_layers": 1}, {"fc1": 0.1}),
        ({"head": "fc", "fc_layers": 0}, {}),
        ({"head": "fc", "fc_units": (256,), "fc_layers": 1}, {"fc1": 0.1}),
        ({"head": "fc"}, {"fc1": 0.1, "fc2": 0.1}),
        ({"head": "gmp", "fc_units": (3, 2, 1)}, {"fc1": 0.1, "fc2": 0.1}),
    ],
)
def test_finetunes_rate_factors_fit_any_head(head, factors):
    """The recipe names fc1 and fc2, of which a head may have none or one."""
    recipe = load("finetune")
    config = override(recipe, {f"architecture.{name}": value for name, value in head.items()})
    assert rate_factors(config.architecture, recipe.training.rate_factors) == factors


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["prediction:10"], r"Received: 'prediction:10'\. Did you mean 'predictions'\?"),
        (["block5"], "LAYER:FACTOR, BLOCK:FACTOR or fc:FACTOR"),
        (["block5:0"], "a number above 0"),
        (["block5:-1"], "a number above 0"),
        (["block5:inf"], "a number above 0"),
        (["block5:ten"], "a number above 0"),
        (["block5:1", "block5:2"], "names a layer or a block once. Received: 'block5' twice"),
    ],
)
def test_rate_factors_that_cannot_be_are_refused(assignments, message):
    with pytest.raises(UserError, match=message):
        rate_factors(D, assignments)
