"""The net that a command line asks, and the configuration that it is asked with: a run's, a file's own, or a named one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vgg_keras.config import Config, load, override, require_fields
from vgg_keras.runs import run_config


def resolve(
    model: str | None, weights: str | None, named: str | None, wishes: Sequence[str], sha256: str | None
) -> tuple[Config, Callable]:
    """What `--model` or `--weights` stand for, as far as it is known without a framework, and what opens it.

    Args:
        model, weights, sha256: the flags; one of the first two is given.
        named: of `--config`.
        wishes: assignments of `--set`.

    Returns:
        The run's or the named configuration with the wishes, or the default one with those of the runtime where the file is
        still to tell which net it holds; and a function of a Keras dtype policy that returns the net, a `LoadedModel`, and the
        configuration to ask it with.

    Raises:
        UserError: no such run or configuration, or a wish that it does not allow.
    """
    if model:
        config = override(run_config(Path(model)), wishes)
    elif named:
        config = override(load(named), wishes)
    else:
        require_fields(wishes)
        config = override(Config(), [wish for wish in wishes if wish.startswith("runtime.")])

    def open_net(dtype: str):
        from vgg_keras.weights.load import load_net

        net = load_net(model or weights, config if named else None, dtype, sha256)
        if model:
            return net, config
        return net, net.config if named else override(net.config, wishes)

    return config, open_net
