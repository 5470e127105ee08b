"""Weights of other frameworks: the loaded net's logits of photographs are the source's own."""

import hashlib
import inspect
import json
import pickle
import shutil
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest
import scipy.io
import torch
from safetensors.numpy import save_file

import vgg_keras
from tests.weights import sources
from vgg_keras.config import Architecture, Config, Data
from vgg_keras.data.decoding import decode
from vgg_keras.data.rescaling import center_crop
from vgg_keras.errors import UserError
from vgg_keras.files import sha256
from vgg_keras.weights import foreign, load
from vgg_keras.weights.classes import imagenet_classes, require_classes
from vgg_keras.weights.foreign import CAFFE, TORCHVISION
from vgg_keras.weights.formats import torchvision
from vgg_keras.weights.load import load_net
from vgg_keras.weights.sources import ENDINGS, PINNED, digest_of

BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


@pytest.fixture(scope="session")
def photos(photographs):
    """Three photographs' centre crops, (3, 224, 224, 3) uint8 RGB."""
    crops = [center_crop(decode(path.read_bytes()), 256, 224, "bilinear") for path in photographs[:3]]
    return np.round(np.stack(crops)).clip(0, 255).astype(np.uint8)


def normalised(images):
    """As torchvision does it, its numbers."""
    return (images / np.float32(255) - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


def as_caffe(images):
    return images[..., ::-1].astype(np.float32) - BGR_MEAN


def difference(name, ours, theirs):
    largest = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{name}: largest relative difference {largest:.2g} of logits up to {np.abs(theirs).max():.3g}")
    assert np.ptp(theirs, axis=0).max() > 1e-3 * np.abs(theirs).max()  # the photographs are told apart
    return largest


# ---- torchvision and timm


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_torchvision(tmp_path, photos, name, batch_norm):
    net = sources.torch_vgg(name, batch_norm)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "vgg.safetensors")
    expected = sources.logits(net, normalised(photos))
    for ending in ("pth", "safetensors"):
        loaded = load_net(tmp_path / f"vgg.{ending}")
        architecture = loaded.config.architecture
        found = (
            architecture.name,
            architecture.batch_norm,
            architecture.width,
            architecture.crop,
            architecture.num_classes,
        )
        assert found == (name, batch_norm, 1 / 8, 224, 7)
        assert difference(f"{name} .{ending}", loaded.model.predict(photos, verbose=0), expected) <= 1e-4


@pytest.mark.parametrize("batch_norm", [False, True])
def test_timm_names_its_head(tmp_path, photos, batch_norm):
    net = sources.torch_vgg("A", batch_norm)
    heads = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    state = {}
    for key, value in net.state_dict().items():
        layer, _, part = key.rpartition(".")
        if part == "weight" and layer in ("classifier.0", "classifier.3"):  # convolutions there
            side = 7 if layer == "classifier.0" else 1
            value = value.reshape(len(value), -1, side, side)
        state[f"{heads.get(layer, layer)}.{part}"] = value.contiguous()
    save_file({key: value.numpy() for key, value in state.items()}, tmp_path / "timm.safetensors")
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, tmp_path / "timm.pth"
    )
    expected = sources.logits(net, normalised(photos))
    for ending in ("safetensors", "pth"):
        ours = vgg_keras.load_weights(None, tmp_path / f"timm.{ending}").predict(photos, verbose=0)
        assert difference(f"timm .{ending}", ours, expected) <= 1e-4


def test_the_authors_nets_in_torchvisions_layout_take_caffes_images(tmp_path):
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    for name, expected in (("vgg16-00b39a1b.pth", CAFFE), ("vgg16-397923af.pth", TORCHVISION)):
        torch.save(net.state_dict(), tmp_path / name)
        assert torchvision.read(tmp_path / name).preprocessing == expected


