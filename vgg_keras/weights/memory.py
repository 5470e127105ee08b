"""Arrays of weights in memory once: from a file into TensorFlow's variables without a copy.

TensorFlow's own conversion of an array makes two copies, 0.8 GB for fc1 of a full net. By DLPack a tensor takes an array's memory
over, if that begins where TensorFlow wants it: at a multiple of 64 bytes. NumPy's own memory does not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes, Eigen's with AVX-512
SMALL = 2**20  # bytes that may well be copied


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new array, not filled, at a multiple of `ALIGNMENT` bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(dtype).reshape(shape)


def contiguous(array: np.ndarray) -> np.ndarray:
    """A copy with its values in order, such as of a kernel whose axes were exchanged."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def tensors(weights: Mapping[str, Sequence[np.ndarray]]) -> dict[str, list[Any]]:
    """The arrays of `convert` for `build_trained`: large ones as tensors that take over their memory."""
    return {name: [_tensor(array) for array in arrays] for name, arrays in weights.items()}


def _tensor(array: np.ndarray) -> Any:
    import keras

    usable = array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable
    if not usable or array.nbytes < SMALL or array.ctypes.data % ALIGNMENT or keras.config.backend() != "tensorflow":
        return array
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
