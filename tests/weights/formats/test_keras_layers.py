"""The layers that a net of Table 1 may have: others are refused by their class, their package or their fields."""

import pytest

from tests.weights.formats.saved_layers import FILE, layer
from tests.weights.formats.thin_nets import fields, other
from vgg_keras.errors import UserError
from vgg_keras.weights.formats.keras_layers import (
    OtherNetError,
    SavedLayer,
    end_of,
    negative_slope,
    require_fields,
    require_known,
)

REFUSED = {
    "another activation": (fields("block2_conv1", activation="tanh"), "the activation tanh at block2_conv1"),
    "an activation of its own": (
        fields("block2_conv1", activation={"class_name": "function", "config": "mine"}),
        "the activation .* at block2_conv1",
    ),
    "valid padding": (fields("block1_conv1", padding="valid"), "block1_conv1 of padding=valid"),
    "strides": (fields("block1_conv1", strides=[2, 2]), r"block1_conv1 of strides=\[2, 2\]"),
    "dilation": (fields("block3_conv1", dilation_rate=[2, 2]), "block3_conv1 of dilation_rate"),
    "groups": (fields("block3_conv1", groups=2), "block3_conv1 of groups=2"),
    "channels first": (fields("block3_conv1", data_format="channels_first"), "data_format=channels_first"),
    "a wider pool": (fields("block1_pool", pool_size=[3, 3]), r"block1_pool of pool_size=\[3, 3\]"),
    "a pool that overlaps": (fields("block1_pool", strides=[1, 1]), r"block1_pool of strides=\[1, 1\]"),
    "a Lambda first": (other("scale", class_name="Lambda"), "Lambda"),
    "a crop first": (other("scale", class_name="CenterCrop"), "CenterCrop"),
    "a stranger's layer": (other("block1_conv1", class_name="Mine>Conv2D"), "Mine>Conv2D"),
    "a stranger's layer of that name": (other("block1_conv1", module="mine.layers"), "Conv2D of mine.layers"),
    "a stranger's registered layer": (other("block1_conv1", registered_name="mine>Conv2D"), "mine>Conv2D"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_layer_that_is_none_of_table_1_is_refused(refused_when, kind):
    refused_when(*REFUSED[kind])


# ---- by the descriptions alone


@pytest.mark.parametrize(
    ("described", "slope"),
    [
        (layer("ReLU"), 0.0),
        (layer("ReLU", negative_slope=0.3), 0.3),
        (layer("ReLU", negative_slope=[0.3]), 0.3),  # as Keras 2.15 writes it
        (layer("LeakyReLU", negative_slope=0.1), 0.1),
        (layer("LeakyReLU", alpha={"class_name": "__numpy__", "config": {"value": 0.1}}), 0.1),  # Keras 2's
        (layer("Conv2D", activation="relu"), 0.0),
        (layer("Dense", activation="leaky_relu"), 0.2),  # keras.activations.leaky_relu's default
        (layer("Conv2D", activation="linear"), None),
        (layer("Dense"), None),
        (layer("Dense", activation="softmax"), None),  # which is the end
        (layer("Softmax"), None),
        (layer("Flatten"), None),
    ],
    ids=lambda value: f"{value.kind} {dict(value.config)}" if isinstance(value, SavedLayer) else str(value),
)
def test_the_slope_below_zero_is_that_of_every_way_to_write_it(described, slope):
    assert negative_slope(described, FILE) == slope


def function(name, module):
    return {"class_name": "function", "config": name, "module": module, "registered_name": "function"}


def test_an_activation_that_is_a_layer_is_read_as_one():
    def dense(kind, module="keras.layers", **config):
        return layer("Dense", "fc", activation={"class_name": kind, "module": module, "config": config})

    assert negative_slope(dense("ReLU"), FILE) == 0.0
    assert negative_slope(dense("LeakyReLU", negative_slope=0.1), FILE) == 0.1
    assert end_of(dense("Softmax", axis=-1)) == "softmax" and negative_slope(dense("Softmax", axis=-1), FILE) is None
    assert end_of(layer("Dense", activation="softmax_v2")) == "softmax"  # tf.nn.softmax
    for stored, what in (
        (dense("ReLU", max_value=6.0), "fc of max_value=6.0"),
        (dense("Softmax", axis=2), "fc of axis=2"),
        (dense("ReLU", "mine"), "the activation ReLU of mine at fc"),
    ):
        with pytest.raises(OtherNetError) as caught:
            negative_slope(stored, FILE)
        assert caught.value.what == what


CAFFES = {"name": "first", "function": "preprocess_input", "module": "keras.src.applications.vgg16"}


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (CAFFES, ""),
        ({**CAFFES, "function": ["4wIA", None, None], "module": "tf_keras.src.applications.vgg16"}, ""),  # decorated
        ({**CAFFES, "function": function("preprocess_input", "builtins"), "module": None}, ""),  # Keras 3's
        (
            {**CAFFES, "arguments": {"mode": "tf"}},
            "first, a Lambda of preprocess_input of keras.src.applications.vgg16, which is not read",
        ),
        ({**CAFFES, "function": ["4wIA", None, None], "module": "mine"}, "first, a Lambda of code, which is not read"),
        ({**CAFFES, "function": "halved", "module": "mine"}, "first, a Lambda of halved of mine, which is not read"),
        ({**CAFFES, "module": "keras.applications.mobilenet"}, "first, a Lambda of preprocess_input of keras.appl"),
    ],
)
def test_a_lambda_is_known_where_it_is_preprocess_input(config, what):
    stored = {"class_name": "Lambda", "config": config, "module": "keras.layers"}
    if not what:
        return require_known(stored, ("Lambda",), FILE)
    with pytest.raises(OtherNetError) as caught:
        require_known(stored, ("Lambda",), FILE)
    assert caught.value.what.startswith(what)


