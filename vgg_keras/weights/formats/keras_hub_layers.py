"""KerasHub's VGG as layers: its files hold the arguments of `VGGBackbone` and `VGGImageClassifier`, and no layers.

keras-team/keras-hub, keras_hub/src/models/vgg: five blocks of convolutions; a head of FC layers, as convolutions of 7x7 and 1x1
where it pools behind them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vgg_keras.weights.formats.keras_layers import ModelFile, SavedLayer, require_known

_MOST = 64  # convolutions of a block


def layers_of(model: Mapping[str, Any], file: ModelFile) -> Iterator[SavedLayer]:
    """The layers of a serialized backbone or classifier, from its images to its output.

    Raises:
        UserError: arguments that make another net.
    """
    config = model["config"]
    if str(model["class_name"]).endswith("VGGBackbone"):
        yield from _backbone(config, file)
        return
    converter = converter_of(config.get("preprocessor"), file)
    if converter is not None:
        yield converter
    require_known(config["backbone"], ("VGGBackbone",), file)
    yield from _backbone(config["backbone"]["config"], file)
    yield from _head(config, file)


def converter_of(preprocessor: Any, file: ModelFile) -> SavedLayer | None:
    """What a serialized preprocessor does to the values of images; None where there is none. It also makes their size.

    Raises:
        UserError: another preprocessor, or a division by more than a number for each channel.
    """
    if preprocessor is None:
        return None
    converter = preprocessor["config"].get("image_converter")
    if converter is None:
        return None
    if converter.get("class_name") not in ("VGGImageConverter", "ImageConverter"):
        raise file.another(str(converter.get("class_name"))[:50])
    config = converter["config"]
    scale, offset = (config.get(key) for key in ("scale", "offset"))
    return SavedLayer(
        "Rescaling",
        "image_converter",
        {"scale": 1.0 if scale is None else scale, "offset": 0.0 if offset is None else offset},
    )


def converter_side(preprocessor: Any) -> int:
    """The side of the square images that a serialized preprocessor makes; 0 where it makes others."""
    converter = ((preprocessor or {}).get("config") or {}).get("image_converter") or {}
    size = (converter.get("config") or {}).get("image_size") or [0, 0]
    return size[0] if len(size) == 2 and type(size[0]) is int and size[0] == size[1] else 0


def _backbone(config: Mapping[str, Any], file: ModelFile) -> Iterator[SavedLayer]:
    repeats, filters = config["stackwise_num_repeats"], config["stackwise_num_filters"]
    if config.get("data_format") not in (None, "channels_last"):
        raise file.another(f"data_format={config['data_format']}")
    if not len(repeats) == len(filters) == 5 or any(type(n) is not int or not 0 < n <= _MOST for n in repeats):
        raise file.another(f"blocks of {str(repeats)[:50]} convolutions")
    yield SavedLayer("InputLayer", "image", {"batch_shape": [None, *(config.get("image_shape") or [None] * 3)]})
    if config.get("include_rescaling"):
        yield SavedLayer("Rescaling", "rescaling", {"scale": 1 / 255})
    for block, count in enumerate(repeats, start=1):
        for place in range(1, count + 1):
            yield _layer("Conv2D", f"block{block}_conv{place}", padding="same", activation="relu")
        yield _layer("MaxPooling2D", f"block{block}_pool", pool_size=2, padding="valid")
    pooling = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}.get(config.get("pooling"))
    if pooling:
        yield _layer(pooling, "backbone_pooling")


def _head(config: Mapping[str, Any], file: ModelFile) -> Iterator[SavedLayer]:
    """The classifier's: Flatten and FC layers, or convolutions as large as the map, and a pooling of the one position."""
    pooling = config.get("pooling", "avg")
    if pooling not in ("flatten", "avg", "max"):
        raise file.another(f"pooling={str(pooling)[:50]}")
    if "pooling" not in config:  # before 0.17 the backbone pooled, and one FC layer followed
        yield _layer("Dense", "predictions", activation=config.get("activation"))
        return
    if pooling == "flatten":
        yield _layer("Flatten", "flatten")
    kind = "Dense" if pooling == "flatten" else "Conv2D"
    yield _layer(kind, "fc1", activation="relu", padding="valid")
    yield _layer(kind, "fc2", activation="relu", padding="same")
    if pooling != "flatten":
        yield _layer({"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}[pooling], "pooler")
    yield _layer("Dense", "predictions", activation=config.get("activation"))


def _layer(kind: str, name: str, **config: Any) -> SavedLayer:
    return SavedLayer(kind, name, config)
