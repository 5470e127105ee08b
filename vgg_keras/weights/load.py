"""Weights of any source into a model, and a source's own net: what a notebook calls."""

import dataclasses
import sys
from pathlib import Path

import keras

from vgg_keras.config import Architecture, Config
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.nets.model import architecture_of
from vgg_keras.weights.convert import random_layers
from vgg_keras.weights.formats.run_folder import LoadedModel, load_run
from vgg_keras.weights.inference import class_names, convert_or_suggest, infer, resolved
from vgg_keras.weights.initialize import assign
from vgg_keras.weights.read import path_of, print_assumption, read
from vgg_keras.weights.source_weights import HEAD, parsing
from vgg_keras.weights.verify import IMAGENET, require_digest


def load_weights(model: keras.Model | None, source: str | Path, sha256: str | None = None) -> keras.Model:
    """Loads weights into a net by its layers' names, whatever framework they come from.

    The source's preprocessing is folded into the first layers: what is loaded takes RGB images in 0-255. The head keeps its
    weights where the file has no FC layers, the last layer where it has another number of classes. A line names them.

    Args:
        model: of `vgg_keras.build`; None builds the source's own net.
        source: a run's folder; "imagenet", which is Keras Applications' VGG16 or VGG19, the authors' D and E; or a file:
            Keras Applications' `.h5`, torchvision's or timm's `.pth` or `.safetensors`, the authors' `.caffemodel`,
            MatConvNet's `.mat`, a whole Keras model (`.keras`, `.h5`); for a given model also a `.weights.h5`.
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
    converted = convert_or_suggest(weights, architecture)
    kept = assign(model, converted, architecture, weights.path).random
    print_assumption(source, weights)
    if kept:
        line = f"{source}: no weights for {', '.join(kept)}, which stay as they were"
        if kept == ("predictions",) and (classes := weights.num_classes(Architecture())):
            line += f"; num_classes={classes} takes its own"
        print(line, file=sys.stderr, flush=True)
    return model


def load_net(
    source: str | Path,
    config: Config | None = None,
    dtype: str | None = None,
    sha256: str | None = None,
    convolutions: bool = False,
) -> LoadedModel:
    """The net of a source, with its configuration and the names of its classes.

    Args:
        source, sha256: as in `load_weights`.
        config: whose net takes the weights; `num_classes` 0 and an empty `mean` are the source's. None: the source's own. A
            run has its own.
        dtype: Keras dtype policy; None: the global policy.
        convolutions: that a source without FC layers will do: its convolutions, under global average pooling and a last layer
            of one random output.

    Returns:
        The net. Where neither the source nor ImageNet names its classes, `classes` is empty.

    Raises:
        UserError: as in `load_weights`; or layers that the source has no weights for.
    """
    if str(source) != IMAGENET and path_of(source).is_dir():
        if config is not None:
            raise UserError(
                f"A run has a configuration of its own. Received: another beside {source}. Leave --config out."
            )
        run = load_run(source, dtype=dtype)
        require_digest(sha256, run.weights_sha256, source)
        return run
    weights, found = read(source, config.architecture.name if config else "D", sha256)
    named = weights.names(Architecture("D"))
    headless = convolutions and not any(named[name] in weights.tensors for name in HEAD)
    if headless and config:
        alone = dataclasses.replace(config.architecture, head="gap", num_classes=1)
        config = dataclasses.replace(config, architecture=alone)
    if config is None:
        if weights.preprocessing is None:
            raise UserError(
                "A .weights.h5 file gives weights only, not what its net does to images first. "
                f"Received: {source} without a net. Give a model, or --config with --set=architecture.mean=R,G,B."
            )
        with parsing(source):
            like = Architecture(head="gap", num_classes=1) if headless else None
            config = Config(architecture=infer(weights, like))
    architecture = resolved(config.architecture, weights)
    converted = convert_or_suggest(weights, architecture, prefix="--set=architecture.")
    if (missing := random_layers(architecture, converted)) and not headless:
        classes = weights.num_classes(architecture)
        its_own = f"--set=architecture.num_classes={classes} takes its own; " if classes else ""
        raise UserError(
            "A net that is not trained any more has weights in every layer. "
            f"Received: {source}, without those of {', '.join(missing)}. {its_own}train --weights={source} trains them."
        )
    model = build(architecture, dtype=dtype)
    assign(model, converted, architecture, weights.path)
    print_assumption(source, weights)
    config = dataclasses.replace(config, architecture=architecture, stages=())
    return LoadedModel(model, config, class_names(weights, architecture.num_classes), Path(source), found)