def test_leaky_relu_without_its_slope_is_refused():
    with pytest.raises(UserError, match=r"net\.keras, another, with leaky without negative_slope\."):
        negative_slope(layer("LeakyReLU", "leaky"), FILE)


def test_a_function_is_known_by_its_name_where_it_is_keras_own():
    assert end_of(layer("Dense", activation=function("softmax", "keras.activations"))) == "softmax"
    assert end_of(layer("Dense", activation=function("sigmoid", "builtins"))) == "sigmoid"
    mine = layer("Dense", "mine", activation=function("softmax", "mine"))
    assert end_of(mine) == ""
    with pytest.raises(UserError, match=r"with the activation softmax of mine at mine\."):
        negative_slope(mine, FILE)
    assert end_of(layer("Softmax")) == "softmax" and end_of(layer("Conv2D", activation="softmax")) == ""


def stored_class(kind, module=None, registered=None):
    return {"class_name": kind, "module": module, "registered_name": registered}


def test_a_class_is_known_with_the_package_that_owns_its_name():
    known = ("Conv2D", "MeanSubtraction", "VGGBackbone")
    for found in (
        stored_class("Conv2D", "keras.layers"),
        stored_class("Conv2D", "tf_keras.src.layers.convolutional.conv2d", "Conv2D"),
        stored_class("vgg_keras>Conv2D", "vgg_keras.nets.keras_layers", "vgg_keras>Conv2D"),
        stored_class("MeanSubtraction", "vgg_keras.nets.keras_layers", "vgg_keras>MeanSubtraction"),
        stored_class("VGGBackbone", "keras_hub.src.models.vgg.vgg_backbone", "keras_hub>VGGBackbone"),
    ):
        require_known(found, known, FILE)
    for stranger, what in (
        (stored_class("MeanSubtraction", "keras.layers"), "MeanSubtraction of keras.layers"),
        (stored_class("VGGBackbone", "keras.layers"), "VGGBackbone of keras.layers"),
        (stored_class("Conv2D", "kerasx.layers"), "Conv2D of kerasx.layers"),
        (stored_class("Conv2D", "vgg_keras.nets.keras_layers", "mine>Conv2D"), "mine>Conv2D"),
        (stored_class("Dense", "keras.layers"), "Dense"),
    ):
        with pytest.raises(OtherNetError) as caught:
            require_known(stranger, known, FILE)
        assert caught.value.what == what and str(caught.value).endswith(f"net.keras, another, with {what}.")


def test_fields_that_a_file_does_not_hold_are_defaults_but_for_those_that_decide():
    require_fields(layer("Conv2D", padding="same"), FILE)
    require_fields(layer("MaxPooling2D", pool_size=[2, 2], strides=None), FILE)
    require_fields(layer("ReLU", threshold={"class_name": "__numpy__", "config": {"value": 0.0}}), FILE)
    for described, what in (
        (layer("Conv2D", "conv"), "conv without padding"),  # Keras's default is valid
        (layer("MaxPooling2D", "pool"), "pool without pool_size"),
        (layer("BatchNormalization", "norm", axis=1), "norm of axis=1"),
        (layer("LocalResponseNormalization", "lrn", n=7), "lrn of n=7"),
        (layer("ReLU", "clipped", max_value=6.0), "clipped of max_value=6.0"),
    ):
        with pytest.raises(OtherNetError) as caught:
            require_fields(described, FILE)
        assert caught.value.what == what


def test_a_damaged_configuration_becomes_one_line():
    for error in (KeyError("layers"), TypeError("a\nb"), RecursionError(), IndexError("x" * 500)):
        with pytest.raises(UserError, match=rf"whose configuration is damaged: {type(error).__name__}") as caught:
            with FILE.parsing():
                raise error
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 260
    with pytest.raises(ZeroDivisionError), FILE.parsing():  # a fault of the reader itself is none of the file
        raise ZeroDivisionError
