"""Which layers of a torch state dict are a head, by arrays alone and by torch's own logits."""

import itertools

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.weights.sources import difference, logits, normalised, ours, torch_vgg
from vgg_keras.errors import UserError
from vgg_keras.weights import inference
from vgg_keras.weights.formats import torch_head, torchvision
from vgg_keras.weights.load import load_net


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


class Around(torch.nn.Module):
    """A net around torchvision's convolutions, with a head of its own."""

    def __init__(self, features, head, pooled):
        super().__init__()
        self.backbone, self.pooled, self.head = features, pooled, head

    def forward(self, images):
        x = self.backbone(images)
        return self.head(x.mean((2, 3)) if self.pooled else torch.flatten(x, 1))


@pytest.mark.parametrize(
    "form",
    ["last layer in a Sequential", "one hidden", "pooled", "one output", "pooled and hidden", "pooled, two hidden"],
)
def test_heads_of_their_own_are_read(tmp_path, random, form):
    torch.manual_seed(2)
    linear, relu, dropout = torch.nn.Linear, torch.nn.ReLU, torch.nn.Dropout
    net = torch_vgg("A", width=1 / 16, crop=64)
    channels = 32
    stated, classes = {}, 3
    if form == "last layer in a Sequential":
        net.classifier[6] = torch.nn.Sequential(linear(256, 20), relu(), dropout(), linear(20, classes))
    elif form == "one hidden":
        net.classifier = torch.nn.Sequential(linear(4 * channels, 20), relu(), dropout(), linear(20, classes))
    elif form == "one output":
        net = Around(net.features, torch.nn.Sequential(linear(4 * channels, 20), relu(), linear(20, 1)), False)
    else:
        units = (channels, *{"pooled": (), "pooled and hidden": (20,), "pooled, two hidden": (20, 10)}[form], classes)
        head = [part for inputs, outputs in itertools.pairwise(units) for part in (linear(inputs, outputs), relu())]
        net, stated = Around(net.features, torch.nn.Sequential(*head[:-1]), True), {"crop": 64}
    torch.save(net.eval().state_dict(), tmp_path / "net.pth")
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "net.safetensors")
    images = random.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = logits(net, normalised(images))
    if form == "one output":
        expected = np.concatenate([np.zeros_like(expected), expected], axis=1)
    for ending in ("pth", "safetensors"):
        loaded = load_net(tmp_path / f"net.{ending}", stated=stated)
        assert difference(f"{form}, {ending}", ours(loaded.model, images), expected) <= 1e-5
    if stated:
        with pytest.raises(
            UserError, match=r"Name it: --set=architecture\.crop=224, .*; or --set=architecture\.crop=32"
        ):
            load_net(tmp_path / "net.pth")


def test_batch_norm_in_a_head_leaves_the_convolutions(tmp_path):
    net = torch_vgg("A", width=1 / 16, crop=32)
    net.classifier[1] = torch.nn.BatchNorm1d(256)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(
        UserError, match=r"Received: .*net\.pth, another, with batch norm at classifier\.1\. Its convolutions"
    ):
        load_net(tmp_path / "net.pth")
    loaded = load_net(tmp_path / "net.pth", convolutions=True).model
    kernel = net.features[3].weight.detach().numpy().transpose(2, 3, 1, 0)
    assert np.array_equal(loaded.get_layer("block2_conv1").kernel, kernel)
