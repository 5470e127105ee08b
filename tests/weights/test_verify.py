"""A source of weights is verified before it is read: what it is, that it exists, and its digest."""

import dataclasses
import hashlib
import inspect
import os

import pytest
import scipy.io

import vgg_keras
from tests.weights import sources
from tests.weights.sources import BGR_MEAN, convolutions_and_fc, save_torch, small, torch_vgg
from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.files import sha256, write_json
from vgg_keras.plain_values import to_dict
from vgg_keras.runs import run_config
from vgg_keras.weights.formats.run_folder import save_weights
from vgg_keras.weights.load import load_net
from vgg_keras.weights.verify import PINNED, digest_of, require_source


def test_what_is_no_regular_file_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "fifo.pth")
    (tmp_path / "zero.h5").symlink_to("/dev/zero")
    for name in ("fifo.pth", "zero.h5"):
        for verify in (require_source, lambda path: digest_of(path, "D")):
            with pytest.raises(UserError, match=rf"Weights come from a file or a run's folder\. Received: .*{name}"):
                verify(tmp_path / name)


def test_a_folder_of_another_library_is_refused_with_its_file(tmp_path):
    """As timm's on Hugging Face: the message was of its config.json alone."""
    write_json(tmp_path / "config.json", {"architecture": "vgg11", "num_classes": 5})
    (tmp_path / "model.safetensors").write_bytes(b"")
    for verify in (require_source, load_net, lambda path: vgg_keras.load_weights(small(), path)):
        with pytest.raises(UserError, match=r"which is no run's\. Name a file in it: .*/model\.safetensors\.$"):
            verify(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")  # a run whose configuration is damaged
    with pytest.raises(UserError, match=r"config\.json must be a run's configuration"):
        load_net(tmp_path)


def test_an_unknown_ending_and_an_absent_file_are_refused():
    for name, message in (
        ("vgg.npz", r"Weights come from a run's folder.*Received: vgg\.npz, which does not exist\.$"),
        ("runs/x", r"folder\. Received: runs/x, which does not exist\.$"),
        ("imagnet", r"Received: imagnet, which does not exist\. Did you mean 'imagenet'\?$"),
        ("absent.pth", r"must exist\. Received: absent\.pth"),
        ("net-00001-of-00001.safetensors", r"must exist\. Received: net-00001"),
        ("net-00002-of-00003.safetensors", r"come from one file\. Received: net-00002-of-00003.*save_file"),
        ("pytorch_model-00001-of-00002.bin", r"come from one file\. Received: pytorch_model-00001"),
        (
            "net.safetensors.index.json",
            r"come from one file\. Received: net\.safetensors\.index\.json, of a net in several",
        ),
        (
            "https://a.b/vgg16.pth",
            r"^Weights are files of this machine\. Received: https://a\.b/vgg16\.pth, an address\.",
        ),
    ):
        with pytest.raises(UserError, match=message):
            require_source(name)
    with pytest.raises(UserError, match=r"Received: https://a\.b/vgg16\.pth, an address"):  # as it was given
        load_net("https://a.b/vgg16.pth")


# ---- digests


def test_public_names_have_the_digests_of_keras_sources():
    """Those of Keras stand in its sources; the others have their lengths, and all differ."""
    from keras.src.applications import vgg16, vgg19

    checked = []
    for module in (vgg16, vgg19):
        text = inspect.getsource(module)
        for name in [name for name in PINNED if f'get_file(\n                "{name}"' in text]:
            call = text.split(f'get_file(\n                "{name}"')[1].split(")")[0]
            assert f'file_hash="{PINNED[name][1]}"' in call
            checked.append(name)
    assert len(checked) == 4
    digests = [digest for _, *known in PINNED.values() for digest in known]
    assert len(set(digests)) == len(digests)
    for kind, *known in PINNED.values():
        assert all(len(digest) == 2 * hashlib.new(kind).digest_size for digest in known)


@pytest.mark.parametrize("name", ["imagenet-vgg-verydeep-19.mat", "VGG_ILSVRC_16_layers.caffemodel"])
def test_another_file_under_a_public_name_is_refused_before_it_is_parsed(tmp_path, name, refused, monkeypatch):
    net = convolutions_and_fc(torch_vgg("A", width=1 / 16, crop=32))
    path = tmp_path / name
    if path.suffix == ".mat":
        scipy.io.savemat(path, sources.matconvnet(net, BGR_MEAN[::-1]), oned_as="row")
    else:
        path.write_bytes(sources.caffemodel(net))
    kind = PINNED[name][0]
    found = hashlib.new(kind, path.read_bytes()).hexdigest()
    message = rf"{name} is a public file, with {kind} {PINNED[name][1]}.* with {found}\. Rename it, if it is another\."
    with monkeypatch.context() as parsers:
        parsers.setattr("vgg_keras.weights.formats.READERS", {})
        refused(path, message)
    load_net(path.rename(tmp_path / f"mine{path.suffix}"))  # renamed
    (tmp_path / f"mine{path.suffix}").rename(path)
    monkeypatch.setitem(PINNED, name, (*PINNED[name], found))  # a later file of the same name
    assert load_net(path).config.architecture.name == "A"


# of torchvision/models/vgg.py
TORCHVISIONS = (
    "vgg11-8a719046",
    "vgg11_bn-6002323d",
    "vgg13-19584684",
    "vgg13_bn-abd245e5",
    "vgg16-397923af",
    "vgg16_bn-6c64b313",
    "vgg19-dcbb9e9d",
    "vgg19_bn-c79401a0",
)


def test_torchvisions_eight_names_imply_a_digest_and_dates_do_not(tmp_path):
    for name in (*TORCHVISIONS, "vgg16-0000000a"):
        path = tmp_path / f"{name}.pth"
        path.write_bytes(b"another file")
        with pytest.raises(UserError, match=rf"first digits of their sha256 in their names\. Received: .*{name}"):
            digest_of(path, "D")
    for date in ("20260228", "19991231"):
        path = tmp_path / f"vgg16-{date}.pth"
        path.write_bytes(b"a file of that day")
        assert digest_of(path, "D") == sha256(path)


# ---- a run is named by its folder


def test_a_runs_own_files_are_refused_with_the_runs_folder(tmp_path):
    run, stage = tmp_path / "run", tmp_path / "chain" / "jitter"
    model = small(num_classes=3, seed=5)
    for folder in (run, stage):
        architecture = Architecture("A", num_classes=3, crop=32, width=1 / 16, mean=(9.0, 8.0, 7.0))
        config = dataclasses.replace(Config(), architecture=architecture)
        write_json(folder / "config.json", {"config": to_dict(config), "classes": ["a", "b", "c"]})
        save_weights(model, folder)
        write_json(folder / "checkpoints" / "epoch-1" / "state.index", 1)
    for name in (
        "model.weights.h5",
        "model.keras",
        "config.json",
        "manifest.json",
        "checkpoints",
        "checkpoints/epoch-1",
        "checkpoints/epoch-1/state.index",
        "checkpoints/epoch-2/state",
        "best.h5",
    ):
        for folder in (run, stage):
            for refusing in (require_source, load_net, lambda path: vgg_keras.load_weights(model, path)):
                with pytest.raises(UserError, match=f"Give the run's folder, {folder}") as caught:
                    refusing(folder / name)
                assert "\n" not in str(caught.value)
            with pytest.raises(UserError, match=f"Give the run's folder, {folder}\\."):
                run_config(folder / name)
    # another file in a run's folder, and one beside another program's config.json, are what they are
    net = torch_vgg("A", width=1 / 16, crop=32)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text('{"architecture": "vgg11"}')
    for folder in (run, tmp_path / "theirs"):
        require_source(save_torch(net, folder / "vgg.safetensors"))
