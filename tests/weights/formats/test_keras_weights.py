"""Weights without their model, by shapes and order: the net's own `predict` on RGB pictures is the truth."""

import collections
import itertools
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.formats import thin_nets
from tests.weights.formats.fine_tuned import NETS, equal, filled, images_of
from tests.weights.sources import as_caffe
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.weights.formats import keras_weights
from vgg_keras.weights.load import load_net, load_weights
from vgg_keras.weights.source_weights import CAFFE, Preprocessing

ALONE = [
    "the tutorial's",
    "global average",
    "pooling=max",
    "a head in a model",
    "the whole net",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALONE)
def test_weights_alone_are_ordered_by_their_shapes(tmp_path, kind, capsys):
    """Rescaling's numbers are not in the file, nor is a crop behind a pooling: they are stated."""
    model = filled(NETS[kind]())
    model.save_weights(tmp_path / "net.weights.h5")
    images = images_of(model)
    stated = {"crop": images.shape[1]}
    taken = images
    if kind == "a head in a model":
        with pytest.raises(UserError, match=r"Give a model, or --set=architecture\.mean=R,G,B"):
            load_net(tmp_path / "net.weights.h5")
        stated |= {"mean": (120.0, 110.0, 100.0), "std": tuple(np.sqrt([3000.0, 4000.0, 5000.0]))}
    else:
        taken = as_caffe(images) if kind == "the whole net" else images
    loaded = load_net(tmp_path / "net.weights.h5", stated=stated)
    assert equal(f"{kind}, weights", loaded, model, images, taken)
    assert ("read as Keras Applications'" in capsys.readouterr().err) == ("mean" not in stated)
    if kind in ("global average", "pooling=max"):
        with pytest.raises(UserError, match=r"does not hold the crop\. .* Name it: --set=architecture\.crop=224"):
            load_net(tmp_path / "net.weights.h5")


def test_weights_alone_of_a_net_with_a_layer_of_its_own_are_refused(tmp_path):
    """The file has the layer's name and not what it does."""
    from keras.src.legacy.saving import legacy_h5_format

    for layer, message in (
        (
            kl.Rescaling(1 / 255),
            r"gives weights only, not what its net does to images first\. .*Rescaling\(1/255\) is mean=0",
        ),
        (kl.Rescaling(1 / 255, name="input_scaling"), r"with the layer input_scaling, whose .*Save the whole model"),
        (kl.UnitNormalization(), r"with the layer unit_normalization.*, whose .*Save the whole model"),
    ):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(
                file, thin_nets.functional([layer, *thin_nets.convolutions(), *thin_nets.head()])
            )
        with pytest.raises(UserError, match=message):
            load_net(tmp_path / "weights.h5")


def test_weights_behind_a_rescaling_need_a_net_that_divides(tmp_path, random):
    """They came into a net that takes 0-255 as they are, for images in 0-1, without a word."""
    model = thin_nets.scaled(
        thin_nets.functional([kl.Rescaling(1 / 255), *thin_nets.convolutions(), *thin_nets.head()])
    )
    path = tmp_path / "net.weights.h5"
    model.save_weights(path)
    fields = {"num_classes": 5, "crop": 32, "width": 1 / 16, "mean": (0.0, 0.0, 0.0)}
    with pytest.raises(UserError, match=r"does not hold what its net does to images first\. .*std=\(255, 255, 255\)"):
        load_weights(build("A", **fields), path)
    net = load_weights(build("A", **fields, std=(255.0,) * 3), path)
    images = random.uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    assert np.abs(net(images).numpy() - model(images).numpy()).max() < 1e-5 * np.abs(model(images)).max()


