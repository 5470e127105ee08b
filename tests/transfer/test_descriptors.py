"""Appendix B's descriptors against plain loops in NumPy over single images."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.test_protocols import pictures, small
from vgg_keras.config import Architecture, Data, Evaluation
from vgg_keras.data.rescaling import rescale
from vgg_keras.errors import UserError
from vgg_keras.evaluation.image_rows import unknown
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.nets.feature_maps import descriptor_layer
from vgg_keras.transfer import descriptors
from vgg_keras.transfer.descriptors import DescribedNet, Descriptors, Pooled, columns_of, combined

LAYERS = ("block2_conv1", "block4_pool", "block5_pool", "fc1", "fc2")
NET = DescribedNet(
    model="runs/D",
    weights_sha256="12",
    architecture=Architecture("D"),
    layers=("fc2",),
    pooling="mean",
    combine=None,
    scales=(32,),
    flip=True,
    interpolation="bilinear",
    exif_orientation=True,
    precision="float32",
    data="photos",
    split="all",
    bad_images=(),
    versions={},
    git_commit=None,
)


def rows_of(protocol, split, side):
    """The protocol's rows in the split's order; every image must come exactly once."""
    rows = {}
    for ids, labels, found in protocol(split, Data(), side):
        assert ids.tolist() == labels.tolist()
        assert not set(ids.tolist()) & set(rows)
        rows |= zip(ids.tolist(), found, strict=True)
    return np.array([rows[image] for image in range(split.size)])


def loop(model, images, side, flip=True):
    """The pooled values of LAYERS by single images and NumPy, {(layer, pooling): (images, units)}."""
    dense = to_fully_convolutional(model)
    names = [name if name.endswith("_pool") else f"{name}_relu" for name in LAYERS]
    net = keras.Model(dense.input, [dense.get_layer(name).output for name in names])
    found = {key: [] for key in itertools.product(LAYERS, ("mean", "max"))}
    for image in images:
        window = rescale(tf.constant(image), side, "bilinear").numpy()
        views = [window, window[:, ::-1]] if flip else [window]
        maps = [net(view[None], training=False) for view in views]
        for place, name in enumerate(LAYERS):
            of_views = [np.asarray(one[place][0], np.float64).reshape(-1, one[place].shape[-1]) for one in maps]
            found[name, "mean"].append(np.mean([one.mean(axis=0) for one in of_views], axis=0))
            found[name, "max"].append(np.mean([one.max(axis=0) for one in of_views], axis=0))
    return {key: np.array(values) for key, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("batch", [20, 1])
def test_pooled_values_equal_a_loop_over_views_and_positions(random, batch):
    """With a batch of 1 the larger images go through the net in tiles."""
    images, split = pictures(random)
    model, architecture = small()
    protocol, columns = Pooled(model, architecture, Evaluation(batch=batch), LAYERS), columns_of(architecture, LAYERS)
    for side in (64, 70):
        expected, found = loop(model, images, side), rows_of(protocol, split, side)
        differences = {
            key: np.abs(found[:, part] - expected[key]).max() / np.abs(expected[key]).max()
            for key, part in columns.items()
        }
        print(f"batch {batch}, Q={side}: largest relative difference {max(differences.values()):.2g}")
        assert max(differences.values()) <= 1e-5, differences
        assert np.ptp(expected["fc2", "mean"], axis=0).max() > 0.01  # the images differ for this net
    assert protocol._pool.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_at_the_crops_size_a_square_images_descriptor_is_fc2s_output(random):
    images, split = pictures(random, [(32, 32), (64, 64)])
    model, architecture = small()
    found = rows_of(Pooled(model, architecture, Evaluation(flip=False), ("fc2",)), split, 32)
    fc2 = keras.Model(model.input, model.get_layer("fc2_relu").output)
    expected = np.concatenate([fc2(rescale(tf.constant(image), 32, "bilinear")[None]) for image in images])
    for part in columns_of(architecture, ("fc2",)).values():  # of one position mean and maximum are the same
        difference = np.abs(found[:, part] - expected).max() / expected.max()
        print(f"fc2 at the crop's size: largest relative difference {difference:.2g}")
        assert difference <= 1e-5


def one_pass(random, split, architecture, side):
    net = dataclasses.replace(NET, architecture=Architecture("A", width=1 / 16), scales=(side,))
    columns = columns_of(architecture, ("fc2",))["fc2", "max"].stop
    labelled = dataclasses.replace(split, labels=np.zeros(split.size, np.int32))
    new = unknown(Descriptors, labelled, (), columns, net)
    return new.with_rows(random.uniform(0, 5, (split.size, columns)).astype(np.float32))


def test_scales_are_stacked_or_averaged_in_rows_of_norm_1(random):
    _, split = pictures(random)
    _, architecture = small()
    first, second, third = (one_pass(random, split, architecture, side) for side in (32, 48, 64))
    units = first.rows.shape[1] // 2
    for pooling, part in (("mean", slice(0, units)), ("max", slice(units, None))):
        values = [one.rows[:, part].astype(np.float64) for one in (first, second, third)]
        for how, expected in (("stack", np.hstack(values)), ("average", sum(values) / 3)):
            expected = expected / np.sqrt((expected**2).sum(axis=1, keepdims=True))
            found = combined([first, second, third], "fc2", pooling, how)
            assert found.shape == (split.size, units * (3 if how == "stack" else 1)) and found.dtype == np.float32
            assert np.abs(found - expected).max() <= 1e-6
    in_order, other_order = (
        combined(list(parts), "fc2", "mean", "average") for parts in ((first, second, third), (third, first, second))
    )
    print(f"order of scales: largest difference {np.abs(in_order - other_order).max():.2g}")
    assert np.abs(in_order - other_order).max() <= 1e-7


def test_rows_of_zeros_stay_zeros():
    assert np.array_equal(descriptors.unit_norm(np.array([[0.0, 0.0], [3.0, 4.0]])), [[0, 0], [0.6, 0.8]])


@pytest.mark.parametrize(
    ("fields", "name", "message"),
    [
        ({}, "block6_conv1", "Received: 'block6_conv1'. Did you mean 'block5_conv1'"),
        ({}, "predictions", "A descriptor is made of a convolution, a pooling or a hidden FC layer"),
        ({"head": "gap"}, "fc2", "Received: 'fc2', and this net has no hidden FC layers. Try 'block5_pool'."),
        ({"head": "gap"}, "fc7", "Received: 'fc7', and this net has no hidden FC layers. Try 'block5_pool'."),
    ],
)
def test_a_layer_that_the_net_lacks_is_refused(fields, name, message):
    with pytest.raises(UserError, match=message):
        descriptor_layer(Architecture(num_classes=3, **fields), name)


def test_other_names_of_a_layer():
    names = {name: descriptor_layer(Architecture(num_classes=3), name) for name in ("fc7", "relu5_3", "pool5")}
    assert names == {"fc7": "fc2", "relu5_3": "block5_conv3", "pool5": "block5_pool"}


def test_numpy_reads_what_is_saved(random, tmp_path):
    _, split = pictures(random)
    _, architecture = small()
    saved = one_pass(random, split, architecture, 32)
    descriptors.save(saved, tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz", allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == [split.name(image) for image in range(split.size)]
        assert np.array_equal(arrays["descriptors"], saved.descriptors)
        assert arrays["classes"].tolist() == []
    found = descriptors.load(tmp_path / "features.npz")
    assert found.ids == saved.ids and found.nets == saved.nets and found.done.all()
    (tmp_path / "other.npz").write_bytes((tmp_path / "features.npz").read_bytes()[:500])
    with pytest.raises(UserError, match=r"Descriptors are .npz files of the command features\. Received: .*other\.npz"):
        descriptors.load(tmp_path / "other.npz")


def test_another_backend_is_refused(monkeypatch):
    model, architecture = small()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match="Tests, predictions, descriptors and .* tensorflow backend. Received: jax"):
        Pooled(model, architecture, Evaluation(), ("fc2",))
