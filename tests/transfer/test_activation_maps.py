"""Activation maps against the real grad-cam in torch, NumPy, and the dense net's score map."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from tests import conftest
from vgg_keras.config import Config, Data
from vgg_keras.data import image_files
from vgg_keras.errors import UserError
from vgg_keras.evaluation import heatmap, image_rows, prediction
from vgg_keras.evaluation.posteriors import Posteriors
from vgg_keras.evaluation.prediction import Prediction
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.transfer import activation_maps
from vgg_keras.transfer.activation_maps import class_activation_map, draw_predictions
from vgg_keras.weights.open_model import open_model


def net(name="A", **fields):
    fields = {"num_classes": 5, "width": 1 / 8, "crop": 64, "seed": 2, "mean": (120, 110, 100), **fields}
    return build(name, **fields)


def pictures(random, height=64, width=64):
    return random.integers(0, 256, (3, height, width, 3)).astype(np.uint8)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def in_torch(model, path):
    """The net's layers for the judge; the names of its parts."""
    arrays, kinds, names = {}, [], []
    of_type = {
        keras.layers.Conv2D: "conv",
        keras.layers.Dense: "fc",
        keras.layers.ReLU: "relu",
        keras.layers.MaxPooling2D: "pool",
        keras.layers.Flatten: "flatten",
    }
    for layer in model.layers[2:]:  # after the input and mean subtraction
        kind = next((kind for cls, kind in of_type.items() if isinstance(layer, cls)), None)
        if kind is None:
            continue  # dropout
        if kind in ("conv", "fc"):
            arrays |= dict(zip((f"kernel_{len(kinds)}", f"bias_{len(kinds)}"), layer.get_weights(), strict=True))
        kinds.append(kind)
        names.append(layer.name)
    np.savez(path, kinds=kinds, **arrays)
    return names


@pytest.mark.slow
def test_gradcam_is_the_real_one(random, judged_by, tmp_path):
    model = net("D", initializer="he")
    # grad-cam adds 1e-6 to a denominator of squared gradients: large gradients make nothing of it
    last = model.get_layer("predictions")
    last.set_weights([1e4 * last.kernel.numpy(), last.bias.numpy()])
    images, classes = pictures(random), [3, 0, 2]
    names = in_torch(model, tmp_path / "net.npz")
    layers = {"block5_conv3": "block5_conv3_relu", "block3_pool": "block3_pool", "relu1_2": "block1_conv2_relu"}
    places = [names.index(name) for name in layers.values()]
    normalised = images.astype(np.float32) - np.array([120, 110, 100], np.float32)
    np.savez(tmp_path / "in.npz", images=normalised, places=places, classes=classes)
    judged_by("grad_cam_judge", tmp_path / "net.npz", tmp_path / "in.npz", tmp_path / "out.npz")
    judged = np.load(tmp_path / "out.npz")
    logits = model.predict(images, verbose=0)
    assert np.abs(logits - judged["logits"]).max() <= 1e-5 * np.abs(logits).max()
    for method in ("gradcam", "gradcam++"):
        for layer, place in zip(layers, places, strict=True):
            maps = class_activation_map(model, images, classes, method, layer, side=64)
            ours = np.array([one.over_image() for one in maps])
            ours -= ours.min(axis=(1, 2), keepdims=True)  # as grad-cam scales its maps
            ours /= np.maximum(ours.max(axis=(1, 2), keepdims=True), 1e-7)
            difference = np.abs(ours - judged[f"{method} {place}"]).max()
            print(f"{method} at {layer}: largest difference {difference:.2g} of maps in 0-1")
            assert difference <= 1e-4
            assert judged[f"{method} {place}"].max() > 0.99


def test_scores_are_the_dense_nets(random):
    model, images = net(head="gap"), pictures(random, 96, 128)
    shares = softmax(np.asarray(to_fully_convolutional(model)(images.astype(np.float32)), np.float64))
    for one, truth in zip(class_activation_map(model, images, 3, "scores", side=96), shares, strict=True):
        difference = np.abs(one.values - truth[:, :, 3]).max()
        print(f"largest difference {difference:.2g}")
        assert one.class_name == "3" and one.values.shape == (2, 3) and difference <= 1e-5
        over = one.over_image()
        assert (
            over.shape == (96, 128)
            and np.isnan(over[0, 0])
            and np.isclose(over[31:33, 31:33].mean(), one.values[0, 0], atol=0.01)
        )


