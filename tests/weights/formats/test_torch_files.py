"""The tensors of torch's files: what a training wraps around them is left out, and nothing in a file runs."""

import argparse
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from tests.weights.sources import difference, logits, normalised, ours, torch_vgg
from vgg_keras.errors import UserError
from vgg_keras.weights.formats import torch_files, torchvision
from vgg_keras.weights.load import load_net
from vgg_keras.weights.read import read


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own
def test_a_pickle_of_anything_but_tensors_is_refused_and_does_not_run(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"features.0.weight": Code()}))
    torch.save({"features.0.weight": Code()}, "zipped.pth")
    for name in ("code.pth", "zipped.pth"):
        refused(name, r"anything else in it is not unpickled\. Received: ")
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), "script.pt")
    refused("script.pt", r"Received: script\.pt: a TorchScript archive\. Save a whole model's: torch\.save")
    torch.save([1, 2], "list.pth")
    refused("list.pth", r"holds a state dict of tensors\. Received: list\.pth, with list")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_and_another_one_are_not_taken_for_one_with_code(tmp_path):
    """A download that was cut, a web server's page, the pointer of Git LFS: no advice to save a state dict."""
    for zipped in (True, False):
        torch.save({"a": torch.ones(1000)}, tmp_path / "cut.pth", _use_new_zipfile_serialization=zipped)
        (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:2000])
        with pytest.raises(UserError, match=r"must be whole\. Received: .*cut\.pth, a damaged one: ") as caught:
            torch_files.tensors_of(tmp_path / "cut.pth")
        assert len(str(caught.value)) < 300
    for content, what in (
        (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE html><html>'"),
        (b"version https://git-lfs.github.com/spec/v1", r"begins with b'version https://git-lfs\.'"),
        (bytes(2000), r"begins with b'\\x00"),
        (b"", "is empty"),
    ):
        (tmp_path / "other.pth").write_bytes(content)
        with pytest.raises(UserError, match=rf"is a zip archive or a pickle\. Received: .*other\.pth, which {what}"):
            torch_files.tensors_of(tmp_path / "other.pth")


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


@pytest.mark.slow
def test_what_trainings_wrap_around_a_net_is_left_out(tmp_path, random):
    net = torch_vgg("D", width=1 / 16, crop=32)
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = logits(net, normalised(images))
    for name, checkpoint in nested(net.state_dict()).items():
        torch.save(checkpoint, tmp_path / "net.pth")
        assert (
            difference(name, ours(load_net(tmp_path / "net.pth", stated={"crop": 32}).model, images), expected) <= 1e-5
        ), name


# ---- tensors alone


def saved(path, state):
    torch.save(state, path)
    return {key: array.tolist() for key, array in torch_files.tensors_of(path).items()}


def test_of_several_state_dicts_the_likeliest_is_read(tmp_path):
    net, other = {"a.weight": torch.ones(2)}, {"a.weight": torch.zeros(2)}
    path = tmp_path / "net.pth"
    for checkpoint in (
        {"ema": other, "model": net},
        {"optimizer": other, "state_dict": net, "model": other},
        {"epoch": 3, "net": {"module": net, "steps": 7}},
        {"mine": net},  # under no name that is known
        {"loss": other, "mine": {**net, "b.weight": torch.ones(1, 1, 3, 3)}},  # the one with convolutions
        {"a.weight": torch.ones(2), "epoch": 3, "name": "net", "best": None},  # plain values beside tensors
        # of PyTorch's ImageNet example, and of torchvision's own training: tensors and flags beside the net
        {"epoch": 3, "arch": "vgg16", "state_dict": net, "best_acc1": torch.tensor(71.6), "optimizer": {"state": {}}},
        {"model": net, "model_ema": other, "rng": torch.get_rng_state(), "args": argparse.Namespace(lr=0.1, opt="sgd")},
        {"confusion": torch.zeros(3, 3), "state_dict": net},
    ):
        assert saved(path, checkpoint)["a.weight"] == [1.0, 1.0], list(checkpoint)


def test_names_are_those_of_the_net_itself_in_its_order(tmp_path):
    names = ["module.b.weight", "_orig_mod.module.a.weight", "c.module.d", "my_module.e", "modules.f"]
    found = saved(tmp_path / "net.pth", {name: torch.full((1,), float(place)) for place, name in enumerate(names)})
    assert list(found.items()) == [
        ("b.weight", [0]),
        ("a.weight", [1]),
        ("c.d", [2]),
        ("my_module.e", [3]),
        ("modules.f", [4]),
    ]


def test_a_file_of_two_nets_is_refused(tmp_path):
    """As Lightning writes a net and the average of its weights: neither is more likely to be meant."""
    kernel = torch.ones(4, 3, 3, 3)
    torch.save({"model.features.0.weight": kernel, "ema.features.0.weight": kernel}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"one net\. Received: .*net\.pth, with ema\.features\., model\.features\.\."):
        torchvision.read(tmp_path / "net.pth")


def test_two_tensors_of_one_name_are_refused(tmp_path):
    """A net and a copy of it in DataParallel: without the prefix one would take the place of the other."""
    torch.save({"a.weight": torch.ones(2), "module.a.weight": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(
        UserError, match=r"names each tensor once\. Received: .*, with module\.a\.weight beside a\.weight\."
    ):
        torch_files.tensors_of(tmp_path / "net.pth")


def test_numbers_become_float32(tmp_path):
    values = torch.tensor([1.0, -0.5, 3.0])
    kinds = {"half": values.half(), "brain": values.bfloat16(), "double": values.double(), "counter": torch.tensor(7)}
    torch.save(kinds, tmp_path / "net.pth")
    found = torch_files.tensors_of(tmp_path / "net.pth")
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    assert [found[name].tolist() for name in kinds] == [[1.0, -0.5, 3.0]] * 3 + [7.0]


@pytest.mark.filterwarnings("ignore:.*(quantize_per_tensor|TypedStorage):UserWarning")  # torch's own
def test_kernels_in_integers_are_refused(tmp_path):
    """Read as they are they would be a net's weights times an unknown scale. A counter or a row of numbers is none."""
    kernel = torch.tensor([[1.0, -2.0]])
    for value, kind in (
        (torch.quantize_per_tensor(kernel, 0.1, 0, torch.qint8), "torch.qint8"),
        (kernel.to(torch.int8), "torch.int8"),
        (kernel.to(torch.complex64), "torch.complex64"),
    ):
        torch.save({"a.weight": value, "steps": torch.tensor([7])}, tmp_path / "net.pth")
        with pytest.raises(UserError, match=rf"floating-point numbers\. Received: .*, whose a\.weight is of {kind}"):
            torch_files.tensors_of(tmp_path / "net.pth")
    for dtype in (np.int8, np.uint8, np.int32):
        save_file({"a.weight": np.ones((1, 2), dtype), "steps": np.array([7])}, tmp_path / "net.safetensors")
        with pytest.raises(UserError, match=rf"whose a\.weight is of {np.dtype(dtype)}"):
            torch_files.tensors_of(tmp_path / "net.safetensors")


@pytest.mark.parametrize("name", ["checkpoint.pth.tar", "epoch=3-step=99.ckpt", "pytorch_model.bin"])
def test_files_of_torch_have_the_endings_that_trainings_give_them(tmp_path, name):
    state = torch_vgg("A", width=1 / 16, crop=32).state_dict()
    torch.save({"state_dict": state}, tmp_path / name)
    source, _ = read(tmp_path / name)
    assert len(source.tensors) == 11 and source.fc_layers == ("classifier.0", "classifier.3", "classifier.6")


def test_an_ending_in_capitals_is_the_same_format(tmp_path):
    save_file({"module.a.weight": np.float32([[1, 2]])}, tmp_path / "NET.SAFETENSORS")
    assert torch_files.tensors_of(tmp_path / "NET.SAFETENSORS")["a.weight"].tolist() == [[1, 2]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_safetensors_of_other_floating_point_numbers_is_read(tmp_path, dtype):
    values = torch.tensor([[1.0, -0.5, 3.0]]).to(getattr(torch, dtype))
    safetensors.torch.save_file({"a.weight": values}, tmp_path / "net.safetensors")
    found = torch_files.tensors_of(tmp_path / "net.safetensors")["a.weight"]
    assert np.asarray(found, np.float32).tolist() == [[1.0, -0.5, 3.0]]


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_a_damaged_safetensors_gets_one_line(tmp_path, content):
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"net\.safetensors must be a whole \.safetensors file\. Received another"
    ) as caught:
        torch_files.tensors_of(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_state_dict_is_named_by_its_type(tmp_path):
    for value, kind in (
        ([1, 2], "with list"),
        (torch.ones(2), "with Tensor"),
        ({"a": {"b": {"c": 1}}}, "whose 'a' is of dict"),
        ({"a.weight": torch.ones(2), "classes": ["cat"]}, "whose 'classes' is of list"),
    ):
        torch.save(value, tmp_path / "net.pth")
        with pytest.raises(UserError, match=rf"holds a state dict of tensors\. Received: .*net\.pth, {kind}\."):
            torch_files.tensors_of(tmp_path / "net.pth")