def test_a_dropout_may_be_named_after_its_layer(tmp_path):
    """`drop_fc1`, as in the Keras port of Places365's VGG16, whose file has no configuration."""
    from keras.src.legacy.saving import legacy_h5_format

    flatten, fc1, _, fc2, _, last = thin_nets.head()
    head = [flatten, fc1, kl.Dropout(0.5, name="drop_fc1"), fc2, kl.Dropout(0.5, name="drop_fc2"), last]
    model = thin_nets.functional([*thin_nets.convolutions(), *head])
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    loaded = load_net(tmp_path / "weights.h5").model
    kernel = model.get_layer("fc2").get_weights()[0]
    assert np.array_equal(loaded.get_layer("fc2").get_weights()[0], kernel)


@pytest.mark.parametrize(
    ("named", "trained"),
    [
        ("block{}_conv{}", ["51", "52"]),
        ("conv2d_{}{}", ["51", "52"]),
        (
            "block{}_conv{}",
            ["11", "21", "31", "32", "41", "51", "52"],
        ),  # whose shapes follow each other in that order too
    ],
)
def test_frozen_layers_of_a_model_inside_are_read_in_their_place(tmp_path, named, trained):
    """Keras 2's weights alone: a model's trained layers come first, under the layers' own names; the model has any name."""
    from keras.src.legacy.saving import legacy_h5_format

    inner = keras.Sequential([kl.Input((32, 32, 3))], name="of_my_own")
    for block, units in enumerate(((4,), (8,), (16, 16), (32, 32), (32, 32)), start=1):
        for place, one in enumerate(units, start=1):
            layer = kl.Conv2D(one, 3, padding="same", activation="relu", name=named.format(block, place))
            inner.add(layer)
            layer.trainable = f"{block}{place}" in trained
        inner.add(kl.MaxPooling2D(2, name=f"block{block}_pool"))
    model = filled(keras.Sequential([kl.Input((32, 32, 3)), inner, kl.Flatten(), kl.Dense(20, "relu"), kl.Dense(3)]))
    with h5py.File(tmp_path / "net.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
        written = [str(name) for name in file["of_my_own"].attrs["weight_names"]]
    assert named.format(*trained[0]) in written[0] and not any(
        named.format(*trained[0]) in name for name in written[2:]
    )
    images = images_of(model)
    loaded = load_net(tmp_path / "net.h5", stated={"crop": 32})
    assert equal(f"{named}, trained {trained}", loaded, model, images, as_caffe(images))


# ---- by arrays alone

CHANNELS = (3, 4, 8, 16, 16, 32, 32, 32, 32)  # of net A at 1/16 of its width
PATH = Path("net.weights.h5")


def read(*models, path=PATH):
    """The net of models side by side, each a list of (class, arrays), numbered as Keras numbers them."""
    tensors, groups = {}, {}
    for number, model in enumerate(models):
        place, counts = ("layers" if number == 0 else f"layers/functional_{number}/layers"), collections.Counter()
        for kind, arrays in model:
            name, group = f"{number}_{kind}_{counts[kind]}", f"{place}/{kind}_{counts[kind]}"
            counts[kind] += 1
            groups[group] = name
            if arrays:
                tensors[name] = arrays
    return keras_weights.describe(tensors, groups, path)


def blocks(channels=CHANNELS):
    """Convolutions, each of ones times its number, so that it is known by its values."""
    pairs = itertools.pairwise(channels)
    return [
        ("conv2d", (np.full((3, 3, inputs, units), number, np.float32), np.zeros(units, np.float32)))
        for number, (inputs, units) in enumerate(pairs)
    ]


def dense(inputs, units):
    return "dense", (np.ones((inputs, units), np.float32), np.full(units, 0.5, np.float32))


NORM = "batch_normalization", tuple(np.ones(32, np.float32) for _ in range(4))


def test_layers_of_several_models_are_ordered_by_what_each_takes():
    """A head before the convolutions in the file, the convolutions in two models, the later ones first."""
    source = read([dense(32, 20), dense(20, 3)], blocks()[4:], blocks()[:4])
    names = source.names(Architecture("A"))
    kernels = [source.tensors[names[name]][0] for name in names if name.startswith("block")]
    assert [kernel.flat[0] for kernel in kernels] == list(range(8))  # each number in its place
    assert source.fc_layers == ("fc1", "predictions") and source.tensors["fc1"][0].shape == (32, 20)
    assert source.head == "" and "average pooling" in source.assumed_head[0]  # no pooling is named


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([[dense(32, 3)]], "with no convolutions"),
        ([blocks((3, 4, 8)), blocks((3, 4, 8))], "with convolutions that do not follow each other"),
        ([blocks((3, 4)), *[blocks((4, 4))] * 4], "with convolutions that do not follow each other"),  # of five models
        ([[*blocks(), ("up_sampling2d", ())]], "with up_sampling2d, and no configuration that says where"),
    ],
)
def test_what_is_no_vgg_is_refused(models, message):
    with pytest.raises(
        UserError, match=rf"with FC layers behind it\. Received: net\.weights\.h5, another, {message}\."
    ):
        read(*models)


