"""Keras's files: Keras Applications' weights, ours, and archives with something else in them."""

import json
import re
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

import vgg_keras
from tests.weights.formats.thin_nets import convolutions, equal, functional, head, scaled
from tests.weights.sources import as_caffe, difference, ours, small
from vgg_keras.errors import UserError
from vgg_keras.weights.formats import keras_files
from vgg_keras.weights.load import load_net

# ---- Keras Applications


@pytest.mark.slow
def test_keras_applications_logits(photos, applications, applications_h5):
    prepared = keras.applications.vgg16.preprocess_input(photos.astype(np.float32))
    loaded = load_net(applications_h5)
    assert difference("Keras Applications", ours(loaded.model, photos), ours(applications, prepared)) <= 1e-4


@pytest.mark.slow
def test_keras_applications_maps_without_its_fc_layers(photos, applications, applications_notop_h5):
    prepared = keras.applications.vgg16.preprocess_input(photos.astype(np.float32))
    gap = vgg_keras.build("D", num_classes=3, crop=64, head="gap", seed=0)
    vgg_keras.load_weights(gap, applications_notop_h5)
    found, expected = (
        ours(keras.Model(net.input, net.get_layer("block5_pool").output), images).reshape(3, -1)
        for net, images in ((gap, photos), (applications, prepared))
    )
    assert difference("without top", found, expected) <= 1e-4


def test_ours_saved_as_a_plain_h5_is_refused(tmp_path, refused):
    small().save(tmp_path / "ours.h5")
    refused(
        tmp_path / "ours.h5", r"A plain \.h5 is Keras Applications'\. Received: .*ours\.h5, a net of vgg_keras", small()
    )


def test_weights_alone_behind_a_rescaling_are_not_read_as_keras_applications(tmp_path):
    """In Keras 2's format, of one FC layer, under names of the layers' own."""
    names, inputs = ["input_1", "rescaling"], 3
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for number in range(8):
            name = f"conv2d_{number}"
            group = file.create_group(f"{name}/{name}")
            group["kernel:0"], inputs = np.zeros((3, 3, inputs, 4), np.float32), 4
            group["bias:0"] = np.zeros(4, np.float32)
            file[name].attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            names.append(name)
        group = file.create_group("dense/dense")
        group["kernel:0"], group["bias:0"] = np.zeros((4, 3), np.float32), np.zeros(3, np.float32)
        file["dense"].attrs["weight_names"] = ["dense/kernel:0", "dense/bias:0"]
        for name in ("input_1", "rescaling", "global_average_pooling2d"):
            file.create_group(name).attrs["weight_names"] = np.array([], "S1")
        file.create_group("flatten").attrs["weight_names"] = np.array([], "S1")
        file.attrs["layer_names"] = [*names, "global_average_pooling2d", "flatten", "dense"]  # Flatten of one position
    source = keras_files.read_h5(tmp_path / "weights.h5")
    assert source.preprocessing is None and source.assumed == "" and source.head == "gap"


def test_a_long_configuration_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "net.keras", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("config.json", b" " * (keras_files.MAX_CONFIG_BYTES + 1))
        archive.writestr("model.weights.h5", b"")
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(UserError, match=r"must hold a net\. Received: config\.json, of 1,048,577 bytes unpacked"):
        keras_files.read_keras(tmp_path / "net.keras")


# ---- .keras and .weights.h5


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_our_own_files_give_their_weights(tmp_path, random, ending):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    path = tmp_path / f"net{ending}"
    for fields in ({}, {"batch_norm": True}, {"head": "gap"}, {"name": "A-LRN"}):
        source, target = small(seed=1, **fields), small(seed=2, **fields)
        (source.save if ending == ".keras" else source.save_weights)(path)
        vgg_keras.load_weights(target, path)
        assert np.array_equal(ours(source, images), ours(target, images)), fields
        if ending == ".keras" and "name" not in fields and "head" not in fields:  # it holds its mean
            assert np.array_equal(ours(source, images), ours(load_net(path).model, images))
    for other, message in (  # of the last, A-LRN
        (small(mean=(1.0, 2.0, 3.0), name="A-LRN"), r"must subtract its source's mean"),
        (
            small(name="A-LRN", activation="leaky_relu"),
            r"the same activation .*, with relu and an LRN, for leaky_relu of slope 0.2 and",
        ),
        (small(), r"the same activation and normalisation\. .* with relu and an LRN, for relu\."),
    ):
        if ending == ".keras" or "mean" not in message:
            with pytest.raises(UserError, match=message):
                vgg_keras.load_weights(other, path)
    if ending == ".weights.h5":
        with pytest.raises(UserError, match=r"gives weights only, not what its net does to images first"):
            load_net(path)