def test_the_authors_nets_in_torchvisions_layout_are_told_by_their_digests_under_any_name(
    tmp_path, random, monkeypatch
):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    shutil.copy(tmp_path / "mine.pth", tmp_path / "mine-00b39a1b.pth")  # a name that promises nothing
    for digits, expected in (((), normalised(images)), ((sha256(tmp_path / "mine.pth")[:8],), as_caffe(images))):
        monkeypatch.setattr(torchvision, "CAFFES", digits)
        for name in ("mine.pth", "mine-00b39a1b.pth"):
            ours = vgg_keras.load_weights(None, tmp_path / name).predict(images, verbose=0)
            assert difference(name, ours, sources.logits(net, expected)) <= 1e-4


def test_what_is_assumed_of_a_files_images_is_said_and_what_it_promises_is_not(tmp_path, capsys, monkeypatch):
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "vgg.safetensors")
    (tmp_path / "vgg.caffemodel").write_bytes(sources.caffemodel(sources.convolutions_and_fc(net)))
    scipy.io.savemat(
        tmp_path / "vgg.mat", sources.matconvnet(sources.convolutions_and_fc(net), BGR_MEAN[::-1]), oned_as="row"
    )
    for name, words in (
        ("vgg.pth", "read as torchvision's, RGB in 0-1, normalised by the mean 0.485, 0.456, 0.406 and the deviation"),
        ("vgg.safetensors", "read as torchvision's, RGB in 0-1"),
        (
            "vgg.caffemodel",
            "read as the authors', BGR minus the mean 103.939, 116.779, 123.68; the file does not say so",
        ),
        ("vgg.mat", ""),
    ):
        load_net(tmp_path / name)
        said = capsys.readouterr().err
        assert said.count("\n") == bool(words) and words in said
    path = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    shutil.copy(tmp_path / "vgg.caffemodel", path)
    monkeypatch.setitem(PINNED, path.name, ("sha256", sha256(path)))
    load_net(path)
    assert capsys.readouterr().err == ""


# ---- the authors' files


@pytest.mark.parametrize("form", ["layers of 2014", "layer"])
def test_a_caffemodels_own_preprocessing_is_believed(tmp_path, random, form, capsys):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net, first = sources.torch_vgg("A", width=1 / 16, crop=32), form != "layer"
    whole = sources.caffemodel(sources.convolutions_and_fc(net), first_form=first)

    def data(**fields):
        """A layer that reads images."""
        floats = [(1, value) for value in fields.get("scale", ())] + [
            (5, value) for value in fields.get("mean_value", ())
        ]
        stated = b"".join(sources.varint(number << 3 | 5) + struct.pack("<f", value) for number, value in floats)
        stated += sources.field(2, 1) + sources.field(3, 224)  # mirror, crop_size
        return sources.field(2 if first else 100, sources.field(36 if first else 100, stated))

    path = tmp_path / "net.caffemodel"
    for fields, expected in (
        ({"mean_value": (104.0, 117.0, 123.0)}, images[..., ::-1] - np.float32([104, 117, 123])),
        ({"mean_value": (127.5,), "scale": (1 / 128,)}, (images[..., ::-1] - 127.5) / 128),
        ({}, as_caffe(images)),
    ):
        path.write_bytes(data(**fields) + whole)
        ours = vgg_keras.load_weights(None, path).predict(images, verbose=0)
        assert difference(str(fields), ours, sources.logits(net, expected)) <= 1e-4
        assert ("the file does not say so" in capsys.readouterr().err) == (not fields)
    path.write_bytes(data(mean_value=(1.0, 2.0, 3.0)) + data(mean_value=(4.0, 2.0, 3.0)) + whole)
    with pytest.raises(
        UserError, match=r"one mean, of one or three values, and one scale\. Received: .*net\.caffemodel"
    ):
        load_net(path)


@pytest.mark.parametrize("form", ["layers of 2014", "layer"])
def test_caffemodel(tmp_path, photos, form):
    net = sources.torch_vgg("E" if form == "layer" else "D")
    path = tmp_path / "VGG_ILSVRC.caffemodel"
    path.write_bytes(sources.caffemodel(sources.convolutions_and_fc(net), first_form=form != "layer"))
    expected = sources.logits(net, as_caffe(photos))
    ours = vgg_keras.load_weights(None, path).predict(photos, verbose=0)
    assert difference(f"caffemodel, {form}", ours, expected) <= 1e-4


