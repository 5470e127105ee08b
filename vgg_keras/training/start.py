"""What a run's net starts from: random weights, another run's by 3.1's rule, or the weights of anyone, to be fine-tuned.

A start is told by a digest, which a resumed run must name again, and looked into before anything is written. No framework
is needed until then.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vgg_keras.config import MATCH, Architecture, Config, Training, fields_with
from vgg_keras.errors import UserError
from vgg_keras.paths import user_path
from vgg_keras.plain_values import from_dict
from vgg_keras.runs import read_config, require_whole, weights_digest
from vgg_keras.weights.sources import IMAGENET, digest_of, require_source

# The authors' convolutions of D under FC layers of random weights (Glorot), flowers at crop 64, momentum 0.9: at 1e-2 the loss
# is not a number at step 4, at 1e-3 it is 1e16 at step 10; at 1e-4 it falls from 20 to 3 in six steps.
HIGH_RATE, SAFE_RATE = 1e-3, 1e-4
DECAY_SHARE = Training.weight_decay / Training.learning_rate  # SGDW's decay at any rate, for the share of 3.1's


@dataclass(frozen=True)
class Start:
    """A start that has been looked into.

    Attributes:
        digest: of its weights; None: random ones.
        mean: that the net's first layer must subtract, R, G, B; empty: the training set's.
    """

    digest: str | None
    mean: tuple[float, ...]


def require_alike(start: Path, ours: Architecture, inspected: bool = False) -> None:
    """Refuses a run that 3.1's net cannot start from: none, not a whole one, or of another family.

    Args:
        start: the run's folder.
        ours: the net that would start from it.
        inspected: that its files have been compared with their digests already.

    Raises:
        UserError: it is such a run.
    """
    weights_digest(start)  # that there is a net
    if not inspected:
        require_whole(start)
    require_family(from_dict(Config, read_config(start)["config"]).architecture, ours, start)


def require_family(theirs: Architecture, ours: Architecture, start: Path | str) -> None:
    """Refuses a net that is neither A nor of the same configuration, or that differs in what both must have alike.

    Raises:
        UserError: it is such a net.
    """
    if theirs.name not in (ours.name, "A") or (theirs.name == "A" and ours.name == "B-5x5"):
        raise UserError(
            f"A net starts from net A or from its own configuration (3.1). Received: {start}, a {theirs.name}, "
            f"for {ours.name}. --weights=SOURCE fine-tunes any net, in its own configuration."
        )
    names = fields_with(MATCH, Architecture)  # beside the shapes, which are compared when weights are copied
    for name in names:
        old, new = getattr(theirs, name), getattr(ours, name)
        if old != new:
            raise UserError(
                f"A net starts from one of the same {', '.join(names)}. Received: {start}, whose {name} is {old}, not {new}."
            )


def require_classes_of_start(config: Config, classes: Sequence[str]) -> None:
    """Refuses `training.init_from` of other classes than the data's: 3.1 takes the last layer too.

    A stage of a chain that is still to be made will have the data's.

    Args:
        config: the run's.
        classes: of its data, in label order.

    Raises:
        UserError: another number of classes, another name, or another order.
    """
    from vgg_keras.weights.classes import difference_of_classes

    start = config.training.init_from
    if start and (stored := read_config(user_path(start))):
        theirs = stored["classes"]
        if found := difference_of_classes(theirs, len(theirs), classes):
            raise UserError(
                f"A net starts from one of the same classes (3.1). Received: {start} for {config.data.source}{found} "
                f"--weights={start} fine-tunes it for others."
            )


def require_there(config: Config) -> None:
    """Refuses `training.weights` that is no source, before any framework starts.

    Raises:
        UserError: it is none.
    """
    if config.training.weights:
        require_source(config.training.weights)


def digest(config: Config) -> str | None:
    """What tells a start, wherever it lies: sha256 of the weights; None for random ones.

    Raises:
        UserError: it is not there, or has another sha256 than `training.weights_sha256`.
    """
    training = config.training
    if training.weights:
        return digest_of(training.weights, config.architecture.name, training.weights_sha256)
    return weights_digest(user_path(training.init_from)) if training.init_from else None


def described(source: str, digest: str | None) -> str:
    """A start for a person: its source and its digest.

    Args:
        source: `Training.start`; empty: not known.
        digest: of its weights; None: random ones.
    """
    if digest is None:
        return "random weights"
    kind = "" if " " in digest else "sha256 "  # of `imagenet` the digest says its kind itself
    return f"{source} ({kind}{digest})" if source else digest


def warning(config: Config) -> str | None:
    """What is printed before a training from trained weights at a rate that was made for random ones.

    Returns:
        A line; None where the rate is lower, or the start is another.
    """
    training, fc = config.training, config.architecture.head == "fc"
    adam = training.optimizer == "adam"
    high = HIGH_RATE if fc and not adam else Training.learning_rate
    calm = (config.architecture.batch_norm and not adam) or training.learning_rate < high
    if not training.weights or calm:
        return None
    reason = "the paper's rate is made for random weights and may spoil trained ones"
    advice = f"--set=training.learning_rate={SAFE_RATE:g} --set=training.weight_decay={SAFE_RATE * DECAY_SHARE:g}"
    if adam:
        reason = "Adam takes steps as large as its rate, which is made for SGD and spoils trained weights"
        advice = f"--set=training.learning_rate={SAFE_RATE:g}, or less"
    elif fc:
        reason = "without batch norm, random FC layers behind trained convolutions make the loss rise without end at "
        reason += f"{high:g} and above"
    return f"warning: training.learning_rate={training.learning_rate:g} with --weights: {reason}. Try {advice}"


def look(config: Config) -> Start:
    """Looks into a start: all that can be wrong with it and the net it is for is found here.

    Raises:
        UserError: it is not there, damaged, of another sha256, of another shape, or not finite.
    """
    training = config.training
    if not training.weights:
        return Start(digest(config), ())
    from vgg_keras.weights.load import look as look_into

    settled, sha256 = look_into(training.weights, config.architecture, training.weights_sha256)
    # of imagenet's file that digest is written which is known without it
    return Start(digest(config) if training.weights == IMAGENET else sha256, settled.mean)


def fill(model, config: Config, classes: Sequence[str], digest: str):
    """Copies the weights that a run starts from into its new net.

    Args:
        model: of `vgg_keras.build`, its weights random.
        config: the run's, resolved.
        classes: of its data, in label order.
        digest: that `look` found, which `training.weights` must still have: what was looked into is what is copied.

    Returns:
        A `Transfer`: which layers took weights, and which kept their random ones.

    Raises:
        UserError: the start is not there, has changed or does not fit; the model is as it was then.
    """
    from vgg_keras.weights.formats.run_folder import load_run
    from vgg_keras.weights.load import fill as fill_from
    from vgg_keras.weights.transfer import transfer

    training = config.training
    if training.weights:
        # of imagenet's file Keras compares the digest that is known of it, which is none of sha256
        return fill_from(model, training.weights, classes, None if training.weights == IMAGENET else digest)
    return transfer(load_run(training.init_from, dtype="float32"), model, config)


def check_fill(config: Config, classes: Sequence[str], digest: str) -> None:
    """Refuses a start that `fill` would refuse, without a run: into a net that is not kept.

    Args:
        config: as asked for.
        classes, digest: as in `fill`.

    Raises:
        UserError: as in `fill`.
    """
    from vgg_keras.nets.builder import build

    architecture = dataclasses.replace(config.architecture, num_classes=len(classes))
    config = dataclasses.replace(config, architecture=architecture)
    fill(build(architecture, dtype="float32", seed=0), config, classes, digest)
