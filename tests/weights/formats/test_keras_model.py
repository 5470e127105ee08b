"""A model that Keras saved whole: its own `predict` on RGB pictures is the truth, and what is not understood is refused."""

import copy
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from tests.weights.sources import as_caffe, difference, ours
from vgg_keras.errors import UserError
from vgg_keras.weights.load import load_net

BLOCKS = ((4,), (8,), (16, 16), (32, 32), (32, 32))  # net A at 1/16 of its width


def adapted(**fields):
    layer = kl.Normalization(**fields)
    layer.adapt(np.random.default_rng(5).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32) * [1.0, 0.5, 0.2])
    return layer


def convolutions(batch_norm=False, activation="relu", named=True):
    found = []
    for block, row in enumerate(BLOCKS, start=1):
        for place, units in enumerate(row, start=1):
            name = f"block{block}_conv{place}" if named else None
            inside = None if batch_norm else activation
            found.append(kl.Conv2D(units, 3, padding="same", activation=inside, bias_initializer="normal", name=name))
            if batch_norm:
                found += [kl.BatchNormalization(epsilon=1e-5), kl.Activation(activation)]
        found.append(kl.MaxPooling2D(2, name=f"block{block}_pool" if named else None))
    return found


def head(classes=5, activation="relu", end=None):
    return [
        kl.Flatten(),
        kl.Dense(256, activation=activation, name="fc1"),
        kl.Dropout(0.5),
        kl.Dense(256, activation=activation, name="fc2"),
        kl.Dropout(0.5),
        kl.Dense(classes, activation=end, name="predictions"),
    ]


