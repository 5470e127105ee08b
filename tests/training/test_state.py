"""The state of a training before its first step."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import a_step
from vgg_keras.nets.builder import build
from vgg_keras.training.state import freeze_others


def test_frozen_layers_keep_their_averages():
    model = build("A", num_classes=4, width=1 / 16, crop=32, batch_norm=True, seed=1)
    freeze_others(model, ("block5_conv2", "fc1"))
    trained = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert trained == {"block5_conv2", "block5_conv2_bn", "fc1"}

    def averages_moved(name):
        layer = model.get_layer(name)
        before = [weight.numpy() for weight in layer.weights]
        model(np.ones((4, 32, 32, 3), np.float32), training=True)
        return any(not np.array_equal(old, new.numpy()) for old, new in zip(before, layer.weights, strict=True))

    assert not averages_moved("block1_conv1_bn") and averages_moved("block5_conv2_bn")


@pytest.mark.slow
def test_a_released_state_holds_no_weight_though_tensorflow_keeps_the_graph_that_names_it():
    """A dry run of E's chain took 4.2 GiB, 1 GiB of it for the net that was timed before."""
    state, step = a_step("training.average_decay=0.9")
    images, labels = np.zeros((2, 32, 32, 3), np.float32), np.zeros(2, np.int32)
    step((images, labels, np.full(2, 0.5, np.float32)))
    variables = [*state.model.variables, *state.averaged.variables, *state.optimizer.variables]
    handles = [(variable.value.handle, variable.value.dtype) for variable in variables]
    state.release()
    assert len(handles) > 60
    assert (
        sum(tf.size(tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)).numpy() for handle, dtype in handles) == 0
    )


@pytest.mark.slow
def test_the_averaged_net_begins_as_the_net_and_is_the_result():
    state, _ = a_step("training.average_decay=0.9")
    assert state.result is state.averaged
    for ours, theirs in zip(state.model.weights, state.averaged.weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())
    plain, _ = a_step()
    assert plain.result is plain.model and not plain.scales_loss
