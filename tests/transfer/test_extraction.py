"""Descriptors of a folder of images: kept as they come, continued after a stop, and the same from Python."""

import dataclasses
import json

import h5py
import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import torch
from keras.src.legacy.saving import legacy_h5_format

import vgg_keras
from tests.conftest import write_images
from tests.weights import sources
from vgg_keras import stop
from vgg_keras.config import Architecture, Config, Data, Evaluation, Features, Runtime
from vgg_keras.data.rescaling import rescale
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.nets.builder import build
from vgg_keras.nets.feature_maps import feature_maps, layer_names
from vgg_keras.overrides import override
from vgg_keras.transfer import descriptors, extraction
from vgg_keras.weights.formats.run_folder import LoadedModel
from vgg_keras.weights.load import load_net

SIZES = [(40, 60), (64, 64), (90, 40)]
ARCHITECTURE = Architecture("A", num_classes=2, width=1 / 16, crop=32, mean=(120, 110, 100))


@pytest.fixture
def net():
    config = Config(ARCHITECTURE, Data(scale=(36,)), evaluation=Evaluation(batch=4))
    return LoadedModel(build(ARCHITECTURE, seed=3), config, (), "a", "12")


@pytest.fixture
def config(net, tmp_path):
    for part in ("train", "val"):
        for name in "xy":
            write_images(tmp_path / "set" / part / name, SIZES, seed=len(part + name))
    return dataclasses.replace(
        net.config,
        data=Data(source=str(tmp_path / "set"), scale=(36,)),
        evaluation=Evaluation(scales=(32, 48), batch=4),
        features=Features(layer="fc2"),
        runtime=Runtime(cache_dir=str(tmp_path / "cache")),
    )


def extract(net, config, folder, *more_layers):
    images, classes = extraction.open_images(config, "all")
    layers = extraction.require_layers(net, config, more_layers)
    return extraction.extract(net, config, images, classes, "float32", folder, layers)


@pytest.mark.slow
def test_an_interrupted_extraction_continues_to_the_same_descriptors(net, config, tmp_path, monkeypatch):
    config, stops = override(config, {"features.layer": "block5_pool"}), 0
    whole = extract(net, config, tmp_path / "whole")
    assert whole.descriptors.shape == (12, 2 * 32) and whole.labels.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert np.allclose(np.linalg.norm(whole.descriptors, axis=1), 1, atol=1e-6)
    assert np.ptp(whole.descriptors, axis=0).max() > 0.01
    for _ in range(30):
        try:  # a stop after each batch
            monkeypatch.setattr(stop, "_requested", True)
            found = extract(net, config, tmp_path / "parts")
            break
        except StoppedError:
            stops += 1
    monkeypatch.setattr(stop, "_requested", False)
    found = extract(net, config, tmp_path / "parts")
    difference = np.abs(found.descriptors - whole.descriptors).max()
    print(f"stopped {stops} times: largest difference {difference:.2g}")
    assert stops > 4
    assert difference <= 1e-6 and found.ids == whole.ids and np.array_equal(found.labels, whole.labels)
    record = json.loads((tmp_path / "parts" / "features.json").read_text())
    assert record["images"] == 12 and record["layers"] == ["block5_pool"] and record["scales"] == [32, 48]
    assert record["weights_sha256"] == "12" and record["command"] and record["versions"]["keras"]


@pytest.mark.slow
def test_values_that_are_there_are_combined_without_the_net(net, config, tmp_path, monkeypatch):
    extract(net, config, tmp_path / "out", "block5_pool")
    expected = extract(
        net, override(config, {"features.layer": "pool5", "features.pooling": "max"}), tmp_path / "alone"
    )

    def never(*arguments):
        raise AssertionError("a pass")

    monkeypatch.setattr(extraction.passes, "run", never)
    changed = {"features.layer": "pool5", "features.pooling": "max", "evaluation.scales": (48, 32)}
    found = extract(net, override(config, changed), tmp_path / "out")
    halves = np.split(found.descriptors, 2, axis=1)
    assert np.abs(np.hstack(halves[::-1]) - expected.descriptors).max() <= 1e-6
    average = extract(net, override(config, {"features.combine": "average"}), tmp_path / "out")
    assert average.descriptors.shape == (12, 256)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"one net's descriptors of one set\. Received: .*flip: True, now False"):
        extract(net, override(config, {"evaluation.flip": False}), tmp_path / "out")