def functional(layers, side=32):
    image = x = keras.Input((side, side, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def sequential(layers, side=32):
    return keras.Sequential([keras.Input((side, side, 3)), *layers])


def scaled(model, images):
    """Random weights that keep signals alive, and batch norm's averages as random."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, kl.Conv2D | kl.Dense):
            kernel, bias = layer.get_weights()
            spread = np.sqrt(2 / np.prod(kernel.shape[:-1]))
            layer.set_weights([random.normal(0, spread, kernel.shape), random.normal(0, 0.3, bias.shape)])
        elif isinstance(layer, kl.BatchNormalization):
            layer.set_weights([random.uniform(0.2, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture
def images(random):
    return random.integers(0, 256, (4, 32, 32, 3)).astype(np.float32)


def logits(model, images):
    found = ours(model, images)
    return np.log(found) if np.allclose(found.sum(axis=1), 1, atol=1e-5) else found


def equal(loaded, model, images, taken=None, shifted=False):
    """Whether a loaded net's logits are those of Keras's model; `taken` are the images as the model takes them."""
    found, expected = ours(loaded.model, images), logits(model, images if taken is None else taken)
    if shifted:  # the logarithms of probabilities are logits but for one number an image
        found, expected = (values - values.mean(axis=1, keepdims=True) for values in (found, expected))
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max()
    return difference("logits", found, expected) <= 1e-5


PREPROCESSING = {
    "divided": lambda: [kl.Rescaling(1 / 255)],
    "from -1 to 1": lambda: [kl.Rescaling(1 / 127.5, offset=-1)],
    "by channel": lambda: [kl.Rescaling([1 / 255, 1 / 128, 1 / 64], offset=[-0.5, 0.1, 0.0])],
    "shifted alone": lambda: [kl.Rescaling(1.0, offset=-127.5)],
    "negative": lambda: [kl.Rescaling(-1 / 255, offset=1.0)],
    "adapted": lambda: [adapted()],
    "adapted over all": lambda: [adapted(axis=None)],
    "given": lambda: [kl.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 4000.0, 5000.0])],
    "a number given": lambda: [kl.Normalization(axis=None, mean=120.0, variance=4000.0)],
    "both": lambda: [
        kl.Rescaling(1 / 255),
        kl.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506]),
    ],
    "augmented first": lambda: [kl.RandomFlip("horizontal"), kl.RandomRotation(0.1), kl.Rescaling(1 / 255)],
}


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("kind", PREPROCESSING)
def test_a_models_own_preprocessing_is_folded_in(tmp_path, images, kind, ending, capsys):
    made = functional if len(kind) % 2 else sequential
    model = scaled(made([*PREPROCESSING[kind](), *convolutions(), *head()]), images)
    model.save(tmp_path / f"net.{ending}")
    capsys.readouterr()
    loaded = load_net(tmp_path / f"net.{ending}")
    assert equal(loaded, model, images)
    found = loaded.config.architecture
    assert (found.name, found.width, found.crop, found.num_classes) == ("A", 1 / 16, 32, 5)
    assert "the file does not say" not in capsys.readouterr().err


def test_nets_of_every_form_are_read(tmp_path, images):
    forms = {
        "batch norm": [kl.Rescaling(1 / 255), *convolutions(batch_norm=True), *head()],
        "leaky": [kl.Rescaling(1 / 255), *convolutions(activation="leaky_relu"), *head(activation="leaky_relu")],
        "names of its own": [kl.Rescaling(1 / 255), *convolutions(named=False), *head()],
        "soft-max": [kl.Rescaling(1 / 255), *convolutions(), *head(end="softmax")],
        "soft-max behind": [kl.Rescaling(1 / 255), *convolutions(), *head(), kl.Softmax()],
        "one in another": [kl.Rescaling(1 / 255), sequential(convolutions()), *head()],
        "deeper": [functional([kl.Rescaling(1 / 127.5, -1), functional(convolutions(batch_norm=True))]), *head()],
        "pooled": [
            kl.Rescaling(1 / 255),
            *convolutions(),
            kl.GlobalAveragePooling2D(),
            kl.Dense(5, name="predictions"),
        ],
    }
    for place, (form, layers) in enumerate(forms.items()):
        model = scaled((functional, sequential)[place % 2](layers), images)
        for ending in ("h5", "keras"):
            model.save(tmp_path / f"net.{ending}")
            loaded = load_net(tmp_path / f"net.{ending}")
            assert equal(loaded, model, images, shifted="soft" in form), form
        assert loaded.config.architecture.head == ("gap" if form == "pooled" else "fc")


def stored(path, change=None):
    """The configuration in a whole-model .h5, changed in place where `change` is given."""
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        if change:
            changed = change(config)
            file.attrs["model_config"] = changed if isinstance(changed, str | bytes) else json.dumps(changed)
    return config


def as_keras_2(config):
    """In the form of Keras 2.15: inbound nodes are lists, shapes have another name, dtypes are words."""
    config = copy.deepcopy(config)
    names = []
    for layer in config["config"]["layers"]:
        layer["config"]["dtype"] = "float32"
        layer.update(module="keras.src.engine.functional" if "layers" in layer["config"] else "keras.layers")
        layer["registered_name"] = None
        if layer["class_name"] == "InputLayer":
            layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
        if "inbound_nodes" in layer:
            layer["inbound_nodes"] = [[[name, 0, 0, {}]] for name in names[-1:]]
        names.append(layer["config"]["name"])
    if config["class_name"] == "Functional":
        config["config"]["input_layers"], config["config"]["output_layers"] = [[names[0], 0, 0]], [[names[-1], 0, 0]]
    return config


@pytest.mark.parametrize("made", [functional, sequential])
def test_files_of_keras_2_are_read(tmp_path, images, made):
    model = scaled(made([kl.Rescaling(1 / 127.5, -1), *convolutions(), *head()]), images)
    model.save(tmp_path / "net.h5")
    stored(tmp_path / "net.h5", as_keras_2)
    assert equal(load_net(tmp_path / "net.h5"), model, images)

    def without_an_input(config):  # a Sequential model of which the first layer has the shape
        first, *rest = config["config"]["layers"]
        rest[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
        config["config"]["layers"] = rest
        return config

    if made is sequential:
        stored(tmp_path / "net.h5", without_an_input)
        loaded = load_net(tmp_path / "net.h5")
        assert loaded.config.architecture.crop == 32
        assert equal(loaded, model, images)
        stored(tmp_path / "net.h5", lambda config: {**config, "config": config["config"]["layers"]})  # before 2.2.3
        assert equal(load_net(tmp_path / "net.h5"), model, images)


def test_keras_2s_arithmetic_is_read_as_it_writes_it(tmp_path, images):
    """tf_keras 2.21's form of preprocess_input: SlicingOpLambda, and TFOpLambda with its operand in the call."""
    model = scaled(functional([*convolutions(), *head()]), images)
    ellipsis, turned = {"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}
    steps = [
        ("SlicingOpLambda", "__operators__.getitem", {"slice_spec": [ellipsis, turned]}),
        ("TFOpLambda", "nn.bias_add", {"bias": [-103.939, -116.779, -123.68], "data_format": "NHWC"}),
        ("TFOpLambda", "math.truediv", {"y": 2.0, "name": None}),
        ("TFOpLambda", "math.multiply", {"y": 2.0, "name": None}),
    ]

    def with_steps(config):
        config = as_keras_2(config)
        first, second, *rest = config["config"]["layers"]
        before, added = first["config"]["name"], []
        for kind, function, operand in steps:
            name = f"tf.{function}"
            call = [[before, 0, 0, operand]]
            added.append(
                {
                    "class_name": kind,
                    "config": {"name": name, "function": function},
                    "name": name,
                    "inbound_nodes": call,
                }
            )
            before = name
        second["inbound_nodes"] = [[[before, 0, 0, {}]]]
        config["config"]["layers"] = [first, *added, second, *rest]
        return config

    model.save(tmp_path / "net.h5")
    stored(tmp_path / "net.h5", with_steps)
    assert equal(load_net(tmp_path / "net.h5"), model, images, as_caffe(images))


def test_a_keras_file_without_names_goes_by_its_classes(tmp_path, images):
    """As tf_keras writes it: layers are counted in each model and class."""
    model = scaled(
        functional([kl.Rescaling(1 / 255), functional(convolutions(batch_norm=True)), sequential_head()]), images
    )
    model.save(tmp_path / "named.keras")
    with zipfile.ZipFile(tmp_path / "named.keras") as archive, zipfile.ZipFile(tmp_path / "net.keras", "w") as other:
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
        with h5py.File(tmp_path / "w.h5", "a") as file:
            file.visititems(lambda _, node: node.attrs.pop("name", None) and None)
            assert "name" not in file["layers/functional/layers/conv2d/vars"].attrs
        other.writestr("config.json", archive.read("config.json"))
        other.write(tmp_path / "w.h5", "model.weights.h5")
    assert equal(load_net(tmp_path / "net.keras"), model, images)


def sequential_head():
    return keras.Sequential([keras.Input((1, 1, 32)), *head()])


def test_a_model_without_preprocessing_is_taken_for_keras_applications_and_it_is_said(tmp_path, images, capsys):
    model = scaled(functional([*convolutions(), *head()]), images)
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"net.{ending}")
        loaded = load_net(tmp_path / f"net.{ending}")
        line = (
            f"net.{ending}: read as Keras Applications', BGR minus the mean 103.939, 116.779, 123.68; the file does not"
        )
        assert line in capsys.readouterr().err
        assert equal(loaded, model, images, as_caffe(images))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_preprocess_input_in_a_model_is_read_and_other_arithmetic_is_named(tmp_path, images, ending):
    image = keras.Input((32, 32, 3))
    x = keras.applications.vgg16.preprocess_input(image)
    for layer in [*convolutions(), *head()]:
        x = layer(x)
    model = keras.Model(image, x)
    model.save(tmp_path / f"net.{ending}")
    assert equal(load_net(tmp_path / f"net.{ending}"), model, images)
    for name, change in (
        ("Square", lambda x: keras.ops.square(x)),
        ("GetItem", lambda x: x[:, ::-1]),
        ("Multiply", lambda x: x * x),
        ("TrueDivide", lambda x: 1.0 / (x + 1)),
        ("Add", lambda x: x + np.ones((32, 32, 3))),
    ):
        x = change(image)
        for layer in [*convolutions(), *head()]:
            x = layer(x)
        keras.Model(image, x).save(tmp_path / f"net.{ending}")
        with pytest.raises(UserError, match=rf"Received: .*net\.{ending}, another, with (the operation )?{name}"):
            load_net(tmp_path / f"net.{ending}")


def layer_of(config, name):
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


def fields(name, **values):
    """A change of a layer's fields."""

    def change(config):
        layer_of(config, name)["config"].update(values)
        return config

    return change


def other(name, **values):
    """A change of a layer itself."""

    def change(config):
        layer_of(config, name).update(values)
        return config

    return change


def bypass(config):
    """block5_conv1 is not called any more."""
    layers = config["config"]["layers"]
    place = layers.index(layer_of(config, "block5_conv1"))
    layers[place + 1]["inbound_nodes"] = layers[place]["inbound_nodes"]
    return config


def training(config):
    layer_of(config, "fc1")["inbound_nodes"][0]["kwargs"] = {"training": True}
    return config


def swapped(config):
    """Two convolutions of the same shapes in each other's place."""
    first, second = layer_of(config, "block5_conv1"), layer_of(config, "block5_conv2")
    after = config["config"]["layers"][config["config"]["layers"].index(second) + 1]
    history = [layer["inbound_nodes"] for layer in (first, second, after)]
    first["inbound_nodes"], second["inbound_nodes"], after["inbound_nodes"] = (
        json.loads(json.dumps(history[1]).replace("block5_conv1", "block5_conv2")),
        history[0],
        json.loads(json.dumps(history[2]).replace("block5_conv2", "block5_conv1")),
    )
    return config


REFUSED = {
    "another activation": (fields("block2_conv1", activation="tanh"), "the activation tanh at block2_conv1"),
    "an activation of its own": (
        fields("block2_conv1", activation={"class_name": "function", "config": "mine"}),
        "the activation .* at block2_conv1",
    ),
    "no activation": (fields("block2_conv1", activation="linear"), "block2_pool behind block2_conv1, not activation"),
    "activations that differ": (fields("fc1", activation="leaky_relu"), "layers of one kind that differ"),
    "a soft-max within": (fields("fc1", activation="softmax"), "a soft-max at fc1, before the end"),
    "valid padding": (fields("block1_conv1", padding="valid"), "block1_conv1 of padding=valid"),
    "strides": (fields("block1_conv1", strides=[2, 2]), r"block1_conv1 of strides=\[2, 2\]"),
    "dilation": (fields("block3_conv1", dilation_rate=[2, 2]), "block3_conv1 of dilation_rate"),
    "groups": (fields("block3_conv1", groups=2), "block3_conv1 of groups=2"),
    "channels first": (fields("block3_conv1", data_format="channels_first"), "data_format=channels_first"),
    "another pool": (other("block1_pool", class_name="AveragePooling2D"), "AveragePooling2D"),
    "a wider pool": (fields("block1_pool", pool_size=[3, 3]), r"block1_pool of pool_size=\[3, 3\]"),
    "a pool that overlaps": (fields("block1_pool", strides=[1, 1]), r"block1_pool of strides=\[1, 1\]"),
    "grey images": (fields("image", batch_shape=[None, 32, 32, 1]), r"an input of the shape \(32, 32, 1\)"),
    "no square": (fields("image", batch_shape=[None, 16, 64, 3]), "an input of 16x64, not a square"),
    "a Lambda first": (other("scale", class_name="Lambda"), "Lambda"),
    "a resizing first": (other("scale", class_name="Resizing"), "Resizing"),
    "a crop first": (other("scale", class_name="CenterCrop"), "CenterCrop"),
    "a stranger's layer": (other("block1_conv1", class_name="Mine>Conv2D"), "Mine>Conv2D"),
    "a stranger's layer of that name": (other("block1_conv1", module="mine.layers"), "Conv2D of mine.layers"),
    "a stranger's registered layer": (other("block1_conv1", registered_name="mine>Conv2D"), "mine>Conv2D"),
    "division by 0": (fields("scale", scale=0.0), "scale of scale=0"),
    "no number": (fields("scale", scale=float("nan")), "scale of values that are not finite"),
    "a tiny number": (fields("scale", scale=1e-310), "scale of values that are not finite"),
    "a variance below 0": (
        other("scale", class_name="Normalization", config={"name": "scale", "mean": [0.0], "variance": [-1.0]}),
        "whose scale has one that is",
    ),
    "four channels": (fields("scale", scale=[1.0, 1.0, 1.0, 1.0]), "4 values for 3 channels"),
    "rows": (fields("scale", offset=[[1.0], [2.0], [3.0]]), "3 values for 3 channels"),
    "a layer left out": (bypass, "layers beside the chain"),
    "a circle": (
        lambda config: other("scale", inbound_nodes=layer_of(config, "fc1")["inbound_nodes"])(config),
        "layers in a circle",
    ),
    "two outputs": (
        lambda config: {
            **config,
            "config": {**config["config"], "output_layers": [["predictions", 0, 0], ["fc1", 0, 0]]},
        },
        "several inputs or outputs",
    ),
    "as in training": (training, "fc1 called with training=True"),
    "without its pool": (other("block5_pool", class_name="Dropout"), r"block5_pool|missing"),
    "without its scale": (lambda config: {"class_name": "Functional", "config": {}}, "configuration is damaged"),
    "not JSON": (lambda config: "{", "whose configuration is not JSON"),
    "a list": (lambda config: [], "configuration is damaged"),
    "a number": (lambda config: 5, "configuration is damaged"),
    "nothing": (lambda config: "", "whose configuration is not JSON"),
    "deep": (lambda config: "[" * 20_000, "whose configuration is not JSON"),
    "a subclass": (lambda config: {**config, "class_name": "MyVGG"}, "another, with MyVGG"),
    "layers of another kind": (lambda config: {**config, "config": {"layers": 7}}, "configuration is damaged"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole model that begins with a division, as .h5."""
    image = keras.Input((32, 32, 3), name="image")
    x = kl.Rescaling(1 / 255, name="scale")(image)
    for layer in [*convolutions(), *head()]:
        x = layer(x)
    path = tmp_path_factory.mktemp("whole") / "net.h5"
    keras.Model(image, x).save(path)
    return path


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_understood_is_refused_in_one_line(tmp_path, whole, kind):
    change, message = REFUSED[kind]
    path = tmp_path / "net.h5"
    path.write_bytes(whole.read_bytes())
    stored(path, change)
    with pytest.raises(UserError, match=rf"Received: .*net\.h5.*{message}") as caught:
        load_net(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_layers_go_by_their_places_and_not_by_their_names(tmp_path, whole):
    path = tmp_path / "net.h5"
    path.write_bytes(whole.read_bytes())
    stored(path, swapped)
    plain, turned = load_net(whole).model, load_net(path).model
    for new, old in (("block5_conv1", "block5_conv2"), ("block5_conv2", "block5_conv1")):
        assert np.array_equal(turned.get_layer(new).kernel, plain.get_layer(old).kernel)


def test_a_configuration_that_is_too_long_is_not_parsed(tmp_path, whole):
    for name, text in (("list", [b"{}"] * 3), ("long", np.bytes_(b" " * 60_000))):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = text
        with pytest.raises(UserError, match=rf"Received: .*{name}\.h5|{name}\.h5 must hold"):
            load_net(path)