@pytest.mark.parametrize("form", ["weights", "filters"])
def test_matconvnet(tmp_path, photos, form):
    net = sources.torch_vgg("D")
    saved = sources.matconvnet(sources.convolutions_and_fc(net), BGR_MEAN[::-1], form)
    scipy.io.savemat(tmp_path / "vgg.mat", saved, oned_as="row")
    loaded = load_net(tmp_path / "vgg.mat")
    expected = sources.logits(net, as_caffe(photos))
    assert difference(f".mat with {form}", loaded.model.predict(photos, verbose=0), expected) <= 1e-4
    assert loaded.classes == tuple(f"class {number}" for number in range(7))


def test_matconvnets_imagenet_classes_go_by_the_names_that_its_ids_have(tmp_path):
    ids, names = imagenet_classes()
    net = sources.torch_vgg("A", width=1 / 16, crop=32, classes=1000)
    saved = sources.matconvnet(sources.convolutions_and_fc(net), BGR_MEAN[::-1])
    saved["meta"]["classes"] = {
        "name": np.array([ids], object),
        "description": np.array([[f"{n}, x" for n in names]], object),
    }
    scipy.io.savemat(tmp_path / "vgg.mat", saved, oned_as="row")
    loaded = load_net(tmp_path / "vgg.mat")
    assert loaded.classes == names
    require_classes(loaded, ids, "imagenet2012")


# ---- Keras


@pytest.fixture(scope="module")
def applications():
    """VGG16 at crop 64, so that its flatten order matters, with random weights and biases."""
    keras.utils.set_random_seed(1)
    net = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=11, classifier_activation=None)
    for layer in net.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.random.default_rng(0).normal(0, 0.5, bias.shape)])
    return net


