"""torchvision's and timm's files: the loaded net's logits of photographs are torch's, and nothing in a file runs."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.weights.sources import as_caffe, difference, logits, normalised, ours, save_torch, torch_vgg
from vgg_keras.errors import UserError
from vgg_keras.files import sha256
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
            found = ours(load_net(tmp_path / name).model, images)
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
