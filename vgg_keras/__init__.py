"""VGG (Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition") on Keras 3.

    import vgg_keras
    model = vgg_keras.build("E", num_classes=10)

Names are imported when they are first used, so `--help` starts no TensorFlow. Once Keras is imported too,
`keras.saving.load_model` opens the models that were saved.
"""

import difflib
import importlib
import os
import sys

if os.name != "posix":
    # named, so that `python -m vgg_keras.train` prints this line without a traceback
    raise ImportError("vgg_keras runs on Linux and macOS. On Windows install it in WSL 2.", name=__name__)

from vgg_keras import startup, synonyms

__version__ = "0.1.0"

_HOMES = {
    "Architecture": "vgg_keras.config",
    "UserError": "vgg_keras.errors",
    "VGG": "vgg_keras.nets.model",
    "build": "vgg_keras.nets.builder",
    "to_fully_convolutional": "vgg_keras.nets.dense",
    "feature_maps": "vgg_keras.nets.feature_maps",
    "SGDW": "vgg_keras.training.optimizer",
    "CoupledSGD": "vgg_keras.training.optimizer",
    "training_data": "vgg_keras.data.notebook",
    "validation_data": "vgg_keras.data.notebook",
    "describe_data": "vgg_keras.data.notebook",
    "load_net": "vgg_keras.weights.load",
    "load_weights": "vgg_keras.weights.load",
    "predict_images": "vgg_keras.evaluation.prediction",
    "localize_images": "vgg_keras.localization.location",
    "extract_features": "vgg_keras.transfer.extraction",
    "PerceptualDistance": "vgg_keras.transfer.perceptual_distance",
    "class_activation_map": "vgg_keras.transfer.activation_maps",
}
__all__ = sorted(_HOMES)

# Keras finds the classes of a saved model only where they are imported: with these, and what they import, all of ours are.
_SAVED = ("vgg_keras.nets.feature_maps", "vgg_keras.training.optimizer", "vgg_keras.transfer.perceptual_distance")


def _register() -> None:
    for name in _SAVED:
        importlib.import_module(name)


startup.quiet_imports()
startup.after_keras(_register)


def __getattr__(name: str):
    if name not in _HOMES:
        nearest, meant = difflib.get_close_matches(name, __all__, n=1), synonyms.configuration(name)
        hint = f". Did you mean {nearest[0]!r}?" if nearest else ""
        if meant:  # such as Keras Applications' VGG16
            fields = ", batch_norm=True" if meant[1] else ""
            hint = f". Did you mean build({meant[0]!r}{fields})? load_net('imagenet') is the trained VGG16."
        raise AttributeError(f"module 'vgg_keras' has no attribute {name!r}{hint}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    if "keras" in sys.modules:
        _register()
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
