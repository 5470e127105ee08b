"""Maps by name: against the layers that they are of, the paper's arithmetic, and a walk over single pixels."""

from pathlib import Path

import keras
import numpy as np
import pytest

import vgg_keras
from vgg_keras.config import CONFIGURATIONS, Architecture
from vgg_keras.errors import UserError
from vgg_keras.nets.architectures import costs
from vgg_keras.nets.builder import build
from vgg_keras.nets.dense import to_fully_convolutional
from vgg_keras.nets.feature_maps import around, feature_maps, layer_names, named_layers


def net(name="D", **fields):
    return build(name, **{"num_classes": 5, "width": 1 / 16, "crop": 64, "seed": 2, **fields})


def pictures(random, height=64, width=64):
    return random.uniform(0, 255, (2, height, width, 3)).astype(np.float32)


VARIANTS = [
    ("A-LRN", {}),
    ("B-5x5", {"head": "gap"}),
    ("C", {"batch_norm": True, "activation": "leaky_relu"}),
    ("D", {"crop": 96, "std": (50.0, 60.0, 70.0)}),
    ("E", {"batch_norm": True, "head": "gap"}),
]


@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_map_is_the_output_of_its_layer(random, name, fields):
    model = net(name, **fields)
    side, largest = model.input_shape[1], 0.0
    images = pictures(random, side, side)
    for layer in model.layers:  # batch norm as after training
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    names = layer_names(model_architecture(name, fields))
    maps = feature_maps(model, names)(images)
    made = {layer.name for layer in model.layers}
    read = {layer: f"{layer}_relu" if f"{layer}_relu" in made else layer for layer in names}
    truths = keras.Model(model.input, {layer: model.get_layer(of).output for layer, of in read.items()})(images)
    for layer in names:
        truth = np.asarray(truths[layer])
        largest = max(largest, np.abs(np.reshape(maps[layer], truth.shape) - truth).max() / np.abs(truth).max())
        assert (read[layer] != layer) == ("conv" in layer or layer in ("fc1", "fc2"))
    print(f"{name}: {len(names)} maps, largest relative difference {largest:.2g}")
    assert largest <= 1e-5


def model_architecture(name, fields):
    return Architecture(name, **{"num_classes": 5, "width": 1 / 16, "crop": 64, **fields})


@pytest.mark.slow
def test_maps_of_larger_images_are_the_dense_nets(random):
    for head in ("fc", "gap"):
        model = net(head=head)
        images = pictures(random, 130, 96)
        maps = feature_maps(model, ["predictions", "pool5"])(images)
        difference = np.abs(maps["predictions"] - to_fully_convolutional(model)(images)).max()
        print(f"{head}: largest difference {difference:.2g}")
        assert maps["predictions"].shape == (2, 3, 2, 5) and maps["pool5"].shape == (2, 4, 3, 32)
        assert difference <= 1e-5


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooled_maps(random, pooling):
    model = net(dtype="mixed_bfloat16")
    images = pictures(random, 100, 70)
    names = ["relu2_2", "fc7"]
    maps, pooled = feature_maps(model, names)(images), feature_maps(model, names, pooling)(images)
    for name in names:
        truth = getattr(np, pooling)(np.asarray(maps[name]).astype(np.float64), axis=(1, 2))
        assert pooled[name].dtype == "float32" and pooled[name].shape == truth.shape
        assert np.abs(pooled[name] - truth).max() <= 1e-5 * np.abs(truth).max()


def test_nothing_is_copied_and_training_shows(random):
    model = net()
    maps = feature_maps(model, ["relu5_3", "fc1"])
    assert {id(variable) for variable in maps.variables} <= {id(variable) for variable in model.variables}
    images = pictures(random)
    before = {name: np.asarray(one) for name, one in maps(images).items()}
    for name in ("block1_conv1", "fc1"):
        layer = model.get_layer(name)
        layer.set_weights([weight + 0.01 for weight in layer.get_weights()])
    after = maps(images)
    assert all(np.abs(after[name] - before[name]).max() > 0.01 for name in before)


def test_maps_are_saved_and_loaded_by_keras(random, tmp_path):
    maps = feature_maps(net(), ["relu5_3", "fc2"], "mean")
    maps.save(tmp_path / "maps.keras")
    loaded = keras.models.load_model(tmp_path / "maps.keras")
    images = pictures(random, 80, 64)
    assert all(np.array_equal(loaded(images)[name], one) for name, one in maps(images).items())