def test_the_sum_of_a_linear_nets_map_is_its_score(random):
    """With a gap head, the last pooling's Grad-CAM before the division is the score but for the bias, position by position."""
    model = net(head="gap", num_classes=2)
    image = pictures(random)[0]
    kernel, _ = model.get_layer("predictions").get_weights()
    pool = keras.Model(model.input, model.get_layer("block5_pool").output)(image[None].astype(np.float32))[0]
    truth = np.maximum(np.asarray(pool) @ kernel[:, 1], 0)
    (one,) = class_activation_map(model, image, 1, layer="pool5", side=64)
    assert np.abs(one.values - truth / truth.max()).max() <= 1e-5
    assert np.isclose(one.probability, softmax(model.predict(image[None], verbose=0))[0, 1], atol=1e-5)


@pytest.mark.slow
def test_photographs_of_any_kind_and_size(random, tmp_path):
    model = net()
    wide, tall = pictures(random, 70, 150)[0], pictures(random, 200, 100)[1]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    maps = class_activation_map(model, [tmp_path / "wide.png", tall, Image.fromarray(wide)], method="gradcam++")
    assert [one.over_image().shape for one in maps] == [(70, 150), (200, 100), (70, 150)]
    assert [one.path for one in maps] == [str(tmp_path / "wide.png"), "image 1", "image 2"]
    assert np.array_equal(maps[0].values, maps[2].values)
    # Q is 73, of which block5_conv2 has a position each 16 pixels
    assert maps[0].values.shape == (4, 9) and maps[0].centres[0][0] == pytest.approx(8 * 70 / 73)
    assert all(one.values.min() >= 0 and one.values.max() == 1 and np.isfinite(one.over_image()).all() for one in maps)


@pytest.mark.slow
def test_classes_by_name_or_number(random):
    opened = open_model(net())
    names = ("ant", "bee", "cat", "dog", "elk")
    named = type(opened)(opened.model, opened.config, names, opened.path, "")
    images = pictures(random)
    assert [one.class_name for one in class_activation_map(named, images, ["bee", 4, 0])] == ["bee", "elk", "ant"]
    top = class_activation_map(named, images)
    posteriors = softmax(opened.model.predict(images.astype(np.float32), verbose=0))
    side_64 = class_activation_map(named, images, side=np.int64(64))
    assert [names[place] for place in posteriors.argmax(axis=1)] == [one.class_name for one in side_64]
    assert len(top) == 3
    for classes, message in [
        ("dgo", "Received: 'dgo'. Did you mean 'dog'?"),
        (5, "Received: 5. 0 to 4"),
        (["ant"], "one for each of 3. Received: 1"),
    ]:
        with pytest.raises(UserError, match=message):
            class_activation_map(named, images, classes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "grad-cam"}, "Received: 'grad-cam'. Did you mean 'gradcam'?"),
        ({"layer": "fc2"}, "A map is of a convolution or pooling. Received: 'fc2'"),
        ({"layer": "relu5_3"}, "Did you mean 'relu5_2'?"),
        ({"layer": "pool5", "method": "scores"}, "the map of the logits"),
        ({"side": 63}, "the net's crop of 64 or more. Received: 63"),
        ({"side": "64"}, "the net's crop of 64 or more. Received: '64'"),
        ({"classes": [[1], [1, 2], 0]}, r"A class is a name of the net's, or its number. Received: \[1\]"),
        ({"layer": ["relu5_2"]}, r"A map is of a convolution or pooling. Received: \['relu5_2'\]"),
        ({"classes": 1.0}, "A class is a name of the net's, or its number. Received: 1.0"),
        ({"images": "nowhere.jpg"}, "Received: nowhere.jpg, which does not"),
    ],
)
def test_mistakes_are_named(random, arguments, message):
    with pytest.raises(UserError, match=message):
        class_activation_map(**{"net": net(), "images": pictures(random), **arguments})


