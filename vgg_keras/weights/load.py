"""Weights of any source into a model, and a source's own net: what a notebook calls."""

import dataclasses
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError, unknown_argument
from vgg_keras.nets.architectures import LAST
from vgg_keras.nets.builder import build_trained
from vgg_keras.nets.model import architecture_of
from vgg_keras.weights.convert import random_layers
from vgg_keras.weights.formats.run_folder import LoadedModel, load_run
from vgg_keras.weights.inference import (
    class_names,
    convert_or_suggest,
    infer,
    require_head,
    resolved,
    with_stated,
)
from vgg_keras.weights.initialize import assign
from vgg_keras.weights.memory import tensors
from vgg_keras.weights.presets import is_preset
from vgg_keras.weights.read import print_assumption, read
from vgg_keras.weights.source_weights import SourceWeights, flags_of_images, parsing
from vgg_keras.weights.verify import IMAGENET, path_of, require_digest, require_run


def load_weights(model: keras.Model | None, source: str | Path, sha256: str | None = None) -> keras.Model:
    """Loads weights into a net by its layers' names, whatever framework they come from.

    The source's preprocessing is folded into the first layers: what is loaded takes RGB images in 0-255. The head keeps its
    weights where the file has no FC layers, the last layer where it has another number of classes. A line names them.

    Args:
        model: of `vgg_keras.build`; None builds the source's own net.
        source: a run's folder; "imagenet", which is Keras Applications' VGG16 or VGG19, the authors' D and E; the folder of a
            KerasHub preset; or a file: a Keras model, fine-tuned or not (`.keras`, `.h5`, `.hdf5`, `.weights.h5`),
            torchvision's or timm's `.pth`, `.pt`, `.pth.tar`, `.ckpt`, `.bin` or `.safetensors`, the authors' `.caffemodel`,
            MatConvNet's `.mat`.
        sha256: that the file must have, checked before it is parsed.

    Returns:
        The model. One whose first layer subtracts another mean than the source's is refused: build it with that mean.

    Raises:
        UserError: an unknown source, another sha256, a file that is not what its name says, layers missing or left over, a
            shape that differs, a weight that is not finite. The model is then as it was.

    Example:
        model = vgg_keras.load_weights(None, "vgg16-397923af.pth")
    """
    if model is None:
        return load_net(source, sha256=sha256).model
    architecture = architecture_of(model)
    weights, _ = read(source, architecture.name, sha256)
    if weights.own_preprocessing and not architecture.std:
        raise UserError(
            f"This file of weights does not hold what its net does to images first. {_noted(source, weights)} Build the net with "
            "that, mean= and std= of R, G and B: Rescaling(1/255) is mean=(0, 0, 0), std=(255, 255, 255)."
        )
    converted = convert_or_suggest(weights, architecture)
    kept = assign(model, converted, architecture, weights.path).random
    print_assumption(source, weights, architecture)
    if kept:
        line = f"{source}: "
        line += f"its head is not read: {weights.head_problem}; " if weights.head_problem else ""
        line += f"no weights for {', '.join(kept)}, which stay as they were"
        if kept == (LAST,) and (fields := _own_last_layer(weights, architecture)):
            line += f"; {' '.join(fields)} takes its own"
        print(line, file=sys.stderr, flush=True)
    return model


