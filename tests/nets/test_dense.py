"""The convolutional net against the FC net: equal at the crop's size, and at larger ones up to padding alone."""

import keras
import ml_dtypes
import numpy as np
import pytest

from vgg_keras.config import CONFIGURATIONS
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import convolutions_and_head, to_fully_convolutional
from vgg_keras.nets.feature_maps import feature_maps


def net(name="A", **fields):
    return build(name, **{"num_classes": 5, "width": 1 / 16, "crop": 64, "seed": 2, **fields})


HEADS = {
    "fc": {"head": "fc"},
    "gap": {"head": "gap"},
    "gmp": {"head": "gmp"},
    "none": {"fc_layers": 0},
    "one": {"fc_layers": 1},
    "three": {"head": "gmp", "fc_units": (320, 160, 80)},
}


@pytest.fixture(
    scope="module",
    params=[f"{name} {head}" for name in CONFIGURATIONS for head in ("fc", "gap")]
    + [f"A {head}" for head in ("gmp", "none", "one", "three")],
)
def converted(request):
    """Each net of the family, with what some of them have beside, and its dense net."""
    name, head = request.param.split()
    fields = {"D": {"batch_norm": True}, "C": {"std": (100.0, 60.0, 30.0)}}.get(name, {})
    model = net(name, crop=96, **HEADS[head], **fields)
    return request.param, model, to_fully_convolutional(model)


@pytest.mark.slow
def test_equals_the_fc_net_at_the_crops_size(random, converted):
    name, model, dense = converted
    images = random.uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    score_map, logits = np.asarray(dense(images)), np.asarray(model(images))
    difference = np.abs(score_map[:, 0, 0] - logits).max()
    print(f"{name}: largest difference {difference:.2g} of logits up to {np.abs(logits).max():.3g}")
    assert score_map.shape == (2, 1, 1, 5)
    assert difference <= 1e-4
    assert np.abs(logits).max() > 1e-2


def test_the_halves_make_the_same_score_map(random, converted):
    """Windows of the last map through the head are the dense net's positions."""
    name, model, dense = converted
    convolutions, head = convolutions_and_head(model)
    image = random.uniform(0, 255, (1, 132, 172, 3)).astype(np.float32)
    last_map, score_map = np.asarray(convolutions(image))[0], np.asarray(dense(image))[0]
    windows = [last_map[y : y + 3, x : x + 3] for y in range(2) for x in range(3)]
    logits = np.asarray(head(np.array(windows))).reshape(score_map.shape)
    difference = np.abs(logits - score_map).max()
    print(f"{name}: largest difference {difference:.2g} of scores up to {np.abs(score_map).max():.3g}")
    assert last_map.shape[:2] == (4, 5) and difference <= 1e-4 * max(1, np.abs(score_map).max())
    assert np.ptp(score_map, axis=(0, 1)).max() > 1e-3


def test_frozen_layers_stay_frozen():
    """As in a larger model, which would train them."""
    model = net(batch_norm=True)
    model.trainable = False
    assert to_fully_convolutional(model).trainable_weights == []
    model.get_layer("fc1").trainable = model.get_layer("block2_conv1").trainable = True
    trained = {layer.name for layer in to_fully_convolutional(model).layers if layer.trainable_weights}
    assert trained == {"fc1", "block2_conv1"}


