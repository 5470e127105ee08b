"""One file for each format of weights on disk. A new format is a module here and its line in READERS."""

import importlib
from collections.abc import Callable

# The ending of a file's name -> the module here and its function: of a path to a `SourceWeights`. The first that fits counts.
# They are imported when a file is read, so that a command line is checked before a framework starts.
READERS = {
    ".weights.h5": ("keras_files", "read_keras"),
    ".keras": ("keras_files", "read_keras"),
    ".h5": ("keras_files", "read_h5"),
    ".hdf5": ("keras_files", "read_h5"),
    ".pth": ("torchvision", "read"),
    ".pt": ("torchvision", "read"),
    ".pth.tar": ("torchvision", "read"),  # of PyTorch's ImageNet example and of timm's training
    ".ckpt": ("torchvision", "read"),  # of Lightning
    ".bin": ("torchvision", "read"),  # of Hugging Face
    ".safetensors": ("torchvision", "read"),
    ".caffemodel": ("caffe", "read"),
    ".mat": ("matconvnet", "read"),
}


def reader(ending: str) -> Callable:
    """The function that reads files of this ending."""
    module, function = READERS[ending]
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)
