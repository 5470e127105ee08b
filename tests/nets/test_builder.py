"""Built nets against a forward pass written with NumPy loops, and as Keras models."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.nets.numpy_net import numpy_forward
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build, build_trained
from vgg_keras.nets.keras_layers import MeanSubtraction
from vgg_keras.recipes import load
from vgg_keras.training.optimizer import SGDW


@pytest.mark.parametrize(
    "fields",
    [
        {"architecture": "C"},
        {"architecture": "A-LRN", "crop": 70},
        {"architecture": "B-5x5", "head": "gap", "crop": 64},
        {"architecture": "D", "batch_norm": True, "activation": "leaky_relu", "negative_slope": 0.3},
    ],
    ids=lambda fields: fields["architecture"],
)
def test_forward_pass_equals_numpy_loops(random, fields):
    mean = (100.0, 110.0, 120.0)
    model = build(**{"crop": 32, **fields}, num_classes=5, width=1 / 16, mean=mean, seed=3)
    for layer in model.layers:  # off their first values, which hide mistakes: biases 0, averages 0
        layer.set_weights([value + random.uniform(0, 0.1, value.shape) for value in layer.get_weights()])
    side = model.input_shape[1]
    image = random.integers(0, 256, (side, side, 3), np.uint8)
    slope = fields.get("negative_slope", 0.0)
    expected = numpy_forward(model, image, np.array(mean), lambda x: np.where(x > 0, x, slope * x))
    measured = model.predict(image[None], verbose=0)[0]
    difference = np.abs(measured - expected).max() / np.abs(expected).max()
    print(f"{fields}: largest difference {difference:.2g} of the largest logit {np.abs(expected).max():.3g}")
    assert difference <= 1e-5


@pytest.mark.slow
def test_mean_subtraction_is_first_and_logits_are_last():
    model = build("A", num_classes=4, crop=32, width=1 / 16, seed=0)
    assert isinstance(model.layers[1], MeanSubtraction)
    probabilities = build("A", num_classes=4, crop=32, width=1 / 16, classifier_activation="softmax")
    probabilities.set_weights(model.get_weights())
    image = np.full((1, 32, 32, 3), 200, np.uint8)
    logits = model.predict(image, verbose=0)[0]
    assert np.abs(logits).max() > 1e-3
    exponentials = np.exp(logits.astype(np.float64))
    assert np.allclose(probabilities.predict(image, verbose=0)[0], exponentials / exponentials.sum(), atol=1e-6)


@pytest.mark.parametrize(
    ("initializer", "variance"), [("glorot", 2 / (2 * 9 * 32)), ("he", 2 / (9 * 32)), ("gaussian", 0.01)]
)
def test_initialisers_have_their_variance(initializer, variance):
    std = {"initializer_std": 0.1} if initializer == "gaussian" else {}
    model = build("D", num_classes=4, crop=32, width=1 / 16, initializer=initializer, seed=0, **std)
    first, second = (model.get_layer(f"block5_conv{n}").get_weights()[0] for n in (1, 2))
    assert first.var() == pytest.approx(variance, rel=0.06)
    assert not np.array_equal(first, second)  # each layer draws its own
    again = build("D", num_classes=4, crop=32, width=1 / 16, initializer=initializer, seed=0, **std)
    assert np.array_equal(first, again.get_layer("block5_conv1").get_weights()[0])


def test_a_seed_of_numpy_is_an_integer_too():
    """As `random.integers(100)` gives one; Keras refuses it."""
    kernels = [
        build("A", num_classes=3, crop=32, width=1 / 16, seed=seed).get_layer("fc1").get_weights()[0]
        for seed in (7, np.int64(7), np.random.default_rng(0).integers(7, 8))
    ]
    assert np.array_equal(kernels[0], kernels[1]) and np.array_equal(kernels[0], kernels[2])


def test_fan_out_and_gaussian_fc_layers_have_their_variance():
    model = build(
        "D", num_classes=400, crop=64, width=1 / 8, initializer="he_fan_out", fc_initializer="gaussian", seed=0
    )
    for name in ("block2_conv1", "block4_conv1", "block5_conv3"):  # 8 -> 16, 32 -> 64 and 64 -> 64 channels
        kernel = model.get_layer(name).get_weights()[0]
        assert kernel.var() == pytest.approx(2 / (9 * kernel.shape[3]), rel=0.1), name
        assert np.abs(kernel).max() > 2.5 * kernel.std()  # not truncated at two
    for name in ("fc1", "fc2", "predictions"):
        assert model.get_layer(name).get_weights()[0].std() == pytest.approx(0.01, rel=0.05), name


@pytest.mark.slow
def test_d_with_batch_norm_has_its_sources_parameters():
    model = build(dataclasses.replace(load("d_bn").architecture, num_classes=1000))
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 138_361_768


def test_batch_norm_takes_the_convolutions_biases_away():
    model = build("A", num_classes=4, crop=32, width=1 / 16, batch_norm=True)
    assert not model.get_layer("block1_conv1").use_bias
    assert model.get_layer("fc1").use_bias


@pytest.mark.slow
def test_compiles_fits_saves_and_loads_as_any_keras_model(random, tmp_path):
    model = build("A-LRN", num_classes=2, crop=32, width=1 / 8, dropout=0.0, seed=1)
    model.compile(
        SGDW(1e-5, 1e-3, 0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    labels = np.arange(16) % 2
    images = random.uniform(0, 155, (16, 32, 32, 3)) + 100 * labels[:, None, None, None]  # dark and light
    history = model.fit(images, labels, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


def test_bf16_keeps_mean_and_logits_in_float32():
    model = build("A", num_classes=4, crop=32, width=1 / 16, dtype="mixed_bfloat16")
    assert model.get_layer("mean_subtraction").compute_dtype == "float32"
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert model.get_layer("block1_conv1").kernel.dtype == "float32"
    assert model.output.dtype == "float32"


def test_keras_scales_the_loss_of_a_net_in_float16(tmp_path):
    """By the model's own policy, which `dtype` of its layers does not change: their gradients would be lost below 6e-8."""
    for dtype, scaled in (("mixed_float16", True), ("mixed_bfloat16", False), (None, False)):
        model = build("A", num_classes=2, crop=32, width=1 / 64, dtype=dtype)
        model.save(tmp_path / "net.keras")
        copies = type(model).from_config(model.get_config()), keras.saving.load_model(tmp_path / "net.keras")
        for net in (model, *copies):
            net.compile(SGDW(1e-5, 1e-3, 0.9), "mse")
            assert isinstance(net.optimizer, keras.optimizers.LossScaleOptimizer) == scaled, dtype


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize")  # Keras's of each layer without weights
def test_keras_quantises_the_fc_layers(random, tmp_path):
    """Nine tenths of the weights, of which Keras passes over a subclass's."""
    images = random.integers(0, 256, (4, 32, 32, 3), np.uint8)
    model = build("A", num_classes=4, crop=32, width=1 / 8, seed=0)
    before = model.predict(images, verbose=0)
    model.quantize("int8")
    assert [model.get_layer(name).kernel.dtype for name in ("fc1", "fc2", "predictions")] == ["int8"] * 3
    after = model.predict(images, verbose=0)
    difference = np.abs(after - before).max() / np.abs(before).max()
    print(f"int8: largest difference {difference:.2g} of the largest logit")
    assert 0 < difference < 0.05
    model.save(tmp_path / "int8.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "int8.keras").predict(images, verbose=0), after)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "F"}, r"column of Table 1 or B-5x5\. Received: 'F'\. Known: A, A-LRN"),
        ({"architecture": "A-LNR"}, "Did you mean 'A-LRN'"),
        ({"classes": 3}, r"Received: classes=\.\.\. Did you mean 'num_classes'"),
        ({"architecture": "E", "name": "D"}, r"as its first argument, `architecture`\. Received: name=\.\.\."),
        ({"architecture": "VGG16"}, r"Received: 'VGG16'\. Did you mean 'D'"),
        ({"architecture": "vgg19_bn"}, r"Did you mean 'E' with batch_norm=True"),
        ({"architecture": "d"}, "Did you mean 'D'"),
        ({"input_shape": (96, 96, 3)}, r"Received: input_shape=\.\.\. Did you mean crop=96"),
        ({"input_shape": (3, 64, 64)}, "Did you mean crop=64"),
        ({"input_shape": (96, 64, 3)}, "Did you mean 'crop'"),
        ({"image_size": 64}, "Did you mean crop=64"),
        ({"include_top": False}, r"head='fc', 'gap' or 'gmp'\. Received: include_top=\.\.\."),
        ({"weights": "imagenet"}, r"load_weights\(None, 'imagenet'\)"),
        ({"pooling": "avg"}, "Did you mean 'head'"),
        ({"num_class": 5}, "Did you mean 'num_classes'"),
        ({"clasifier_activation": "softmax"}, "Did you mean 'classifier_activation'"),
        ({"classifier_activation": "linear"}, r"is 'softmax', which gives .* or None, .* Received: 'linear'"),
        ({"classifier_activation": "softmax", "multi_label": True}, r"is 'sigmoid', .* Received: 'softmax'"),
        ({"classifier_activation": "softmax", "boxes": "scr"}, r"of a net of boxes is None.* Received: 'softmax'"),
        (
            {"negative_slope": 0.1},
            r"belongs to architecture\.activation=leaky_relu\. .* with architecture\.activation=relu",
        ),
        ({"box_unit": "pixels"}, r"belongs to architecture\.boxes=scr or architecture\.boxes=pcr\."),
        ({"head": "gap", "fc_units": 512}, r"fc_units is that of hidden FC layers\. Received: it with head=gap"),
        ({"num_classes": 0}, r"head='fc', 'gap' or 'gmp'\. Received: num_classes=0\. Its maps"),
        ({"architecture": None}, "takes an Architecture or its name. Received: None"),
        ({"activation": "leaky-relu"}, "must be one of relu, leaky_relu"),
        ({"crop": 31}, "32 or more: five poolings halve it. Received: 31"),
        ({"dropout": 1.0}, r"must lie in \[0, 1\)\. Received: 1\.0"),
        ({"seed": 1.5, "num_classes": 3}, r"seed must be an integer\. Received: 1\.5"),
        ({"seed": "1", "num_classes": 3}, r"seed must be an integer\. Received: '1'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


@pytest.mark.parametrize("fields", [{}, {"batch_norm": True}, {"head": "gap"}])
def test_net_built_around_its_weights_is_the_same_net(fields):
    architecture = Architecture("A", width=0.05, crop=32, num_classes=3, mean=(1.0, 2.0, 3.0), **fields)
    model = build(architecture, seed=3)
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    kept = weights.pop("predictions")
    around = build_trained(architecture, weights)
    assert not weights
    around.get_layer("predictions").set_weights(kept)  # without an entry it is random
    np.testing.assert_array_equal(around(images), model(images))
    assert [layer.get_config().get("kernel_initializer", {}).get("class_name") for layer in around.layers] == [
        layer.get_config().get("kernel_initializer", {}).get("class_name") for layer in model.layers
    ]
