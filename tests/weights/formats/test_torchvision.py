"""torchvision's and timm's files: the loaded net's logits of photographs are torch's, and nothing in a file runs."""

import itertools
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.weights.sources import as_caffe, difference, logits, normalised, ours, save_torch, torch_vgg
from vgg_keras.errors import UserError
from vgg_keras.files import sha256
from vgg_keras.nets.feature_maps import feature_maps
from vgg_keras.weights.formats import torchvision
from vgg_keras.weights.load import load_net
from vgg_keras.weights.source_weights import CAFFE, TORCHVISION


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_logits_are_torchs(tmp_path, photos, name, batch_norm):
    net = torch_vgg(name, batch_norm, width=1 / 16, crop=64)
    loaded = load_net(save_torch(net, tmp_path / "vgg.pth"))
    found = loaded.config.architecture
    assert (found.name, found.batch_norm, found.width, found.crop, found.num_classes) == (
        name,
        batch_norm,
        1 / 16,
        64,
        7,
    )
    assert difference(name, ours(loaded.model, photos), logits(net, normalised(photos))) <= 1e-4
    # a .safetensors holds the same
    other = torchvision.read(save_torch(net, tmp_path / "vgg.safetensors"))
    for layer, arrays in torchvision.read(tmp_path / "vgg.pth").tensors.items():
        assert all(map(np.array_equal, arrays, other.tensors[layer])), layer


@pytest.mark.parametrize("batch_norm", [False, True])
def test_timm_names_its_head(tmp_path, photos, batch_norm):
    net = torch_vgg("A", batch_norm, width=1 / 16, crop=64)
    heads = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    state = {}
    for key, value in net.state_dict().items():
        layer, _, part = key.rpartition(".")
        if part == "weight" and layer in ("classifier.0", "classifier.3"):  # convolutions there
            side = 2 if layer == "classifier.0" else 1
            value = value.reshape(len(value), -1, side, side)
        state[f"{heads.get(layer, layer)}.{part}"] = value.contiguous()
    save_file({key: value.numpy() for key, value in state.items()}, tmp_path / "timm.safetensors")
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, tmp_path / "timm.pth"
    )
    expected = logits(net, normalised(photos))
    for ending in ("safetensors", "pth"):
        loaded = load_net(tmp_path / f"timm.{ending}")
        assert difference(f"timm .{ending}", ours(loaded.model, photos), expected) <= 1e-4


def test_the_authors_nets_in_torchvisions_layout_take_caffes_images(tmp_path):
    net = torch_vgg("A", width=1 / 16, crop=32)
    for name, expected in (("vgg16-00b39a1b.pth", CAFFE), ("vgg16-397923af.pth", TORCHVISION)):
        assert torchvision.read(save_torch(net, tmp_path / name)).preprocessing == expected


def test_the_authors_nets_are_identified_by_their_digests_under_any_name(tmp_path, random, monkeypatch):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net = torch_vgg("A", width=1 / 16, crop=32)
    path = save_torch(net, tmp_path / "mine.pth")
    shutil.copy(path, tmp_path / "mine-00b39a1b.pth")  # a name that implies nothing
    for digits, expected in (((), normalised(images)), ((sha256(path)[:8],), as_caffe(images))):
        monkeypatch.setattr(torchvision, "CAFFES", digits)
        for name in ("mine.pth", "mine-00b39a1b.pth"):
            found = ours(load_net(tmp_path / name, stated={"crop": 32}).model, images)
            assert difference(name, found, logits(net, expected)) <= 1e-4


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


def test_a_pickle_of_anything_but_tensors_is_refused_and_does_not_run(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"features.0.weight": Code()}))
    torch.save({"features.0.weight": Code()}, "zipped.pth")
    for name in ("code.pth", "zipped.pth"):
        refused(name, r"anything else in it is not unpickled\. Received: ")
    torch.save([1, 2], "list.pth")
    refused("list.pth", r"holds a state dict of tensors\. Received: list\.pth, with list")
    assert not (tmp_path / "ran").exists()


