"""The layers that a net of Table 1 may have: others are refused by their class, their package or their fields."""

import pytest

from tests.weights.formats.thin_nets import fields, other

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
