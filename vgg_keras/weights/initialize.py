"""The first weights of a training: random ones, another run's by 3.1's rule, or those of any source, to be fine-tuned.

`require_start` refuses a wrong start before any framework starts; `inspect` finds all that is wrong with its weights before
anything is written; `initialize` copies them into a new net. Both rules copy layers by their names, through `convert.py`:

    training.init_from   3.1: the layers FROM_A of net A, or all of the same configuration; the data's classes are the run's
    training.weights     fine-tuning: all that the source holds; the last layer is random where its classes are others, and
                         the whole head where it is of the other kind
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_keras.config import MATCH, Architecture, Config, fields_with, unused_fields
from vgg_keras.errors import UserError
from vgg_keras.paths import user_path
from vgg_keras.runs import require_unchanged, run_config, weights_digest
from vgg_keras.weights.classes import difference_of_classes
from vgg_keras.weights.verify import IMAGENET, digest_of, require_source

# "the first four convolutional layers and the last three fully-connected layers" of net A. By position the shapes would
# clash (A's second convolution is 64->128, E's 64->64), so A's first four go to the layers of the same block and place.
FROM_A = ("block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions")


@dataclass(frozen=True)
class Start:
    """A start that has been inspected.

    Attributes:
        digest: of its weights; None: random ones.
        mean: that the net's first layer must subtract, of each channel; empty: the training set's.
        classes: that the data must have, since 3.1 copies the last layer too; empty: any.
        layers: that it has weights for.
    """

    digest: str | None = None
    mean: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Initialized:
    """A net's layers with weights, by name: those copied from the start, and those that are random."""

    copied: tuple[str, ...]
    random: tuple[str, ...]


# ---- before any framework starts


def require_start(config: Config, verified: bool = False) -> None:
    """Refuses a start that does not exist, or a run that 3.1's rule does not allow.

    Args:
        config: the run's.
        verified: that the files of the run in `training.init_from` have been compared with their digests already.

    Raises:
        UserError: it is such a start.
    """
    if config.training.weights:
        require_source(config.training.weights)
    elif config.training.init_from:
        start = user_path(config.training.init_from)
        weights_digest(start)  # that the run has weights
        if not verified:
            require_unchanged(start)
        require_family(run_config(start).architecture, config.architecture, start)


def require_family(theirs: Architecture, ours: Architecture, start: Path | str) -> None:
    """Refuses a net that is neither A nor of the same configuration, or that differs in a field that both must share.

    Raises:
        UserError: it is such a net.
    """
    if theirs.name not in (ours.name, "A") or (theirs.name == "A" and ours.name == "B-5x5"):
        raise UserError(
            f"A net starts from net A or from its own configuration (3.1). Received: {start}, a {theirs.name}, "
            f"for {ours.name}. --weights=SOURCE fine-tunes any net, in its own configuration."
        )
    names = fields_with(MATCH, Architecture)
    unused = unused_fields(Config(architecture=theirs)) & unused_fields(Config(architecture=ours))
    for name in (name for name in names if f"architecture.{name}" not in unused):
        old, new = getattr(theirs, name), getattr(ours, name)
        if old != new:
            raise UserError(
                f"A net starts from one of the same {', '.join(names)}. Received: {start}, whose {name} is {old}, not {new}."
            )


def digest(config: Config) -> str | None:
    """What identifies a start, wherever it is stored: the sha256 of its weights; None for random ones.

    Raises:
        UserError: it does not exist, or has another sha256 than `training.weights_sha256`.
    """
    training = config.training
    if training.weights:
        return digest_of(training.weights, config.architecture.name, training.weights_sha256)
    return weights_digest(user_path(training.init_from)) if training.init_from else None


def describe(source: str, digest: str | None) -> str:
    """A start for a person: its source and its digest.

    Args:
        source: `Training.start`; empty: not known.
        digest: of its weights; None: random ones.
    """
    if digest is None:
        return "random weights"
    kind = "" if " " in digest else "sha256 "  # that of `imagenet` begins with its kind
    return f"{source} ({kind}{digest})" if source else digest


# ---- with the weights


def inspect(config: Config) -> Start:
    """All that can be wrong with a start and the net it is for, found without a net and before anything is written.

    Raises:
        UserError: the start does not exist, is damaged, has another sha256 or other shapes, or is not finite.
    """
    training = config.training
    if not training.start:
        return Start()
    from vgg_keras.weights.convert import adaptation
    from vgg_keras.weights.inference import convert_or_suggest, resolved
    from vgg_keras.weights.read import print_assumption

    require_start(config, verified=True)  # reading verifies a run's files
    whole, sha256 = _read(config, training.weights_sha256)
    source = _without_other_head(whole, config.architecture)
    if training.init_from:
        architecture = config.architecture.resolved(len(source.classes), ())
        copied = convert_or_suggest(source, architecture, _layers_to_copy(config))
        return Start(sha256, classes=source.classes, layers=tuple(copied))
    architecture = resolved(config.architecture, source)
    if source is not whole:
        print(
            f"{training.weights}: its head is left out, since architecture.{_difference(whole, architecture)}",
            flush=True,
        )
    if source.head_problem:
        print(f"{training.weights}: its head is left out: {source.head_problem}", flush=True)
    copied = convert_or_suggest(source, architecture, prefix="--set=architecture.")
    print_assumption(training.weights, source, architecture)
    if adapted := adaptation(source, architecture):
        print(f"{training.weights}: {adapted}", flush=True)
    # imagenet's file is identified by the digest that is known without it
    return Start(digest(config) if training.weights == IMAGENET else sha256, architecture.mean, layers=tuple(copied))