@pytest.mark.parametrize(
    ("behind", "problem"),
    [
        ([dense(32, 20), ("layer_normalization", ()), dense(20, 3)], "layer_normalization"),
        ([dense(32, 32), NORM, dense(32, 3)], "batch norm in the head, whose place a file of weights does not hold"),
        ([("max_pooling2d", ()), dense(32, 3)], "1 poolings, not 5"),
        (
            [("global_average_pooling2d", ()), ("global_max_pooling2d", ()), dense(32, 3)],
            "several poolings before the FC layers",
        ),
        ([dense(32, 20), dense(21, 3)], "FC layers that do not follow each other"),
        ([dense(32, 20), ("leaky_re_lu", ()), dense(20, 3)], "leaky ReLU behind some layers, whose places"),
    ],
)
def test_a_head_whose_order_is_not_known_is_left_out_with_the_reason(behind, problem):
    source = read(behind, blocks())
    assert source.head_problem.startswith(problem)
    assert not source.fc_layers and len(source.tensors) == 8


def test_one_output_is_two_classes_and_a_layer_without_bias_has_zeros():
    kernel = np.full((32, 1), 2.0, np.float32)
    source = read([("global_average_pooling2d", ()), ("dense", (kernel,))], blocks())
    assert source.tensors["predictions"][0].T.tolist() == [[0.0] * 32, [2.0] * 32]
    assert source.tensors["predictions"][1].tolist() == [0.0, 0.0] and "two classes" in source.notes[0]


def test_what_is_known_of_images_is_what_the_classes_imply():
    mean, variance = np.array([1.0, 2.0, 3.0], np.float32), np.array([4.0, 9.0, 16.0], np.float32)
    head = [("global_max_pooling2d", ()), dense(32, 3)]
    assert read(head, blocks()).preprocessing == CAFFE and "Keras Applications'" in read(head, blocks()).assumed
    assert read([("rescaling", ()), *head], blocks()).preprocessing is None  # by what is not in the file
    adapted = read([("normalization", (mean, variance)), *head], blocks()).preprocessing
    assert adapted == Preprocessing((1.0, 2.0, 3.0), (2.0, 3.0, 4.0))
    assert read([("normalization", ()), *head], blocks()).preprocessing is None  # its numbers were arguments
    assert read(head, blocks((1, *CHANNELS[1:]))).preprocessing is None  # of grey images


def test_the_pooling_behind_a_flatten_counts():
    assert keras_weights.pooling_of(["flatten", "dense"]) == "fc"
    assert keras_weights.pooling_of(["global_average_pooling2d", "flatten"]) == "gap"
    assert keras_weights.pooling_of(["flatten", "global_max_pooling2d"]) == "gmp"
    assert keras_weights.pooling_of(["dense"]) == ""
    assert keras_weights.kind_of("layers/functional/layers/max_pooling2d_12") == "max_pooling2d"
