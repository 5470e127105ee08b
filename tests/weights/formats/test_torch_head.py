"""Which layers of a torch state dict are a head, by arrays alone."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from vgg_keras.errors import UserError
from vgg_keras.weights import inference
from vgg_keras.weights.formats import torch_head, torchvision


def fc(*shape):
    return np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)


def test_fc_layers_of_one_module_follow_the_file_and_their_shapes():
    chain = {"fc": fc(8, 32), "classifier": fc(8, 8), "answer": fc(3, 8)}  # two of them fit in either order
    assert torch_head.read(chain, ordered=True)[1] == ("fc", "classifier", "answer")
    differing = {"classifier": fc(3, 8), "fc": fc(8, 32)}  # as a .safetensors sorts them
    for ordered in (True, False):
        assert torch_head.read(differing, ordered)[1] == ("fc", "classifier")
    numbered = {"head.10": fc(8, 8), "head.2": fc(8, 8), "head.20": fc(3, 8)}
    assert torch_head.read(numbered, ordered=False)[1] == ("head.2", "head.10", "head.20")


def state(**more):
    """A thin net A of torchvision's layout, an FC layer behind a pooling, and more arrays beside it."""
    found, inputs = {}, 3
    for place, units in zip((0, 3, 6, 8, 11, 13, 16, 18), (4, 8, 16, 16, 32, 32, 32, 32), strict=True):
        found |= {f"features.{place}.weight": np.ones((units, inputs, 3, 3)), f"features.{place}.bias": np.ones(units)}
        inputs = units
    found |= {"fc.weight": np.ones((3, inputs)), "fc.bias": np.ones(3), **more}
    return {name: array.astype(np.float32) for name, array in found.items()}


def test_what_trainings_keep_beside_a_net_is_left_out_and_named(tmp_path):
    save_file(state(**{"n_averaged": np.array(7.0), "criterion.weight": np.ones(3)}), tmp_path / "net.safetensors")
    source = torchvision.read(tmp_path / "net.safetensors")
    assert source.fc_layers == ("fc",) and len(source.tensors) == 9 and source.head_problem == ""
    assert source.notes == ("n_averaged, criterion.weight is left out: numbers beside the net",) or source.notes == (
        "criterion.weight, n_averaged is left out: numbers beside the net",
    )
    assert inference.infer(source, stated={"crop": 224}).head == "gap"


def test_arrays_that_may_be_part_of_a_net_are_refused_by_their_names(tmp_path):
    for key, array, message in (
        ("more.weight", np.ones(5), "left over: more"),
        ("scale.factor", np.ones(5), "at scale"),
    ):
        save_file(state(**{key: array}), tmp_path / "net.safetensors")
        with pytest.raises(UserError, match=message):
            source = torchvision.read(tmp_path / "net.safetensors")
            inference.require_head(source)
            inference.infer(source, stated={"crop": 224})