def test_keras_applications(tmp_path, photos, applications, capsys):
    from keras.src.legacy.saving import legacy_h5_format

    crops = photos[:, 80:144, 80:144]
    prepared = keras.applications.vgg16.preprocess_input(crops.astype(np.float32))
    expected = applications.predict(prepared, verbose=0)
    with h5py.File(tmp_path / "weights.h5", "w") as file:  # as the files that Keras Applications downloads
        legacy_h5_format.save_weights_to_hdf5_group(file, applications)
    ours = vgg_keras.load_weights(None, tmp_path / "weights.h5")
    assert difference("Keras Applications", ours.predict(crops, verbose=0), expected) <= 1e-4

    # another number of classes keeps all but the last layer
    mean = (123.68, 116.779, 103.939)
    other = vgg_keras.build("D", num_classes=3, crop=64, mean=mean, seed=0)
    last = [array.copy() for array in other.get_layer("predictions").get_weights()]
    vgg_keras.load_weights(other, tmp_path / "weights.h5")
    said = capsys.readouterr().err
    print(said)
    assert "no weights for predictions, which stay as they were; num_classes=11 takes its own" in said
    assert np.array_equal(other.get_layer("fc2").kernel, ours.get_layer("fc2").kernel)
    assert all(np.array_equal(*pair) for pair in zip(last, other.get_layer("predictions").get_weights(), strict=True))

    # without top
    topless = keras.Model(applications.input, applications.get_layer("block5_pool").output)
    with h5py.File(tmp_path / "notop.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, topless)
    gap = vgg_keras.build("D", num_classes=3, crop=64, mean=mean, head="gap", seed=0)
    vgg_keras.load_weights(gap, tmp_path / "notop.h5")
    maps = keras.Model(gap.input, gap.get_layer("block5_pool").output).predict(crops, verbose=0)
    assert difference("without top", maps.reshape(3, -1), topless.predict(prepared, verbose=0).reshape(3, -1)) <= 1e-4
    with pytest.raises(UserError, match=r"without the FC layers is no whole net\. Received: .*notop.* trains a head"):
        vgg_keras.load_weights(None, tmp_path / "notop.h5")

    # a net whose head would be random answers no question
    fields = {"crop": 64, "mean": mean}
    for name, classes, message in (
        ("notop", 0, r"fc1, fc2, predictions\. train --weights=.*notop\.h5 trains them"),
        ("notop", 3, r"fc1, fc2, predictions\. train --weights="),
        (
            "weights",
            3,
            r"without those of predictions\. --set=architecture\.num_classes=11 takes its own; train --weights=",
        ),
    ):
        config = Config(Architecture("D", num_classes=classes, **fields), Data(scale=(64,)))
        with pytest.raises(UserError, match=rf"weights in every layer\. Received: .*{name}\.h5, .*{message}"):
            load_net(tmp_path / f"{name}.h5", config)


def small(name="A", **fields):
    return vgg_keras.build(name, **{"num_classes": 4, "crop": 32, "width": 1 / 16, "mean": (9.0, 8.0, 7.0), **fields})


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_keras_own_files_give_their_weights(tmp_path, random, ending):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    for fields in ({}, {"batch_norm": True}, {"head": "gap"}, {"name": "A-LRN"}):
        source, target = small(seed=1, **fields), small(seed=2, **fields)
        (source.save if ending == ".keras" else source.save_weights)(tmp_path / f"net{ending}")
        vgg_keras.load_weights(target, tmp_path / f"net{ending}")
        assert np.array_equal(source.predict(images, verbose=0), target.predict(images, verbose=0)), fields
        if ending == ".keras" and "name" not in fields and "head" not in fields:  # it holds its mean
            own = vgg_keras.load_weights(None, tmp_path / "net.keras")
            assert np.array_equal(source.predict(images, verbose=0), own.predict(images, verbose=0))
    for other, message in (
        (small(mean=(1.0, 2.0, 3.0), name="A-LRN"), r"must subtract its source's mean"),
        (
            small(name="A-LRN", activation="leaky_relu"),
            r"the same activation .*, with relu and an LRN, for leaky_relu of slope 0.2 and",
        ),
        (small(), r"the same activation and normalisation\. .* with relu and an LRN, for relu\."),
    ):
        if ending == ".keras" or "mean" not in message:
            with pytest.raises(UserError, match=message):
                vgg_keras.load_weights(other, tmp_path / f"net{ending}")
    if ending == ".weights.h5":
        with pytest.raises(UserError, match=r"gives weights only, not what its net does to images first"):
            vgg_keras.load_weights(None, tmp_path / f"net{ending}")


def test_a_keras_file_tells_leaky_relus_slope(tmp_path, random, refused):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    source = small(activation="leaky_relu", negative_slope=0.1, seed=1)
    source.save(tmp_path / "net.keras")
    own = load_net(tmp_path / "net.keras")
    assert own.config.architecture.negative_slope == 0.1
    assert np.array_equal(source.predict(images, verbose=0), own.model.predict(images, verbose=0))
    target = small(activation="leaky_relu", negative_slope=0.1, seed=2)
    vgg_keras.load_weights(target, tmp_path / "net.keras")
    assert np.array_equal(source.predict(images, verbose=0), target.predict(images, verbose=0))
    other = small(activation="leaky_relu", negative_slope=0.3)
    refused(tmp_path / "net.keras", r"with leaky_relu of slope 0\.1, for leaky_relu of slope 0\.3\.", other)
    source.save_weights(tmp_path / "net.weights.h5")  # which does not hold it
    vgg_keras.load_weights(other, tmp_path / "net.weights.h5")


def test_a_files_own_net_is_told_by_shapes_and_converted_once(tmp_path, monkeypatch):
    converted = []

    def counted(*asked):
        converted.append(asked)
        return foreign.tensors_for(*asked)

    monkeypatch.setattr(load, "tensors_for", counted)
    net = sources.torch_vgg("B", batch_norm=True, width=1 / 16, crop=32)
    state = {**net.state_dict(), "classifier.6.bias": torch.full((7,), float("inf"))}
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    assert load_net(tmp_path / "vgg.pth").config.architecture.name == "B" and len(converted) == 1
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"must be finite\. Received: .*vgg\.pth, whose classifier\.6 holds"):
        load_net(tmp_path / "vgg.pth")


