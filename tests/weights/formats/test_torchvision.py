"""torchvision's and timm's files: the loaded net's logits of photographs are torch's."""

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


@pytest.mark.slow
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


def test_a_model_that_normalises_its_images_itself_is_not_read_as_torchvisions(tmp_path, random, capsys):
    """Its mean and deviation are buffers, of a unit and an order of colours that the file does not hold."""
    net = torch_vgg("A", width=1 / 16, crop=64)
    images = random.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    path, state = tmp_path / "net.pth", {f"model.{key}": value for key, value in net.state_dict().items()}

    def save(mean, std):
        buffers = {"normalize.mean": mean, "normalize.std": std}
        torch.save(state | {name: torch.tensor(value).view(1, 3, 1, 1) for name, value in buffers.items()}, path)

    save([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    loaded = load_net(path)
    assert difference("torchvision's numbers", ours(loaded.model, images), logits(net, normalised(images))) <= 1e-4
    said = capsys.readouterr().err
    assert "normalize.std = 0.229, 0.224, 0.225" in said and "read as torchvision's" not in said
    save([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    for convolutions in (False, True):
        with pytest.raises(
            UserError, match=r"images first\. Received: .*normalize\.mean = 0\.5, 0\.5, 0\.5; .*\. Give"
        ):
            load_net(path, convolutions=convolutions)
    loaded = load_net(path, stated={"mean": (127.5,) * 3, "std": (127.5,) * 3})
    assert difference("stated", ours(loaded.model, images), logits(net, images / np.float32(127.5) - 1)) <= 1e-4


def test_a_layer_before_the_convolutions_is_refused(tmp_path):
    """Batch norm of the image was taken for a part of the head, which `features` and `train` leave out."""
    state = {f"1.{key}": value for key, value in torch_vgg("A", width=1 / 16, crop=64).state_dict().items()}
    kernel = {"0.weight": torch.ones(3, 3, 1, 1), "0.bias": torch.zeros(3)}
    for first in (torch.nn.BatchNorm2d(3).state_dict(prefix="0."), kernel):
        torch.save({**first, **state}, tmp_path / "net.pth")
        with pytest.raises(UserError, match=r"begins with the convolutions .*with 0 of 3 channels beside them"):
            load_net(tmp_path / "net.pth", convolutions=True)


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
