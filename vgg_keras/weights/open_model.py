"""A net by whatever name it goes: `--model` or `--weights` on a command line; in Python a path, a model or a loaded net.

No framework starts before the net itself is opened, so that a wrong flag is refused at once.
"""

import dataclasses
import os
import types
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vgg_keras.config import READING, Config, every_field, fields_with, label_of_test_scales
from vgg_keras.errors import UserError, described
from vgg_keras.files import hash_ahead
from vgg_keras.overrides import override, require_effect
from vgg_keras.paths import user_path
from vgg_keras.recipes import load
from vgg_keras.runs import WEIGHTS, run_config

_EARLY = fields_with(READING)  # which images are read: needs no net
# what the configuration of given weights states of their net, and of its images
_OF_A_NET = (*(path for path in every_field() if path.startswith("architecture.")), "data.scale", *_EARLY)


def resolve(
    model: str | None,
    weights: str | None,
    named: str | None,
    overrides: Mapping[str, Any],
    sha256: str | None = None,
    may_change: Collection[str] | None = None,
    convolutions: bool = False,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Config, Callable]:
    """What `--model` or `--weights` names: its configuration before a framework starts, and a function that opens the net.

    Args:
        model, weights, sha256: the flags; one of the first two is given.
        named: of `--config`, which belongs to `weights`: the net that takes them. None: the file's own net.
        overrides: values by the paths of their fields.
        may_change: the paths of the fields that overrides may change in the configuration of a run's or a file's net; None:
            any. Of a configuration named by `--config` also what it states of the net and its images.
        convolutions: as in `load_net`.
        flags: as of `require_effect`.

    Returns:
        The configuration with the overrides. A file's net is not known yet: then the default one with those of the runtime and
        of the images' source.
        And a function of a Keras dtype policy, which returns the net, a `LoadedModel`, and the configuration to run it with.

    Raises:
        UserError: no such run or configuration, or an override that it does not take, or that has no effect.
    """

    def overridden(config: Config, allowed: Collection[str] | None = may_change) -> Config:
        config = override(config, overrides, allowed)
        require_effect([_as_tested(config, may_change)], overrides, flags, allowed)
        if not named and "data.scale" in overrides:
            _require_q_of_scale(config, flags or {})
        return config

    if model:
        config = overridden(run_config(Path(model)))
    elif named:
        of_net = dataclasses.replace(load(named), stages=())  # no stage is trained
        config = overridden(of_net, None if may_change is None else (*may_change, *_OF_A_NET))
    else:
        config = _before_the_net(overrides)
        # what a flag decides; the rest waits for the net
        require_effect([config], overrides, flags, may_change, undecided=every_field())

    stated = {} if model or named else _what_a_file_may_lack(overrides)

    def open_net(dtype: str):
        from vgg_keras.weights.load import load_net

        net = load_net(model or weights, config if named else None, dtype, sha256, convolutions, stated)
        if model:
            return net, config
        return net, net.config if named else overridden(net.config)

    hash_ahead(Path(model) / WEIGHTS if model else user_path(weights))
    return config, open_net


def _before_the_net(overrides: Mapping[str, Any]) -> Config:
    """The default configuration with the overrides of the runtime and of the images' source."""
    return override(
        Config(), {path: overrides[path] for path in overrides if path in _EARLY or path.startswith("runtime.")}
    )


def _what_a_file_may_lack(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What overrides state of a file's own net, by the fields of its architecture."""
    section = "architecture."
    return {path.removeprefix(section): value for path, value in overrides.items() if path.startswith(section)}


def _require_q_of_scale(config: Config, flags: Mapping[str, Any]) -> None:
    """Refuses another S for a trained net where no Q follows from it; crops of an export are always at S."""
    if config.evaluation.scales and flags.get("--format", "saved_model") == "saved_model":
        q = label_of_test_scales(config.evaluation.scales)
        raise UserError(
            "Of a trained net data.scale is Q only where evaluation.scales is empty. "
            f"Received: data.scale with evaluation.scales={q}. Leave data.scale out: evaluation.scales sets Q."
        )


def _as_tested(config: Config, may_change: Collection[str] | None) -> Config:
    """The configuration with the protocol that a command runs: the dense one where it has none to choose."""
    if may_change is None or "evaluation.protocol" in may_change:
        return config
    return override(config, {"evaluation.protocol": "dense"})


def open_model(net: Any, dtype: str | None = None, convolutions: bool = False):
    """The net of a function's first argument.

    Args:
        net: a run's folder or another source of `vgg_keras.load_net`, what that returns, or a model of `vgg_keras.build`.
        dtype: Keras dtype policy of a net that is loaded; None: the global policy.
        convolutions: as in `load_net`.

    Returns:
        A `LoadedModel`, whose model ends in logits. A model of `vgg_keras.build` has no names of classes, and the paper's
        test scale: Q=256 for a crop of 224, and in this relation for others.

    Raises:
        UserError: it is none of these.
    """
    import keras

    from vgg_keras.nets.model import architecture_of
    from vgg_keras.weights.formats.run_folder import LoadedModel
    from vgg_keras.weights.load import load_net

    if isinstance(net, LoadedModel):
        return net
    if isinstance(net, str | os.PathLike):
        return load_net(net, dtype=dtype, convolutions=convolutions)
    if not isinstance(net, keras.Model):
        raise UserError(
            "A net is a run's folder, another source of load_net, what that returns, or a model of vgg_keras.build. "
            f"Received: {described(net)}."
        )
    architecture = architecture_of(net)
    return LoadedModel(_ending_in_logits(net), Config(architecture=architecture), (), Path(net.name), "")


def _ending_in_logits(model):
    """A model without the soft-max of `vgg_keras.build`, made once: a notebook runs a net picture by picture."""
    from vgg_keras.nets.model import VGG

    if model.layers[-1].name == "predictions":
        return model
    # in an object of no kind that Keras would track or save with the model
    made = vars(model).setdefault("_vgg_keras_logits", types.SimpleNamespace(model=None))
    if made.model is None:
        logits = model.get_layer("predictions").output
        made.model = VGG(model.input, logits, name=model.name, architecture=model.architecture)
    return made.model