def require_classes(start: Start, config: Config, classes: Sequence[str]) -> None:
    """Refuses data of other classes than those of the run that a net starts from by 3.1's rule.

    Args:
        start: of `inspect`.
        config: the run's.
        classes: of its data, in label order.

    Raises:
        UserError: another number of classes, another name, or another order.
    """
    if start.classes and (found := difference_of_classes(start.classes, len(start.classes), classes)):
        source = config.training.init_from
        raise UserError(
            f"A net starts from one of the same classes (3.1). Received: {source} for {config.data.source}{found} "
            f"--weights={source} fine-tunes it for others."
        )


def initialize(
    model: Any, config: Config, classes: Sequence[str], digest: str, given: Config | None = None
) -> Initialized:
    """Copies the weights that a run starts from into its new net.

    Args:
        model: of `vgg_keras.build`, its weights random.
        config: the run's, resolved.
        classes: of its data, in label order.
        digest: that `inspect` found: what was inspected is what is copied.
        given: the configuration that was inspected, whose mean is the one that the user states; None: `config`.

    Returns:
        The layers that took the start's weights, and those that are random.

    Raises:
        UserError: the start does not exist, has changed or does not fit; the model is then as it was.
    """
    from vgg_keras.weights.inference import class_names, convert_or_suggest

    # the digest of imagenet's file is not a sha256, and its download was verified by it
    source, sha256 = _read(given or config, None if config.training.weights == IMAGENET else digest)
    source = _without_other_head(source, config.architecture)
    converted = convert_or_suggest(source, config.architecture, _layers_to_copy(config))
    theirs = class_names(source, config.architecture.num_classes)
    if config.training.init_from:
        require_classes(Start(sha256, classes=source.classes), config, classes)
    elif theirs and config.architecture.boxes != "scr" and difference_of_classes(theirs, len(theirs), classes):
        converted.pop("predictions", None)  # one box for all classes is of none of them
    return assign(model, converted, config.architecture, source.path)


def assign(model: Any, converted: Mapping[str, Sequence[Any]], architecture: Architecture, path: str) -> Initialized:
    """Sets a model's weights to the arrays of `convert`; all shapes are compared before any is set.

    Raises:
        UserError: a shape differs; the model is then as it was. `path` is the source's.
    """
    from vgg_keras.weights.convert import random_layers

    for name, arrays in converted.items():
        ours, theirs = [[tuple(array.shape) for array in of] for of in (model.get_layer(name).weights, arrays)]
        if ours != theirs:
            raise UserError(f"Shapes must be the net's. Received: {path}, whose {name} has {theirs}, not {ours}.")
    for name, arrays in converted.items():
        model.get_layer(name).set_weights(arrays)
    return Initialized(tuple(converted), random_layers(architecture, converted))


def _read(config: Config, sha256: str | None):
    """The weights of a start, and their sha256."""
    from vgg_keras.weights.inference import with_stated
    from vgg_keras.weights.read import read

    training = config.training
    source, found = read(training.start, config.architecture.name, sha256)
    if training.init_from:  # 3.1: the net keeps the mean of its own training set
        return dataclasses.replace(source, preprocessing=None), found
    return with_stated(source, config.architecture.mean, config.architecture.std), found


def _without_other_head(source: Any, architecture: Architecture) -> Any:
    """The convolutions alone of a source whose head is of another kind, or with hidden FC layers where the net has none."""
    from vgg_keras.weights.inference import head_of

    if not source.fc_layers:
        return source
    other = head_of(source, architecture) != architecture.head or bool(source.hidden_units()) != bool(
        architecture.hidden_units
    )
    return source.without_head() if other else source


def _difference(source: Any, architecture: Architecture) -> str:
    """The field in which a net's head is another than its start's, with its value."""
    from vgg_keras.weights.inference import head_of

    if head_of(source, architecture) != architecture.head:
        return f"head is {architecture.head}"
    units = ",".join(map(str, source.hidden_units())) or "none"
    return f"fc_layers is {len(architecture.hidden_units)}, and the hidden FC layers of the file have {units} units"


def _layers_to_copy(config: Config) -> Collection[str] | None:
    """3.1's layers where a net starts from net A; None: all."""
    if not config.training.init_from:
        return None
    theirs = run_config(user_path(config.training.init_from)).architecture
    return FROM_A if theirs.name != config.architecture.name else None