def test_halves_at_a_map_are_the_dense_net(random):
    model = net("A", head="gap")
    before, behind = around(model, "pool3")
    images = pictures(random, 96, 64)
    whole = feature_maps(model, "predictions")(images)["predictions"]
    assert np.abs(behind(before(images)) - whole).max() <= 1e-6


def rows_seen(model, name, position):
    """The first and last row of pixels that a position of a map depends on, walked back through the Keras layers."""
    names = [layer.name for layer in model.layers]
    first = last = position
    for layer in reversed(model.layers[: names.index(name) + 1]):
        if isinstance(layer, keras.layers.Conv2D):
            first, last = first - layer.kernel_size[0] // 2, last + layer.kernel_size[0] // 2
        elif isinstance(layer, keras.layers.MaxPooling2D):
            first, last = first * layer.strides[0], last * layer.strides[0] + layer.pool_size[0] - 1
    return first, last


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_strides_and_receptive_fields_are_those_of_the_built_layers(name):
    model = net(name)
    table = [cost for cost in costs(model_architecture(name, {})) if cost.layer.kind != "fc"]
    for cost in table:
        (first, last), (following, _) = (rows_seen(model, cost.layer.name, position) for position in (50, 51))
        assert (last - first + 1, following - first) == (cost.receptive_field, cost.stride), cost.layer.name
    print(
        f"{name}: {len(table)} layers; the last pooling sees {table[-1].receptive_field} pixels, {table[-1].stride} apart"
    )


def documented_table():
    """The table of docs/features.md, by the arithmetic of the nets."""
    nets = [Architecture(name, num_classes=1000) for name in ("D", "E")]
    in_d, in_e = ({cost.layer.name: cost for cost in costs(net)} for net in nets)
    aliases = {}
    for alias, layer in named_layers(nets[1]).items():
        aliases.setdefault(layer.name, []).append(alias)
    lines = [
        "| layer | also called | channels | stride | receptive field in D | in E |",
        "|---|---|---|---|---|---|",
    ]
    for name, cost in in_e.items():
        others = ", ".join(f"`{alias}`" for alias in aliases[name][1:])
        field = in_d[name].receptive_field if name in in_d else "-"
        lines.append(f"| `{name}` | {others} | {cost.layer.units} | {cost.stride} | {field} | {cost.receptive_field} |")
    return "\n".join(lines)


def test_documented_table_is_the_arithmetics():
    page = Path(vgg_keras.__file__).parents[1] / "docs" / "features.md"
    assert documented_table() in page.read_text(), f"docs/features.md must have this table:\n{documented_table()}"


def test_names_of_papers():
    known = named_layers(Architecture("E", num_classes=1000))
    for alias, name in {
        "relu1_2": "block1_conv2",
        "relu5_4": "block5_conv4",
        "conv3_4": "block3_conv4",
        "pool5": "block5_pool",
        "fc6": "fc1",
        "fc7": "fc2",
        "block4_conv1": "block4_conv1",
    }.items():
        assert known[alias].name == name


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({}, ("relu5_4",), "Received: 'relu5_4'. Did you mean 'relu5_3'?"),
        ({}, ([["relu1_2", "relu2_2"]],), r"A map is of a layer of the net. Received: \['relu1_2', 'relu2_2'\]"),
        ({"head": "gap"}, (7,), "Received: 7. Known: block1_conv1"),
        ({}, (["block3_conv33"],), "Did you mean 'block3_conv3'?"),
        ({"head": "gap"}, ("fc2",), "Received: 'fc2', and this net has no hidden FC layers. Try 'block5_pool'."),
        ({}, ([],), "Received: none. Known: block1_conv1"),
        ({}, ("fc1", "average"), "pooling must be mean, max or None. Received: 'average'"),
    ],
)
def test_mistakes_are_named(fields, arguments, message):
    with pytest.raises(UserError, match=message):
        feature_maps(net(**fields), *arguments)


@pytest.mark.parametrize(("names", "side"), [("relu1_1", 32), (["pool5", "fc1"], 64)])
def test_too_small_images_are_refused_in_one_line(random, names, side):
    maps = feature_maps(net(), names)
    message = f"^A net of feature maps takes images of at least {side}x{side} pixels. Received: 31x64 .*more.$"
    images = pictures(random, 31, 64)
    for received in (images, keras.ops.convert_to_tensor(images), keras.Input((31, 64, 3), batch_size=2)):
        with pytest.raises(UserError, match=message):
            maps(received)
    with pytest.raises(UserError, match=message):
        maps.predict(images, verbose=0)
