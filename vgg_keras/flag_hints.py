"""What to write instead of a flag or a value that a command does not take: another flag, a field, another value."""

import itertools
from collections.abc import Sequence

from absl import flags

from vgg_keras import synonyms
from vgg_keras.errors import UserError, nearest
from vgg_keras.overrides import fields_called, parse


def unknown_flag(
    error: flags.UnrecognizedFlagError, known: flags.FlagValues, arguments: Sequence[str], inner: str = ""
) -> str:
    """The message for an unknown flag.

    Args:
        error: absl's.
        known: the command's flags.
        arguments: the command line, which may hold the value that the field would take.
        inner: the command that this one starts, whose flags stand behind its name.
    """
    name = error.flagname
    unknown = f"Unknown command line flag {name!r}."
    ours = [flag for flag in synonyms.flags_of(name) if flag in known]
    if ours:
        return f"{unknown} Did you mean --{ours[0]}?"
    fields = fields_called(name) if "set" in known else []
    if not fields:
        # absl names the command's flags that are like it
        said = str(error) if "Did you mean" in str(error) else unknown
        return f"{said} Flags of {inner} stand behind the word {inner}." if inner else f"{said} See --help."
    value = _value_of(name, arguments)
    what = f"{' and '.join(fields)} {'are fields' if len(fields) > 1 else 'is a field'}"
    return f"{unknown} {what}: {' or '.join(_assignment(field, value) for field in fields)}"


def refused_value(error: flags.IllegalFlagValueError, known: flags.FlagValues) -> str:
    """The message for a value that a flag does not take; absl's holds Python's words for it.

    Args:
        error: absl's, raised while it handled the parser's.
        known: the command's flags.
    """
    name, _, rest = str(error).removeprefix("flag --").partition("=")
    value, parser = rest.removesuffix(f": {error.__context__}"), known[name].parser
    if choices := getattr(parser, "enum_values", None):
        hint = nearest(value, choices)
        more = f" {hint}" if hint.startswith("Did") else ""  # else it is the list once more
        return f"--{name} takes {', '.join(choices[:-1])} or {choices[-1]}. Received: {value!r}.{more}"
    return f"--{name} takes {parser.syntactic_help or 'true or false'}. Received: {value!r}."


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
