"""The products of a layer in NumPy, the judge of what is timed."""

import numpy as np


def of_convolution(x, kernel):
    """A convolution of stride 1 that keeps the size, and its gradients.

    Args:
        x: (n, side, side, channels).
        kernel: (k, k, channels, units), k odd.

    Returns:
        y (n, side, side, units), and where the gradient by y is y: those by the kernel and by x, in their shapes.
    """
    side, reach = x.shape[1], kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    places = [(u, v) for u in range(kernel.shape[0]) for v in range(kernel.shape[1])]
    y = sum(padded[:, u : u + side, v : v + side] @ kernel[u, v] for u, v in places)
    by_kernel, by_padded = np.zeros_like(kernel), np.zeros_like(padded)
    for u, v in places:
        by_kernel[u, v] = np.einsum("nijc,niju->cu", padded[:, u : u + side, v : v + side], y)
        by_padded[:, u : u + side, v : v + side] += y @ kernel[u, v].T
    return y, by_kernel, by_padded[:, reach : reach + side, reach : reach + side]


def of_fc(x, kernel):
    """The same of a matrix product: x (n, inputs), kernel (inputs, units)."""
    y = x @ kernel
    return y, x.T @ y, y @ kernel.T
