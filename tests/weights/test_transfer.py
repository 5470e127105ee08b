"""3.1's start from another net, variable by variable."""

from pathlib import Path

import numpy as np
import pytest

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.transfer import transfer


def run(name, seed=1, **fields):
    architecture = Architecture(name, **{"num_classes": 4, "width": 1 / 16, "crop": 32, "mean": (1, 2, 3), **fields})
    return LoadedModel(
        build(architecture, seed=seed), Config(architecture=architecture), ("a",) * 4, Path(f"runs/{name}"), ""
    )


def weights(model):
    return {f"{layer.name} {place}": array for layer in model.layers for place, array in enumerate(layer.get_weights())}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_gives_its_first_four_convolutions_and_its_fc_layers(batch_norm):
    source, target = run("A", batch_norm=batch_norm), run("E", seed=2, batch_norm=batch_norm)
    theirs, before = weights(source.model), weights(target.model)
    moved = transfer(source, target.model, target.config)
    after = weights(target.model)
    # section 3.1 by hand: A's conv3-64, conv3-128, conv3-256, conv3-256, FC-4096, FC-4096, FC-1000
    given = {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions"}
    assert {name for name in moved.copied if not name.endswith("_bn")} == given
    assert set(moved.copied) | set(moved.left) == {name.split()[0] for name in after}
    for name, array in after.items():
        copied = name.split()[0].removesuffix("_bn") in given
        assert np.array_equal(array, theirs[name] if copied else before[name]), name
        if name.endswith("conv1 0"):
            assert not np.array_equal(theirs[name], before[name])


def test_the_same_net_gives_every_weight():
    source, target = run("D"), run("D", seed=2)
    moved = transfer(source, target.model, target.config)
    assert moved.left == () and len(moved.copied) == 16
    after = weights(target.model)
    for name, array in weights(source.model).items():
        assert np.array_equal(array, after[name])


def test_nets_without_hidden_fc_layers_give_what_they_have():
    source, target = run("A", head="gap"), run("E", seed=2, head="gap")
    moved = transfer(source, target.model, target.config)
    assert set(moved.copied) == {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "predictions"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 1 / 8}, r"Received: runs/A, whose block1_conv1 has .*\(3, 3, 3, 4\)"),
        ({"num_classes": 3}, "whose predictions has"),
        ({"crop": 64}, "whose fc1 has"),
        ({"head": "gap"}, "where fc1 is more"),
        ({"batch_norm": True}, "where block1_conv1_bn is missing"),
    ],
)
def test_another_shape_is_refused_and_nothing_is_copied(fields, message):
    source, target = run("A"), run("E", seed=2, **fields)
    before = weights(target.model)
    with pytest.raises(UserError, match=message):
        transfer(source, target.model, target.config)
    for name, array in weights(target.model).items():
        assert np.array_equal(array, before[name])