@pytest.mark.slow
def test_a_keras_file_holds_leaky_relus_slope(tmp_path, random, refused):
    images = random.uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    source = small(activation="leaky_relu", negative_slope=0.1, seed=1)
    source.save(tmp_path / "net.keras")
    own = load_net(tmp_path / "net.keras")
    assert own.config.architecture.negative_slope == 0.1
    assert np.array_equal(ours(source, images), ours(own.model, images))
    target = small(activation="leaky_relu", negative_slope=0.1, seed=2)
    vgg_keras.load_weights(target, tmp_path / "net.keras")
    assert np.array_equal(ours(source, images), ours(target, images))
    other = small(activation="leaky_relu", negative_slope=0.3)
    refused(tmp_path / "net.keras", r"with leaky_relu of slope 0\.1, for leaky_relu of slope 0\.3\.", other)
    source.save_weights(tmp_path / "net.weights.h5")  # which does not hold it
    vgg_keras.load_weights(other, tmp_path / "net.weights.h5")


def test_another_net_in_keras_files_is_refused(tmp_path, refused):
    """Keras Applications' layers have our names, but their net takes BGR."""
    model, target = functional([*convolutions(), *head()]), small()
    for ending in (".keras", ".weights.h5"):
        path = tmp_path / f"applications{ending}"
        (model.save if ending == ".keras" else model.save_weights)(path)
        refused(path, r"must subtract its source's mean, .* Received: mean 9, 8, 7", target)


def test_weights_of_a_net_that_divides_behind_its_mean_are_refused(tmp_path, refused):
    target = small()
    image = keras.Input((32, 32, 3))
    x = kl.Rescaling(1 / 255)(image)
    for layer in target.layers[1:]:
        x = layer(x)
    keras.Model(image, x).save_weights(tmp_path / "net.weights.h5")
    refused(tmp_path / "net.weights.h5", r"Received: .*, another\. It has rescaling\.", target)


def archive_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_archive(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_a_keras_file_with_a_layer_that_is_not_ours_is_refused(tmp_path, refused, monkeypatch):
    """Its weights may fit, but its net does something else with them; and nothing in it runs."""
    monkeypatch.chdir(tmp_path)
    target = small(seed=4)
    small(seed=3).save("net.keras")
    files = archive_of("net.keras")
    config = json.loads(files["config.json"])
    config["config"]["layers"].append({"class_name": "Lambda", "config": {"function": "exec(\"open('ran','w')\")"}})
    write_archive("lambda.keras", {**files, "config.json": json.dumps(config).encode()})
    refused("lambda.keras", r"holds a net of Table 1\. Received: lambda\.keras, another, with Lambda\.", target)
    write_archive("empty.keras", {"../model.weights.h5": files["model.weights.h5"]})
    refused("empty.keras", r"A \.keras file holds config\.json and model\.weights\.h5\. Received: empty\.keras", target)
    assert not (tmp_path / "ran").exists()
    content = (tmp_path / "net.keras").read_bytes()
    # a flipped bit of the archive's directory says that its files are encrypted
    flipped = re.sub(rb"(PK\x01\x02.{4})\x00", lambda found: found[1] + b"\x01", content, flags=re.DOTALL)
    (tmp_path / "flipped.keras").write_bytes(flipped)
    refused("flipped.keras", r"A \.keras file holds config\.json .*: File 'config\.json' is encrypted", target)
    refused("net.keras", r"layers of D and no more\. .*missing: block1_conv2", small("D"))


def test_a_keras_file_of_ours_with_another_padding_or_lrn_is_refused(tmp_path):
    small("A-LRN").save(tmp_path / "net.keras")
    files = archive_of(tmp_path / "net.keras")
    for old, new, message in (
        (b'"padding": "same"', b'"padding": "valid"', "padding=valid"),
        (b'"beta": 0.75', b'"beta": 0.5', "beta=0.5"),
    ):
        assert old in files["config.json"]
        changed = {**files, "config.json": files["config.json"].replace(old, new, 1)}
        write_archive(tmp_path / "other.keras", changed)
        with pytest.raises(UserError, match=rf"Received: .*other\.keras, another, with .*{message}"):
            load_net(tmp_path / "other.keras")


@pytest.mark.slow
def test_a_model_without_preprocessing_is_taken_for_keras_applications_and_it_is_said(tmp_path, images, capsys):
    model = scaled(functional([*convolutions(), *head()]))
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"net.{ending}")
        loaded = load_net(tmp_path / f"net.{ending}")
        line = (
            f"net.{ending}: read as Keras Applications', BGR minus the mean 103.939, 116.779, 123.68; the file does not"
        )
        assert line in capsys.readouterr().err
        assert equal(loaded, model, images, as_caffe(images))


def test_a_configuration_that_is_too_long_is_not_parsed(tmp_path, whole):
    for name, text in (("list", [b"{}"] * 3), ("long", np.bytes_(b" " * 60_000))):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = text
        with pytest.raises(UserError, match=rf"Received: .*{name}\.h5|{name}\.h5 must hold"):
            load_net(path)


REFUSED = {
    "not JSON": (lambda config: "{", "whose configuration is not JSON"),
    "nothing": (lambda config: "", "whose configuration is not JSON"),
    "deep": (lambda config: "[" * 20_000, "whose configuration is not JSON"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_configuration_that_is_no_json_is_refused(refused_when, kind):
    refused_when(*REFUSED[kind])