def test_average_pooling_in_bf16_is_a_mean(random):
    """Over the 7x7, and a larger crop's 20x20, positions of the last map; NumPy takes the mean in float64."""
    for crop in (224, 640):
        model = net(head="gap", crop=crop, dtype="mixed_bfloat16")
        dense = to_fully_convolutional(model)
        last_map = random.uniform(0, 4, (2, crop // 32, crop // 32, 32)).astype(ml_dtypes.bfloat16)
        truth = last_map.astype(np.float64).mean(axis=(1, 2))
        for pooling in (model.get_layer("avg_pool"), dense.get_layer("avg_pool")):
            pooled = keras.ops.convert_to_numpy(
                keras.ops.cast(pooling(keras.ops.convert_to_tensor(last_map)), "float32")
            )
            difference = np.abs(pooled.reshape(2, -1) / truth - 1).max()
            print(f"{crop // 32}x{crop // 32} in {type(pooling).__name__}: off by {difference:.2g} of the mean")
            assert difference <= 1e-5


@pytest.mark.slow
def test_at_the_papers_sizes(random):
    """7x7 kernels at crop 224, a 2x2 map at 256, and the flatten order, in a net of full depth and a quarter's width."""
    model = net("E", crop=224, width=1 / 4)
    dense = to_fully_convolutional(model)
    assert dense.get_layer("fc1").kernel.shape == (7, 7, 128, 1024)
    image = random.uniform(0, 255, (1, 256, 256, 3)).astype(np.float32)
    logits = model.predict(image[:, :224, :224], verbose=0)
    difference = np.abs(dense.predict(image[:, :224, :224], verbose=0)[:, 0, 0] - logits).max()
    print(f"E at 224: largest difference {difference:.2g}")
    assert difference <= 1e-4
    assert dense.predict(image, verbose=0).shape == (1, 2, 2, 5)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["fc", "gap"])
def test_without_padding_every_position_equals_its_crop(random, head):
    """Kernels with their middle tap alone see no padding, so each score must be that crop's logits, wherever it lies."""
    model = net("B", head=head)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            middle = np.zeros_like(kernel)
            middle[1, 1] = random.normal(0, 1 / np.sqrt(kernel.shape[2]), kernel.shape[2:])
            layer.set_weights([middle, bias])
    image = random.uniform(0, 255, (1, 96, 128, 3)).astype(np.float32)
    score_map = to_fully_convolutional(model).predict(image, verbose=0)[0]
    assert score_map.shape == (2, 3, 5)
    largest = 0.0
    for row in range(2):
        for column in range(3):
            crop = image[:, 32 * row : 32 * row + 64, 32 * column : 32 * column + 64]
            largest = max(largest, np.abs(score_map[row, column] - model.predict(crop, verbose=0)[0]).max())
    print(f"{head}: largest difference over six positions {largest:.2g} of scores up to {np.abs(score_map).max():.3g}")
    assert largest <= 1e-4 * max(1.0, np.abs(score_map).max())
    assert np.ptp(score_map, axis=(0, 1)).min() > 1e-3  # positions differ


@pytest.mark.slow
def test_padding_explains_the_whole_difference_at_the_origins_corner(random):
    """With each convolution's input cut to the crop's part, as zero padding does, the corner is the crop's again."""
    model = net("D", crop=64)
    dense = to_fully_convolutional(model)
    image = random.uniform(0, 255, (1, 96, 96, 3)).astype(np.float32)
    logits = model.predict(image[:, :64, :64], verbose=0)[0]
    corner = dense.predict(image, verbose=0)[0, 0, 0]

    x, side = image, 64
    for layer in dense.layers[1:]:
        if isinstance(layer, keras.layers.Conv2D) and layer.padding == "same":
            x = np.array(x)
            x[:, side:] = 0
            x[:, :, side:] = 0
        x = np.asarray(layer(x))
        if isinstance(layer, keras.layers.MaxPooling2D):
            side //= 2
    difference = np.abs(x[0, 0, 0] - logits).max()
    print(f"corner: {np.abs(corner - logits).max():.2g} off the crop, {difference:.2g} with the same padding")
    assert difference <= 1e-5
    assert np.abs(corner - logits).max() > 1e-4


@pytest.mark.slow
def test_a_smaller_image_is_refused_by_name(random):
    dense = to_fully_convolutional(net())
    with pytest.raises(UserError, match=r"at least 64x64 pixels\. Received: 96x63 \(height x width\)"):
        dense(np.zeros((1, 96, 63, 3)))
    for size in (96, 128, 160):  # from the second size on Keras traces it for any
        dense.predict(np.zeros((1, size, size, 3)), verbose=0)
    with pytest.raises(UserError, match=r"Received: 63x96"):
        dense.predict(np.zeros((1, 63, 96, 3)), verbose=0)


@pytest.mark.slow
def test_a_loaded_keras_file_converts_too(random, tmp_path):
    model = net("A-LRN")
    model.save(tmp_path / "model.keras")
    image = random.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    dense = to_fully_convolutional(keras.saving.load_model(tmp_path / "model.keras"))
    dense.save(tmp_path / "dense.keras")
    reloaded = keras.saving.load_model(tmp_path / "dense.keras")
    assert np.abs(reloaded.predict(image, verbose=0)[:, 0, 0] - model.predict(image, verbose=0)).max() <= 1e-4


def test_a_lora_of_fc_layers_is_part_of_their_kernels(random):
    model, image = net(), random.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    before = np.asarray(model(image))
    for name in ("fc1", "predictions"):
        layer = model.get_layer(name)
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(random.normal(0, 0.1, layer.lora_kernel_b.shape))
    logits = np.asarray(model(image))
    assert np.abs(logits - before).max() > 1e-2
    dense = to_fully_convolutional(model).predict(image, verbose=0)[:, 0, 0]
    assert np.abs(dense - logits).max() <= 1e-4


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize")
def test_a_quantised_net_is_refused():
    model = net()
    model.quantize("int8")
    for make in (to_fully_convolutional, lambda model: feature_maps(model, "fc1")):
        with pytest.raises(UserError, match=r"before quantize\. Received: 'vgg_a', whose fc1 is int8_from_float32\."):
            make(model)


def test_other_models_are_refused():
    with pytest.raises(UserError, match="Received: a model that ends in probabilities"):
        to_fully_convolutional(net(classifier_activation="softmax"))
    model = net()
    cut = keras.Model(model.input, model.get_layer("block5_pool").output, name="cut")
    with pytest.raises(UserError, match="net of vgg_keras.build is needed. Received: 'cut' of type Functional"):
        to_fully_convolutional(cut)
