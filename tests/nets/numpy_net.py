"""A net's forward pass with NumPy loops, in float64."""

import numpy as np


def numpy_convolution(x, kernel, bias):
    """(height, width, in) by (k, k, in, out), zero padding, one tap at a time."""
    size = kernel.shape[0]
    padded = np.pad(x, [(size // 2, size // 2), (size // 2, size // 2), (0, 0)])
    out = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for row in range(size):
        for column in range(size):
            out += padded[row : row + x.shape[0], column : column + x.shape[1]] @ kernel[row, column]
    return out


def numpy_lrn(x):
    out = np.zeros_like(x)
    channels = x.shape[-1]
    for c in range(channels):
        window = x[..., max(0, c - 2) : min(channels, c + 3)]
        out[..., c] = x[..., c] / (2 + 1e-4 * (window**2).sum(-1)) ** 0.75
    return out


def numpy_forward(model, image, mean, activate):
    """The net in float64 from its weights and the names of its layers alone."""
    weights = {layer.name: [value.astype(np.float64) for value in layer.get_weights()] for layer in model.layers}
    x = image.astype(np.float64) - mean
    for name, values in weights.items():
        if name.endswith("_lrn"):
            x = numpy_lrn(x)
        elif name.endswith("_pool") and name.startswith("block"):
            rows, columns = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, -1).max(axis=(1, 3))
        elif name == "avg_pool":
            x = x.mean(axis=(0, 1))
        elif name.startswith(("fc", "predictions")) and values:
            x = x.reshape(-1) @ values[0] + values[1]
            x = x if name == "predictions" else activate(x)
        elif "conv" in name and len(values) in (1, 2):
            x = numpy_convolution(x, values[0], values[1] if len(values) == 2 else 0.0)
            x = x if f"{name}_bn" in weights else activate(x)
        elif name.endswith("_bn"):
            gamma, beta, average, variance = values
            x = activate((x - average) / np.sqrt(variance + 1e-3) * gamma + beta)
    return x
