"""Weights of a net in RGB for one in other channels: the first layer's answer to equal channels is that to grey in RGB."""

import dataclasses

import numpy as np
import pytest

import vgg_keras
from vgg_keras.config import Architecture, Config
from vgg_keras.nets.architectures import IMAGENET_MEAN
from vgg_keras.overrides import override
from vgg_keras.weights import initialize
from vgg_keras.weights.convert import adaptation, convert
from vgg_keras.weights.source_weights import HEAD, Preprocessing, SourceWeights, same_names

TINY = Architecture("A", num_classes=3, width=0.05, crop=32, mean=IMAGENET_MEAN)


def source_of(model, preprocessing):
    """A net's weights as a file holds them; conv1_1 for images of this preprocessing."""
    tensors = {layer.name: tuple(layer.get_weights()) for layer in model.layers if layer.weights}
    kernel, bias = tensors["block1_conv1"]
    kernel = kernel * np.array(preprocessing.std, np.float32)[:, None]
    tensors["block1_conv1"] = (kernel[:, :, ::-1] if preprocessing.bgr else kernel), bias
    return SourceWeights("net", tensors, same_names, False, preprocessing, fc_layers=HEAD)


@pytest.mark.parametrize(
    "preprocessing", [Preprocessing(IMAGENET_MEAN, bgr=True), Preprocessing(IMAGENET_MEAN, (58.0, 57.0, 60.0))]
)
@pytest.mark.parametrize("channels", [1, 2, 4, 16])
def test_equal_channels_are_answered_as_grey_in_rgb(channels, preprocessing):
    """Kernel and bias of the first layer by hand; inside the image, where no padding enters."""
    rgb = vgg_keras.build(TINY, seed=3)
    rgb.get_layer("block1_conv1").bias.assign([0.5, -1.0, 2.0])
    other = dataclasses.replace(TINY, channels=channels, mean=(sum(IMAGENET_MEAN) / 3,) * channels)
    net = vgg_keras.build(other, seed=4)
    initialize.assign(net, convert(source_of(rgb, preprocessing), other), other, "net")
    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype(np.float32)
    answers = []
    for model in (rgb, net):
        kernel, bias = (value.numpy() for value in model.get_layer("block1_conv1").weights)
        images = np.repeat(grey, kernel.shape[2], axis=-1) - np.array(model.architecture.mean)
        windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
        answers.append(np.einsum("nyxchw,hwco->nyxo", windows, kernel) + bias)
    difference = np.abs(answers[0] - answers[1]).max()
    print(f"{channels} channels: largest difference {difference:.1e} of answers up to {np.abs(answers[0]).max():.0f}")
    assert difference < 1e-3 * np.abs(answers[0]).max()
    assert all(
        np.array_equal(net.get_layer(name).get_weights()[0], rgb.get_layer(name).get_weights()[0])
        for name in ("fc1", "block2_conv1")
    )
    words = adaptation(source_of(rgb, preprocessing), other)
    assert words.startswith(
        f"block1_conv1 is adapted from 3 channels to {channels}: the {'sum' if channels == 1 else 'mean'} over"
    )
    assert adaptation(source_of(rgb, preprocessing), TINY) == ""


@pytest.mark.parametrize("channels", [1, 4])
def test_under_batch_norm_a_convolution_without_bias_keeps_the_difference_of_the_means(channels):
    """A run of ours in RGB for other channels: what batch norm makes of the first convolution, by hand, inside the image."""
    rgb = vgg_keras.build(TINY, seed=3, batch_norm=True)
    tensors = {layer.name: tuple(layer.get_weights()) for layer in rgb.layers if layer.weights}
    source = SourceWeights("run", tensors, same_names, False, Preprocessing(IMAGENET_MEAN), fc_layers=HEAD)
    other = dataclasses.replace(rgb.architecture, channels=channels, mean=(sum(IMAGENET_MEAN) / 3,) * channels)
    found = convert(source, other)
    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 1)).astype(np.float64)
    answers = []
    for arrays, mean in ((tensors, IMAGENET_MEAN), (found, other.mean)):
        (kernel,), (scale, shift, average, variance) = arrays["block1_conv1"], arrays["block1_conv1_bn"]
        images = np.repeat(grey, kernel.shape[2], axis=-1) - np.array(mean)
        windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
        convolved = np.einsum("nyxchw,hwco->nyxo", windows, kernel)
        answers.append((convolved - average) / np.sqrt(variance + 1e-3) * scale + shift)
    difference = np.abs(answers[0] - answers[1]).max()
    print(f"{channels} channels: largest difference {difference:.1e} of answers up to {np.abs(answers[0]).max():.0f}")
    assert difference < 1e-4 < 1 < np.abs(answers[0]).max()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_stated_preprocessing_has_a_value_for_each_of_our_channels(channels):
    """A net in RGB of images in 0-1, which a user states for images in other channels: kernel and bias by hand."""
    random = np.random.default_rng(0)
    kernel, bias = random.normal(size=(3, 3, 3, 3)).astype(np.float32), np.float32([1, 2, 3])
    stated = Preprocessing((20.0,) * channels, (255.0,) * channels)
    ours = dataclasses.replace(TINY, channels=channels, mean=(20.0,) * channels)
    source = SourceWeights("net", {"block1_conv1": (kernel, bias)}, same_names, False, stated)
    found = convert(source, ours, ["block1_conv1"])["block1_conv1"]
    expected = np.repeat(kernel.sum(axis=2, keepdims=True) / channels / 255, channels, axis=2)
    difference = np.abs(found[0] - expected).max()
    print(f"{channels} channels: largest difference {difference:.1e} of kernels up to {np.abs(expected).max():.1e}")
    assert difference < 1e-8 and np.allclose(found[1], bias, atol=1e-7)


def test_nets_in_other_channels_are_read_from_their_own_files(tmp_path, random):
    for channels in (1, 4):
        net = vgg_keras.build(TINY, channels=channels, mean=tuple(10.0 * n for n in range(channels)), seed=1)
        net.save(tmp_path / "net.keras")
        images = random.uniform(0, 255, (2, 32, 32, channels)).astype(np.float32)
        loaded = vgg_keras.load_net(tmp_path / "net.keras")
        assert loaded.config.architecture.channels == channels
        assert np.array_equal(loaded.model(images), net(images)), channels


def test_mean_and_deviation_have_a_value_for_each_channel():
    assert override(Config(), {"architecture.channels": 2, "architecture.mean": (1.0, 2.0)}).architecture.mean == (1, 2)
    for fields, message in (({"mean": (1.0,)}, "a value for each channel, 2"), ({"std": (1.0, 0.0)}, "each above 0")):
        with pytest.raises(vgg_keras.UserError, match=message):
            Architecture(channels=2, **fields)
    for channels in (0, 17):
        with pytest.raises(vgg_keras.UserError, match=r"architecture\.channels must lie in \[1, 16\]"):
            Architecture(channels=channels)
