"""A KerasHub preset: a folder with the arguments of a VGG in JSON and its weights, as `save_to_preset` writes it.

`config.json` and `model.weights.h5` are the backbone, `task.json` and `task.weights.h5` the classifier's head, where there is
one, and `preprocessor.json` is what is done to images. Nothing of it is run.
"""

from pathlib import Path

from vgg_keras.errors import UserError
from vgg_keras.files import read_regular
from vgg_keras.weights.formats import hdf5, keras_config, keras_files, keras_hub_layers, keras_model
from vgg_keras.weights.formats.keras_layers import SEQUENTIAL_HUB, ModelFile, kind_of
from vgg_keras.weights.presets import BACKBONE, BACKBONE_WEIGHTS, PREPROCESSOR, TASK, TASK_WEIGHTS
from vgg_keras.weights.source_weights import SourceWeights

_RULE = "A KerasHub preset holds a VGG."


def read(folder: Path) -> SourceWeights:
    """The net of a preset's folder: a backbone, or a classifier.

    Raises:
        UserError: another model's preset, or a damaged one.
    """
    file = ModelFile(_RULE, folder)
    model = _json(folder, TASK) or _json(folder, BACKBONE)
    preprocessor = _json(folder, PREPROCESSOR)
    with file.parsing():
        if kind_of(model) not in SEQUENTIAL_HUB:
            raise file.another(str(kind_of(model))[:50])
        layers, problem = keras_config.chain(model, file)
        own = model["config"].get("preprocessor")
        if own is None and preprocessor and (converter := keras_hub_layers.converter_of(preprocessor, file)):
            layers.insert(0, converter)
        crop = keras_hub_layers.converter_side(own or preprocessor)
    tensors: dict[str, tuple] = {}
    for name in (BACKBONE_WEIGHTS, *([TASK_WEIGHTS] if kind_of(model) == "VGGImageClassifier" else [])):
        path = folder / name
        if not path.is_file():
            raise UserError(f"{_RULE} Received: {folder}, without {name}.")
        with hdf5.opened(path, path) as stored:
            tensors |= hdf5.keras_3_weights(stored, path)[0]
    return keras_model.describe(layers, tensors, file, problem, crop)


def _json(folder: Path, name: str) -> dict | None:
    path = folder / name
    if not path.exists():
        return None
    if path.stat().st_size > keras_files.MAX_CONFIG_BYTES:
        raise UserError(f"{_RULE} Received: {path}, a configuration of {path.stat().st_size:,} bytes.")
    found = keras_files.parsed(read_regular(path), _RULE, path)
    if not isinstance(found, dict):
        raise UserError(f"{_RULE} Received: {path}, which holds no object.")
    return found
