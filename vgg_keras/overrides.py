"""Overrides of a configuration's fields: {path: value}, parsed once from a command line and applied all at once.

override(load("E"), {"training.learning_rate": 1e-3, "evaluation.scales": (256, 384)})
"""

import dataclasses
import difflib
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from vgg_keras import synonyms
from vgg_keras.config import Config, every_field, unmet_need, value_at
from vgg_keras.errors import UserError
from vgg_keras.field_types import parsed, section_of
from vgg_keras.plain_values import difference, from_dict, to_dict, without


def override(config: Config, overrides: Mapping[str, Any], may_change: Collection[str] | None = None) -> Config:
    """`config` with other values in some fields.

    All are set before one is checked, so that checks across fields see the final values and not the steps.

    Args:
        config: stays as it is.
        overrides: values by the paths of their fields, such as data.batch; stages.0.scale is the first stage's.
        may_change: the paths of the fields that may change in a trained net; None: all.

    Raises:
        UserError: no such field (the nearest is named), a value of another type or out of its range, or a change of a field
            that must not change.
    """
    values = to_dict(config)
    for path, value in overrides.items():
        _type_of(path)
        *sections, name = path.split(".")
        node = values
        for section in sections:
            if isinstance(node, Mapping):
                node = node[section]
            elif int(section) < len(node):
                node = node[int(section)]
            else:
                raise UserError(f"--set names a field of the configuration. Received: {path!r} of {len(node)} stages.")
        node[name] = value
    changed = from_dict(Config, values)
    if may_change is not None:
        fixed = (without(to_dict(either), may_change) for either in (config, changed))
        if found := difference(*fixed):
            listed = ", ".join(_sections(may_change))
            raise UserError(f"Here --set changes {listed}; the rest is fixed. Received: {found}.")
    return changed


def require_effect(
    configs: Sequence[Config],
    overrides: Mapping[str, Any],
    flags: Mapping[str, Any] | None = None,
    may_change: Collection[str] | None = None,
    undecided: Collection[str] = (),
) -> None:
    """Refuses an override without effect: it needs a setting that the command has in none of its configurations.

    A value that is 0, false or empty, which says that there is none of it, is right without the setting too: no decay, with Adam.

    Args:
        configs: with the overrides.
        overrides: their values by the paths of their fields.
        flags, undecided: as of `config.unmet_need`.
        may_change: the paths of the fields that the command may change; None: all.

    Raises:
        UserError: it is such an override.
    """
    configs[0].architecture.require_hidden_layers([path.rpartition(".")[2] for path in overrides])
    for path, value in overrides.items():
        unmet = [unmet_need(config, path, flags, undecided) for config in configs]
        if all(unmet) and value:
            needs = unmet[0]
            names = dict.fromkeys(one.partition("=")[0] for one in needs)
            found = [
                _as_given(name, flags[name] if flags and name in flags else value_at(configs[0], name))
                for name in names
            ]
            possible = may_change is None or any(name.startswith("--") or name in may_change for name in names)
            raise UserError(
                f"{path} belongs to {' or '.join(needs)}. Received: {path} with {', '.join(found)}. "
                + ("Set both, or leave it out." if possible else "Leave it out.")
            )


def _as_given(name: str, value: Any) -> str:
    """A setting with its value, as a message shows it; a flag that is not given as `no --flag`."""
    return f"no {name}" if name.startswith("--") and not value else f"{name}={value}"


def parse(path: str, text: str) -> Any:
    """A command line's text as the value of a field.

    Raises:
        UserError: no such field (the nearest is named), or text that is none of its values.
    """
    return parsed(text, _type_of(path), path)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """The values of `--set`, each as `field.path=text`; of two of one field the last one holds.

    Raises:
        UserError: as `parse`, or no assignment.
    """
    found = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set takes field.path=value. Received: {assignment!r}")
        found[path] = parse(path, text)
    return found


def fields_called(name: str) -> list[str]:
    """The paths of the fields that a name means: the last word of one, a whole path, or another package's name for it."""
    plain = synonyms.plain(name.rpartition(".")[2])
    found = [path for path in every_field() if path == name] or [
        path for path in every_field() if path.rpartition(".")[2] == plain
    ]
    return found or [path for path in (synonyms.FIELDS.get(plain),) if path]


def _sections(paths: Collection[str]) -> list[str]:
    """Paths of fields, those of a section of which all are there as one, such as `runtime.*`."""
    found: dict[str, None] = {}
    for path in paths:
        section = path.partition(".")[0]
        whole = section != path and all(field in paths for field in every_field() if field.startswith(f"{section}."))
        found[f"{section}.*" if whole else path] = None
    return list(found)


def choices(path: str) -> list[str]:
    """The texts that a field of a few takes."""
    return list(typing.get_args(_type_of(path)))


def _type_of(path: str) -> Any:
    """The type of the field of a path."""
    kind, names = Config, path.split(".")
    for depth, name in enumerate(names):
        if dataclasses.is_dataclass(kind):
            types = typing.get_type_hints(kind)
        elif section := section_of(kind):  # in a tuple of sections each goes by its place
            if not name.isdecimal():
                inside = names[depth:] if name in typing.get_type_hints(section) else names[depth + 1 :]
                meant = ".".join([*names[:depth], "N", *inside])
                raise UserError(
                    f"{'.'.join(names[:depth])} is a list, in which --set names each by its place N, from 0. "
                    f"Received: {path!r}. Did you mean {meant!r}?"
                )
            types = {name: section}
        else:
            types = {}
        if name not in types:
            raise _unknown(path, depth, list(types))
        kind = types[name]
    if dataclasses.is_dataclass(kind):
        inside = ", ".join(f"{path}.{name}" for name in typing.get_type_hints(kind))
        raise UserError(f"--set names a field, not a section. Received: {path!r}. Inside it: {inside}.")
    return kind


def _unknown(path: str, depth: int, known: list[str]) -> UserError:
    """The error of a path whose name at this depth is none of those that are `known` there; the field that was meant is named."""
    names = path.split(".")
    prefix = ".".join(names[:depth]) + "." if depth else ""
    # the same name in another section, or one of another package; then one like it in this section, then in all
    meant = sorted(fields_called(names[-1]), key=lambda field: not field.startswith(prefix))
    if not meant and depth:
        meant = [prefix + name for name in difflib.get_close_matches(names[depth], known, n=1)]
    if not meant and not (known and depth):
        by_last_word = {field.rpartition(".")[2]: field for field in every_field()}
        meant = [by_last_word[word] for word in difflib.get_close_matches(path, by_last_word, n=1)]
    meant = meant or difflib.get_close_matches(path, every_field(), n=1)
    inside = [prefix + name for name in known] or every_field()
    hint = f"Did you mean {meant[0]!r}?" if meant else f"Known: {', '.join(inside)}."
    return UserError(f"--set names a field of the configuration. Received: {path!r}. {hint}")