def test_public_names_have_their_digests():
    """Keras's own sources are asked for theirs; the others' are of their lengths, and no two alike."""
    checked = []
    from keras.src.applications import vgg16, vgg19

    for module in (vgg16, vgg19):
        told = inspect.getsource(module)
        for name in [name for name in PINNED if f'get_file(\n                "{name}"' in told]:
            assert (
                f'file_hash="{PINNED[name][1]}"' in told.split(f'get_file(\n                "{name}"')[1].split(")")[0]
            )
            checked.append(name)
    assert len(checked) == 4
    assert tuple(load._READERS) == ENDINGS
    digests = [digest for _, *known in PINNED.values() for digest in known]
    assert len(set(digests)) == len(digests)
    for kind, *known in PINNED.values():
        assert all(len(digest) == 2 * hashlib.new(kind).digest_size for digest in known)


@pytest.mark.parametrize("name", ["imagenet-vgg-verydeep-19.mat", "VGG_ILSVRC_16_layers.caffemodel"])
def test_another_file_under_a_public_name_is_refused_before_it_is_parsed(tmp_path, name, refused, monkeypatch):
    net = sources.convolutions_and_fc(sources.torch_vgg("A", width=1 / 16, crop=32))
    path = tmp_path / name
    if path.suffix == ".mat":
        scipy.io.savemat(path, sources.matconvnet(net, BGR_MEAN[::-1]), oned_as="row")
    else:
        path.write_bytes(sources.caffemodel(net))
    kind = PINNED[name][0]
    found = hashlib.new(kind, path.read_bytes()).hexdigest()
    message = rf"{name} is a public file, with {kind} {PINNED[name][1]}.* with {found}\. Rename it, if it is another\."
    with monkeypatch.context() as parsers:
        parsers.setattr("vgg_keras.weights.load._READERS", {})
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


def test_torchvisions_eight_names_promise_a_digest_and_dates_do_not(tmp_path):
    for name in TORCHVISIONS:
        path = tmp_path / f"{name}.pth"
        path.write_bytes(b"another file")
        with pytest.raises(UserError, match=r"first digits of their sha256 in their names"):
            digest_of(path, "D")
    for date in ("20260228", "19991231"):
        path = tmp_path / f"vgg16-{date}.pth"
        path.write_bytes(b"a file of that day")
        assert digest_of(path, "D") == sha256(path)


def test_other_nets_in_keras_files_are_refused(tmp_path, refused, applications):
    """Keras Applications' layers have our names, but their net takes BGR; ours, saved as .h5, takes RGB."""
    for ending in (".keras", ".weights.h5"):
        path = tmp_path / f"applications{ending}"
        (applications.save if ending == ".keras" else applications.save_weights)(path)
        refused(path, r"a net of vgg_keras, which begins with a mean\. Received: .*, another", small("D"))
    net = small()
    net.save(tmp_path / "ours.h5")
    refused(
        tmp_path / "ours.h5", r"A plain \.h5 is Keras Applications'\. Received: .*ours\.h5, a net of vgg_keras", small()
    )


def test_odd_widths_take_their_own_weights(tmp_path, random):
    images = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    for width in (0.03, 0.3, 1 / 3):
        source, target = small(width=width, seed=1), small(width=width, seed=2)
        source.save(tmp_path / "net.keras")
        vgg_keras.load_weights(target, tmp_path / "net.keras")
        assert np.array_equal(source.predict(images, verbose=0), target.predict(images, verbose=0)), width


def test_bombs_are_refused_before_they_are_read(tmp_path, refused):
    state = sources.torch_vgg("A", width=1 / 16, crop=32).state_dict()
    torch.save({**state, "features.0.weight": torch.zeros(1).expand(10**12)}, tmp_path / "repeats.pth")
    refused(tmp_path / "repeats.pth", r"holds every value of its tensors")
    torch.save({**state, "features.0.weight": state["features.0.weight"].to_sparse()}, tmp_path / "sparse.pth")
    refused(tmp_path / "sparse.pth", r"holds whole tensors\. Received: .*, with sparse")
    small().save_weights(tmp_path / "net.weights.h5")
    with h5py.File(tmp_path / "net.weights.h5", "a") as file:
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars"].create_dataset("0", (10**6, 10**6), "f4")  # no byte of it is there
    refused(
        tmp_path / "net.weights.h5",
        r"must hold a net's weights\. Received: .*4,000,000,000,000 bytes once read",
        small(),
    )
    torch.save({**state, "classifier.6.weight": torch.tensor(1.0)}, tmp_path / "scalar.pth")
    refused(tmp_path / "scalar.pth", r"scalar\.pth")
    with pytest.raises(UserError, match=r"scalar\.pth"):
        load_net(tmp_path / "scalar.pth")
    bn = sources.torch_vgg("A", batch_norm=True, width=1 / 16, crop=32).state_dict()
    torch.save({**bn, "features.1.running_var": torch.full((4,), -5e-4)}, tmp_path / "variance.pth")
    with pytest.raises(UserError, match=r"variance is not negative\. Received: .*, whose features\.1 has"):
        load_net(tmp_path / "variance.pth")