def test_tensors_that_repeat_their_values_or_hold_few_are_refused_unread(tmp_path, refused):
    state = torch_vgg("A", width=1 / 16, crop=32).state_dict()
    for name, changes, message in (
        ("repeats", {"features.0.weight": torch.zeros(1).expand(10**12)}, r"holds every value of its tensors"),
        (
            "sparse",
            {"features.0.weight": state["features.0.weight"].to_sparse()},
            r"holds whole tensors\. Received: .*, with sparse",
        ),
        ("scalar", {"classifier.6.weight": torch.tensor(1.0)}, r"scalar\.pth"),
    ):
        torch.save({**state, **changes}, tmp_path / f"{name}.pth")
        refused(tmp_path / f"{name}.pth", message)
    with pytest.raises(UserError, match=r"scalar\.pth"):
        load_net(tmp_path / "scalar.pth")


def nested(state):
    """What trainings wrap a net's state dict in: (what, the checkpoint)."""
    return {
        "DataParallel": {f"module.{key}": value for key, value in state.items()},
        "torch.compile": {f"_orig_mod.{key}": value for key, value in state.items()},
        "both, in Lightning": {
            "state_dict": {f"model._orig_mod.module.{key}": value for key, value in state.items()},
            "epoch": 3,
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        },
        "model_state_dict": {
            "epoch": 3,
            "model_state_dict": state,
            "optimizer_state_dict": {"state": {}, "param_groups": []},
        },
        "model": {"model": {f"net.{key}": value for key, value in state.items()}, "ema": {"step": torch.zeros(1)}},
        "backbone": {f"backbone.{key}": value for key, value in state.items()},
        "a name of its own": {"mine": {f"encoder.vgg.{key}": value for key, value in state.items()}},
    }


def test_what_trainings_wrap_around_a_net_is_left_out(tmp_path, random):
    net = torch_vgg("D", width=1 / 16, crop=32)
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = logits(net, normalised(images))
    for name, checkpoint in nested(net.state_dict()).items():
        torch.save(checkpoint, tmp_path / "net.pth")
        assert (
            difference(name, ours(load_net(tmp_path / "net.pth", stated={"crop": 32}).model, images), expected) <= 1e-5
        ), name


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


def test_torchvisions_features_have_images_of_their_own_and_no_head(tmp_path, random, capsys):
    """VGG16_Weights.IMAGENET1K_FEATURES: a classifier that is not a number, recognised by it under any name."""
    net = torch_vgg("D", width=1 / 16, crop=32)
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    with torch.no_grad():
        for parameter in net.classifier.parameters():
            parameter.fill_(float("nan"))
        taken = (images / np.float32(255) - np.float32([0.48235, 0.45882, 0.40784])) * np.float32(255)
        expected = net.features(torch.from_numpy(np.ascontiguousarray(taken.transpose(0, 3, 1, 2)))).numpy()
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UserError, match=r"without the FC layers is no whole net\. Received: .*mine\.pth"):
        load_net(tmp_path / "mine.pth")
    loaded = load_net(tmp_path / "mine.pth", convolutions=True).model
    assert "torchvision's IMAGENET1K_FEATURES" in capsys.readouterr().err
    maps = feature_maps(loaded, ["block5_pool"])(images)["block5_pool"].numpy()
    assert difference("features", maps, expected.transpose(0, 2, 3, 1)) <= 1e-5
    path = tmp_path / "vgg16_features-amdegroot-00000000.pth"
    torch.save(net.state_dict(), path)
    with pytest.raises(UserError, match=r"the first digits of their sha256 in their names"):
        load_net(path, convolutions=True)
    path = path.rename(tmp_path / f"vgg16_features-amdegroot-{sha256(path)[:8]}.pth")
    load_net(path, convolutions=True)
    assert "IMAGENET1K_FEATURES" not in capsys.readouterr().err