def load_net(
    source: str | Path,
    config: Config | None = None,
    dtype: str | None = None,
    sha256: str | None = None,
    convolutions: bool = False,
    stated: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """The net of a source, with its configuration and the names of its classes.

    Args:
        source, sha256: as in `load_weights`.
        config: whose net takes the weights; `num_classes` 0 and an empty `mean` are the source's. None: the source's own. A
            run has its own.
        dtype: Keras dtype policy; None: the global policy.
        convolutions: whether a source without FC layers is taken: its convolutions, under global average pooling and a last
            layer of one random output.
        stated: without a `config`, fields of the architecture that the source may lack: `mean` and `std` of a `.weights.h5` or
            where they would be assumed, `crop` where the FC layers are behind a global pooling. Others must be the source's; a
            run lacks none.

    Returns:
        The net. Where neither the source nor ImageNet names its classes, `classes` is empty.

    Raises:
        UserError: as in `load_weights`; or layers that the source has no weights for.
    """
    stated = dict(stated or {})
    if config is not None and stated:
        raise UserError(
            f"A config has every field of the net. Received: one, and stated={stated} beside it. Leave it out."
        )
    _require_fields(stated)
    if _is_run(source):
        run = _load_run(source, config, dtype, sha256)
        _require_agreement(source, stated, Architecture(**stated), run.config.architecture)
        return run
    weights, digest = read(source, config.architecture.name if config else "D", sha256)
    wanted = config.architecture if config else Architecture(**stated)
    weights = with_stated(weights, wanted.mean, wanted.std)
    headless = convolutions and not weights.fc_layers
    if not headless:
        require_head(weights)
    if config is None:
        config = Config(architecture=_own_net(source, weights, stated, headless))
    elif headless:
        config = _without_head(config)
    architecture = resolved(config.architecture, weights)
    _require_agreement(source, stated, wanted, architecture)
    converted = convert_or_suggest(weights, architecture, prefix="--set=architecture.")
    if not headless:
        _require_every_layer(source, weights, architecture, converted)
    print_assumption(source, weights, architecture)
    config = dataclasses.replace(config, architecture=architecture, stages=())
    names = class_names(weights, architecture.num_classes)
    converted = tensors(converted)
    del weights  # so that the net alone holds them
    return LoadedModel(build_trained(architecture, converted, dtype), config, names, Path(source), digest)


def _require_fields(stated: Mapping[str, Any]) -> None:
    """Refuses names that are no fields of an architecture."""
    known = [field.name for field in dataclasses.fields(Architecture)]
    for name, value in stated.items():
        if name not in known:
            raise unknown_argument("stated of load_net()", name, value, known)


def _require_agreement(source: str | Path, stated: Collection[str], wanted: Architecture, found: Architecture) -> None:
    """Refuses a stated field of which the source has another value."""
    for name in stated:
        ours, theirs = getattr(wanted, name), getattr(found, name)
        if ours != theirs:
            raise UserError(
                f"A field of a net is stated where its file lacks it. Received: {name}={ours} for {source}, "
                f"whose {name} is {theirs}."
            )


def _is_run(source: str | Path) -> bool:
    """Whether a source is a run's folder."""
    return str(source) != IMAGENET and path_of(source).is_dir() and not is_preset(path_of(source))


def _load_run(source: str | Path, config: Config | None, dtype: str | None, sha256: str | None) -> LoadedModel:
    """The net of a run, which has a configuration of its own."""
    if config is not None:
        raise UserError(f"A run has a configuration of its own. Received: another beside {source}. Leave --config out.")
    require_run(path_of(source))
    run = load_run(source, dtype=dtype)
    require_digest(sha256, run.weights_sha256, source)
    return run


def _own_net(source: str | Path, weights: SourceWeights, stated: Mapping[str, Any], headless: bool) -> Architecture:
    """The net that a source holds; of convolutions alone the net of `_without_head`."""
    if weights.preprocessing is None:
        channels = stated.get("channels", 3) if weights.channels() == 3 else weights.channels() or 3
        raise UserError(
            "This file gives weights only, not what its net does to images first. "
            f"{_noted(source, weights)} Give a model, or {flags_of_images(channels, 'mean')}, and architecture.std likewise "
            "where it divides. Of RGB, Rescaling(1/255) is mean=0,0,0 and std=255,255,255."
        )
    like = None
    if headless:
        wanted = Architecture(**stated)
        like = Architecture(head="gap", num_classes=1, crop=wanted.crop, channels=wanted.channels)
    with parsing(source):
        return infer(weights, like, stated)


def _noted(source: str | Path, weights: SourceWeights) -> str:
    """The end of a message on a source whose preprocessing is not known: what it holds of it."""
    return f"Received: {source}" + (
        f": {'; '.join(weights.notes)}." if weights.own_preprocessing and weights.notes else "."
    )


def _without_head(config: Config) -> Config:
    """A configuration whose net has its convolutions under global average pooling and a last layer of one output."""
    alone = dataclasses.replace(config.architecture, head="gap", fc_units=(1,), fc_layers=0, num_classes=1)
    return dataclasses.replace(config, architecture=alone)


def _require_every_layer(
    source: str | Path, weights: SourceWeights, architecture: Architecture, converted: Collection[str]
) -> None:
    """Refuses a net with layers that a source has no weights for: they would stay random."""
    missing = random_layers(architecture, converted)
    if not missing:
        return
    fields = _own_last_layer(weights, architecture) if LAST in missing else []
    its_own = f"{' '.join(f'--set=architecture.{field}' for field in fields)} takes its own; " if fields else ""
    raise UserError(
        "A net that is not trained any more has weights in every layer. "
        f"Received: {source}, without those of {', '.join(missing)}. {its_own}train --weights={source} trains them."
    )


def _own_last_layer(weights: SourceWeights, architecture: Architecture) -> list[str]:
    """The fields of a net that would take a source's own last layer, which this one does not: its task and its classes."""
    own = {name: getattr(weights, name) or getattr(architecture, name) for name in ("boxes", "box_unit")}
    if own["boxes"] == "none":
        del own["box_unit"]  # which only boxes have
    task = dataclasses.replace(architecture, multi_label=False, **own)
    own["num_classes"] = weights.num_classes(task) or architecture.num_classes
    (kernel, *_) = weights.tensors.get(weights.names(task)[LAST]) or [np.zeros((0, 0))]
    if dataclasses.replace(task, **own).outputs != weights.units(kernel):
        return []  # it has none, or of another task that it does not hold
    return [f"{name}={value}" for name, value in own.items() if getattr(architecture, name) != value]