def test_another_standard_deviation_is_folded_in(tmp_path, random):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    net = sources.torch_vgg("A", width=1 / 16, crop=32)
    torch.save(net.state_dict(), tmp_path / "vgg.pth")
    mean = tuple(255 * value for value in (0.485, 0.456, 0.406))
    ours = small(num_classes=7, mean=mean, std=(50.0, 60.0, 70.0))
    vgg_keras.load_weights(ours, tmp_path / "vgg.pth")
    assert difference("std", ours.predict(images, verbose=0), sources.logits(net, normalised(images))) <= 1e-4


# ---- what is refused, and leaves the net as it was


@pytest.fixture
def refused(random):
    """Asserts that a source is refused with a message in one line, and that the net keeps its weights."""

    def check(source, message, model=None, **asked):
        model = model or small(num_classes=7, mean=tuple(255 * value for value in (0.485, 0.456, 0.406)))
        before = [array.copy() for array in model.get_weights()]
        with pytest.raises(UserError, match=message) as caught:
            vgg_keras.load_weights(model, source, **asked)
        assert "\n" not in str(caught.value)
        assert all(np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))

    return check


def test_a_net_of_another_kind_is_refused_with_both_lists(tmp_path, refused):
    state = sources.torch_vgg("A", width=1 / 16, crop=32).state_dict()

    def saved(changes):
        path = tmp_path / "vgg.pth"
        torch.save({key: value for key, value in {**state, **changes}.items() if value is not None}, path)
        return path

    refused(saved({"extra.weight": torch.zeros(3)}), r"missing: none; left over: extra\.")
    refused(
        saved({"features.3.weight": None, "features.3.bias": None, "more.bias": torch.zeros(1)}),
        r"layers of A and no more\. .*missing: features\.3; left over: more\.",
    )
    refused(
        saved({"features.0.weight": torch.zeros(4, 3, 5, 5)}), r"features\.0 has \(4, 3, 5, 5\), not \(4, 3, 3, 3\)"
    )
    refused(
        saved({"classifier.0.weight": torch.zeros(256, 31)}), r"classifier\.0 has \(256, 31\), not \(256, 32, 1, 1\)"
    )
    refused(saved({"features.3.bias": torch.full((8,), np.nan)}), r"must be finite\. .* whose features\.3 holds")
    torch.save(sources.torch_vgg("D", width=1 / 16, crop=32).state_dict(), tmp_path / "D.pth")
    refused(tmp_path / "D.pth", r"layers of A and no more\. .*missing: features\.3, .*; left over: features\.")
    refused(
        saved({}),
        r"Received: mean 9, 8, 7 for .*Build the net with mean=\(123\.675, 116\.28, 103\.53\)",
        small(num_classes=7),
    )
    for path in (saved({}), tmp_path / "vgg16-0000000a.pth"):
        if not path.exists():
            shutil.copy(tmp_path / "vgg.pth", path)
            refused(path, r"first digits of their sha256 in their names\. Received: .*vgg16-0000000a")
            continue
        refused(path, r"must have the sha256 that is asked for, 12ab", sha256="12ab")
    vgg_keras.load_weights(
        small(num_classes=7, mean=(123.675, 116.28, 103.53)), tmp_path / "vgg.pth", sha256(tmp_path / "vgg.pth")
    )


