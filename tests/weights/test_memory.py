"""Weights in memory once: where an array begins, and that a tensor takes its memory over."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.weights.memory import ALIGNMENT, SMALL, aligned, contiguous, tensors


@pytest.mark.parametrize("kind", ["<f4", "<f2", ">f8"])
def test_aligned_arrays_begin_where_tensorflow_wants_them(kind):
    for side in range(1, 40):
        array = aligned((side, 3), np.dtype(kind))
        assert (array.shape, array.dtype, array.ctypes.data % ALIGNMENT) == ((side, 3), np.dtype(kind), 0)
        array[:] = 1


def test_contiguous_copies_keep_values_in_their_order(random):
    kernel = random.normal(size=(5, 4, 3, 2)).astype(np.float32)
    found = contiguous(kernel.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(found, np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)))
    assert found.flags.c_contiguous and found.ctypes.data % ALIGNMENT == 0


def test_large_aligned_arrays_are_not_copied_and_others_stay_arrays():
    large = aligned((SMALL // 4 + 1,), np.dtype(np.float32))
    large[:] = 1
    odd = np.empty(SMALL + 5, np.uint8)[1:-4].view(np.float32)
    assert odd.ctypes.data % ALIGNMENT  # TensorFlow would end the process when it multiplies this one
    found = tensors({"fc1": [large, large[:8]], "fc2": [odd, large[::2]]})
    assert isinstance(found["fc1"][0], tf.Tensor)
    assert [type(array) for array in (found["fc1"][1], *found["fc2"])] == [np.ndarray] * 3
    large[5] = 7
    assert found["fc1"][0][5] == 7  # one memory
    variable = tf.Variable(found["fc1"][0])
    variable.assign_add(tf.ones_like(variable))  # as a user who trains on
    assert variable[5] == 8