def test_another_backend_is_refused(random, monkeypatch):
    model = net()
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(UserError, match="tensorflow backend. Received: torch"):
        class_activation_map(model, pictures(random))


@pytest.mark.slow
def test_photographs_of_one_name_are_drawn_apart(random, tmp_path):
    paths = [tmp_path / name for name in ("first/a.png", "second/a.png", "third/0_a.png")]
    for path, image in zip(paths, pictures(random, 80, 120), strict=True):
        path.parent.mkdir()
        Image.fromarray(image).save(path)
    net_of_5 = open_model(net())
    config = Config(architecture=net_of_5.config.architecture, data=Data(scale=(64,)))
    found = [Prediction(str(path), ("3", "1"), (0.9, 0.1)) for path in paths]
    drawn = draw_predictions(net_of_5, config, found, tmp_path / "cam")
    assert [path.name for path in drawn] == ["0_a.png.png", "1_a.png.png", "2_0_a.png.png"]
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.size[0] > 2 * picture.size[1] / 2


@pytest.mark.slow
def test_a_class_that_a_multi_label_net_misses_is_not_drawn_as_predicted(random, tmp_path, monkeypatch):
    """The surest mistakes of two images: a class that the first one has and the net denies, and one of the second it has not."""
    loaded = open_model(net(multi_label=True))
    config = Config(architecture=loaded.config.architecture, data=Data(scale=(64,)))
    names = prediction.names_of(loaded, ())
    labels = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 1, 0]], np.int8)
    probabilities = np.array([[0.1, 0.03, 0.1, 0.1, 0.9], [0.1, 0.1, 0.95, 0.9, 0.1]], np.float32)
    for name, image in zip("ab", pictures(random, 80, 80), strict=False):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    split = image_files.split_of_files(
        tmp_path, [(str(tmp_path / f"{name}.png"), i) for i, name in enumerate("ab")], names, rows=labels
    )
    rows = image_rows.unknown(Posteriors, split, names, 5, conftest.NET)
    image_rows.save(
        dataclasses.replace(rows, probabilities=probabilities, done=np.ones(2, bool)), tmp_path / "posteriors.npz"
    )
    titles = []
    monkeypatch.setattr(heatmap, "draw_overlay", lambda picture, values, title, *_: titles.append(title))
    activation_maps.draw_mistakes(loaded, config, split, tmp_path, tmp_path / "cam")
    missed, added = sorted(titles)
    assert missed.startswith("not predicted: 1 (") and missed.endswith("), actual: 1, 4")
    assert added.startswith("predicted: 2 (") and added.endswith("), actual: 3")

    # a photograph of which the net answers no class, and one that it was asked for the first three of
    answers = [
        Prediction(str(tmp_path / "a.png"), (), ()),
        Prediction(str(tmp_path / "b.png"), ("3", "1", "0"), (0.4, 0.3, 0.2)),
    ]
    draw_predictions(loaded, config, answers, tmp_path / "cam")
    assert len(titles) == 4
    assert all(title.startswith("not predicted: ") and "actual" not in title for title in titles[2:])


@pytest.mark.slow
def test_a_multi_label_net_has_a_sigmoid_of_each_class(random):
    plain, model = net(), net(multi_label=True)
    model.set_weights(plain.get_weights())
    image = pictures(random)[0]
    logits = plain.predict(image[None].astype(np.float32), verbose=0)[0].astype(np.float64)
    for method in ("gradcam", "scores"):
        (seen,) = class_activation_map(model, image, classes=3, method=method, side=64)
        (same,) = class_activation_map(plain, image, classes=3, method=method, side=64)
        assert seen.probability == pytest.approx(1 / (1 + np.exp(-logits[3])), abs=1e-5)
        assert same.probability == pytest.approx(softmax(logits)[3], abs=1e-5)
        if method == "gradcam":  # of the score, before either
            assert np.array_equal(seen.values, same.values)