@pytest.mark.slow
def test_python_takes_every_form_of_an_image(net, config, tmp_path):
    found = extract(net, config, tmp_path / "out")
    paths = [tmp_path / "set" / name for name in found.ids]
    arrays = [np.asarray(PIL.Image.open(path)) for path in paths[:3]]

    def described(images, **fields):
        return vgg_keras.extract_features(net, images, scales=(32, 48), **fields)

    for images in (
        [str(path) for path in paths[:3]],
        paths[:3],
        arrays,
        [PIL.Image.fromarray(array) for array in arrays],
        [paths[0], arrays[1], str(paths[2])],
    ):
        assert np.abs(described(images) - found.descriptors[:3]).max() <= 1e-5
    assert np.abs(described(paths[0]) - found.descriptors[:1]).max() <= 1e-5
    assert described(tmp_path / "set" / "val").shape == (6, 512)
    assert described(arrays[0], layer="block3_conv1", combine="average", pooling="max").shape == (1, 16)
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"Photographs must be image files\. Received: .*text\.jpg"):
        described([paths[0], tmp_path / "text.jpg"])
    with pytest.raises(UserError, match="Received: 'block5_conv9'. Did you mean 'block5_conv"):
        described(paths[0], layer="block5_conv9")
    with pytest.raises(UserError, match="features.pooling must be one of mean, max"):
        described(paths[0], pooling="median")


@pytest.mark.slow
@pytest.mark.parametrize(("pooling", "combine"), [("mean", "stack"), ("max", "average")])
def test_descriptors_are_torchs_on_pillows_photographs(photographs, tmp_path, pooling, combine):
    """Appendix B by torch's net, from the files on: fc2 at two Q with mirror images; one photograph is stored turned."""
    judge = sources.torch_vgg("A", width=1 / 16, crop=64)
    torch.save(judge.state_dict(), tmp_path / "vgg.pth")
    paths = [path for path in photographs if path.stem in ("field", "rotated", "panorama", "grey")]
    pooled = np.zeros((2, len(paths), 256))  # after fc2's ReLU, the mean of both views
    for place, row in np.ndindex(pooled.shape[:2]):
        for view in sources.views_of(paths[row], (72, 100)[place]):
            values = sources.over_windows(judge, view, 5)
            pooled[place, row] += (values.mean(axis=0) if pooling == "mean" else values.max(axis=0)) / 2
    expected = np.concatenate(pooled, axis=1) if combine == "stack" else pooled.mean(axis=0)
    expected /= np.sqrt(np.square(expected).sum(axis=1, keepdims=True))
    found = vgg_keras.extract_features(tmp_path / "vgg.pth", paths, "fc2", (72, 100), pooling=pooling, combine=combine)
    off = np.abs(found - expected).max()
    print(f"{pooling}, {combine}: largest difference {off:.2g} of values up to {expected.max():.2g}")
    assert found.shape == (4, 512 if combine == "stack" else 256) and off <= 1e-5
    assert np.ptp(expected, axis=0).max() > 0.01  # the photographs differ


@pytest.mark.slow
def test_a_folder_without_class_folders_has_no_classes(net, config, tmp_path):
    write_images(tmp_path / "photos", SIZES)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    config = override(config, {"data.source": str(tmp_path / "photos"), "data.max_bad_fraction": 0.5})
    found = extract(net, config, tmp_path / "out")
    assert found.classes == () and found.labels.tolist() == [-1] * 3
    assert found.ids == ("000.jpg", "001.jpg", "002.jpg") and "broken.jpg" in found.nets[0].bad_images[0]
    assert descriptors.load(tmp_path / "out" / "features.npz").ids == found.ids