class Code:
    """A pickle that would run a command."""

    def __reduce__(self):
        return exec, ("open('ran', 'w')",)


def test_files_that_are_none_or_would_run_code(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"features.0.weight": Code()}))
    torch.save({"features.0.weight": Code()}, "zipped.pth")
    for name in ("code.pth", "zipped.pth"):
        refused(name, r"anything else in it is not unpickled\. Received: ")
    torch.save([1, 2], "list.pth")
    refused("list.pth", r"holds a state dict of tensors\. Received: list\.pth, with list")

    whole = {"vgg.safetensors": None, "net.weights.h5": None, "net.keras": None, "vgg.pth": None}
    state = sources.torch_vgg("A", width=1 / 16, crop=32).state_dict()
    torch.save(state, "vgg.pth")
    save_file({key: value.numpy() for key, value in state.items()}, "vgg.safetensors")
    small().save_weights("net.weights.h5")
    small().save("net.keras")
    caffe = sources.caffemodel(sources.convolutions_and_fc(sources.torch_vgg("A", width=1 / 16, crop=32)))
    (tmp_path / "vgg.caffemodel").write_bytes(caffe)
    for name in (*whole, "vgg.caffemodel"):
        content = (tmp_path / name).read_bytes()
        for cut in (b"", content[: len(content) // 2], b"<html>" + content[:100]):
            (tmp_path / name).write_bytes(cut)
            refused(name, rf"{name}")
    (tmp_path / "vgg.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    refused("vgg.mat", r"vgg\.mat")
    blob = sources.caffemodel({"conv1_1": [np.zeros((2, 3, 3, 3), np.float32)]})
    (tmp_path / "lies.caffemodel").write_bytes(
        blob.replace(sources.field(1, 2) + sources.field(2, 3), sources.field(1, 9) + sources.field(2, 3))
    )
    refused(
        "lies.caffemodel",
        r"as its shape says\. Received: lies\.caffemodel, whose conv1_1 has 216 bytes for \(9, 3, 3, 3\)",
    )
    refused("vgg.npz", r"Weights come from a run's folder, 'imagenet', or a file that ends in .*Received: vgg\.npz")
    refused("absent.pth", r"must exist\. Received: absent\.pth")
    assert not (tmp_path / "ran").exists()


def test_hdf5_files_that_reach_out_of_themselves(tmp_path, refused, random):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.zeros((3, 3, 3, 4), np.float32)
    for kind in ("link", "soft", "storage"):
        path = tmp_path / f"{kind}.weights.h5"
        small().save_weights(path)
        with h5py.File(path, "a") as file:
            del file["layers/conv2d/vars/0"]
            if kind == "link":
                file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(outside), "secret")
            elif kind == "soft":
                file["layers/conv2d/vars/0"] = h5py.SoftLink("/layers/conv2d_1/vars/0")
            else:
                file["layers/conv2d/vars"].create_dataset("0", (3, 3, 3, 4), "f4", external=[(str(outside), 0, 432)])
        refused(path, r"holds them itself\. Received: .*vars/0.* (is a link elsewhere|lies in another file)", small())


def test_a_keras_file_with_a_layer_that_is_not_ours_is_refused(tmp_path, refused, monkeypatch):
    """Its weights may fit, but its net does something else with them; and nothing in it runs."""
    monkeypatch.chdir(tmp_path)
    small(seed=3).save("net.keras")
    with zipfile.ZipFile("net.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    config["config"]["layers"].append({"class_name": "Lambda", "config": {"function": "exec(\"open('ran','w')\")"}})
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile("lambda.keras", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    refused(
        "lambda.keras", r"holds a net of vgg_keras\. Received: lambda\.keras, another, with Lambda\.", small(seed=4)
    )
    with zipfile.ZipFile("empty.keras", "w") as archive:
        archive.writestr("../model.weights.h5", files["model.weights.h5"])
    refused(
        "empty.keras", r"A \.keras file holds config\.json and model\.weights\.h5\. Received: empty\.keras", small()
    )
    assert not (tmp_path / "ran").exists()
    refused("net.keras", r"layers of D and no more\. .*missing: block1_conv2", small("D"))
