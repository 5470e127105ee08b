"""What to write instead of a flag that a command does not have: another flag, or a field of the configuration."""

import itertools
from collections.abc import Sequence

from absl import flags

from vgg_keras import synonyms
from vgg_keras.errors import UserError
from vgg_keras.overrides import fields_called, parse


def unknown_flag(error: flags.UnrecognizedFlagError, known: flags.FlagValues, arguments: Sequence[str]) -> str:
    """The message for an unknown flag.

    Args:
        error: absl's.
        known: the command's flags.
        arguments: the command line, which may hold the value that the field would take.
    """
    name = error.flagname
    unknown = f"Unknown command line flag {name!r}."
    ours = [flag for flag in synonyms.flags_of(name) if flag in known]
    if ours:
        return f"{unknown} Did you mean --{ours[0]}?"
    fields = fields_called(name) if "set" in known else []
    if not fields:
        return str(error)
    value = _value_of(name, arguments)
    what = f"{' and '.join(fields)} {'are fields' if len(fields) > 1 else 'is a field'}"
    return f"{unknown} {what}: {' or '.join(_assignment(field, value) for field in fields)}"


def _value_of(name: str, arguments: Sequence[str]) -> str:
    """The text behind a flag, as --name=text or --name text; empty where it has none."""
    for word, after in itertools.pairwise([*arguments, ""]):
        if word.lstrip("-").partition("=")[0] == name:
            return word.partition("=")[2] or ("" if after.startswith("-") else after)
    return ""


def _assignment(field: str, value: str) -> str:
    try:
        parse(field, value)
    except UserError:  # under another name values are often written in another way
        value = ""
    return f"--set={field}={value or '...'}"