def test_weights_without_fc_layers_give_convolutions_alone(tmp_path):
    applications = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    with h5py.File(tmp_path / "notop.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, applications)
    net = load_net(tmp_path / "notop.h5", convolutions=True)
    assert net.config.architecture.name == "D" and net.config.architecture.head == "gap"
    kernel = applications.get_layer("block5_conv3").get_weights()[0]
    assert np.array_equal(net.model.get_layer("block5_conv3").get_weights()[0], kernel)
    with pytest.raises(UserError, match=r"Received: 'fc2', and this net has no hidden FC layers\. Try 'block5_pool'\."):
        extraction.require_layers(net, net.config)
    with pytest.raises(UserError, match="without the FC layers is no whole net"):
        load_net(tmp_path / "notop.h5")
    distance = vgg_keras.PerceptualDistance(tmp_path / "notop.h5", layers="relu5_3")  # which needs no more
    assert np.array_equal(distance.backbone.get_layer("block5_conv3").get_weights()[0], kernel)


@pytest.mark.slow
def test_a_net_of_grey_images(random, tmp_path):
    """A file and an array against the net's map of each view, averaged by NumPy."""
    pixels = random.integers(0, 256, (40, 60), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "grey.png")
    model = build(dataclasses.replace(ARCHITECTURE, channels=1, mean=(110,)), seed=3)
    rescaled = rescale(tf.constant(pixels[..., np.newaxis]), 32, "bilinear").numpy()
    maps = feature_maps(model, "block5_pool")(np.stack([rescaled, rescaled[:, ::-1]]))["block5_pool"]
    expected = np.asarray(maps, np.float64).mean(axis=(0, 1, 2))
    expected /= np.linalg.norm(expected)
    found = vgg_keras.extract_features(model, [tmp_path / "grey.png", pixels], "block5_pool", scales=(32,))
    print(f"largest difference {np.abs(found - expected).max():.2g}")
    assert np.abs(found - expected).max() <= 1e-5 < expected.max()
    # a configuration whose own net is in RGB
    given = Config(dataclasses.replace(ARCHITECTURE, mean=()), Data(scale=(36,)), evaluation=Evaluation(scales=(32,)))
    assert len(vgg_keras.predict_images(model, pixels, config=given)[0].probabilities) == 2


@pytest.mark.slow
def test_of_a_given_configuration_only_how_images_are_read_counts(net, random):
    picture = random.integers(0, 256, (50, 40, 3), np.uint8)
    expected = vgg_keras.extract_features(net, picture, scales=(32,))
    given = Config(evaluation=Evaluation(batch=1, flip=False), features=Features(pooling="max"))  # of a crop of 224
    assert np.abs(vgg_keras.extract_features(net, picture, scales=(32,), config=given) - expected).max() <= 1e-6
    bicubic = dataclasses.replace(given, data=Data(interpolation="bicubic"))
    assert np.abs(vgg_keras.extract_features(net, picture, scales=(32,), config=bicubic) - expected).max() > 1e-4
    few = dataclasses.replace(given, evaluation=Evaluation(max_pixels=1000))
    with pytest.raises(UserError, match="evaluation.max_pixels=1,000 or fewer"):
        vgg_keras.extract_features(net, picture, scales=(32,), config=few)
    with pytest.raises(UserError, match="config must be a vgg_keras.config.Config. Received: dict"):
        vgg_keras.extract_features(net, picture, scales=(32,), config={})


def test_the_file_of_a_pass_over_every_layer_has_a_name_that_a_disk_takes(tmp_path):
    layers = [name for name in layer_names(Architecture("E", num_classes=2)) if name != "predictions"]
    names = [f"{extraction._named(some)}_Q1024.npz" for some in (layers, layers[1:], layers[:-1], ["fc2"])]
    assert len(layers) == 23 and len(set(names)) == 4 and names[-1] == "fc2_Q1024.npz"
    for name in names:
        (tmp_path / name).touch()
