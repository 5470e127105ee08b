"""A configuration as plain JSON values: written, read and compared."""

import dataclasses
import json
import typing
from dataclasses import MISSING
from typing import Any

from vgg_keras.errors import UserError, nearest
from vgg_keras.field_types import section_of


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type, values: dict[str, Any], path: str = "") -> Any:
    """The dataclass `cls` from `to_dict`'s values; every field must be known, a missing one takes its default."""
    hints = typing.get_type_hints(cls)
    needed = [field.name for field in dataclasses.fields(cls) if field.default is field.default_factory is MISSING]
    if not isinstance(values, dict) or not set(needed) <= values.keys():
        what = f" with {', '.join(needed)}" if needed else ""
        raise UserError(f"{path.rstrip('.') or 'A configuration'} must be a section{what}. Received: {values!r:.100}")
    for key in values:
        if key not in hints:
            raise UserError(f"A configuration holds known fields only. Received: {path + key!r}. {nearest(key, hints)}")

    def made(key, value):
        kind, parts = hints[key], section_of(hints[key])
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return from_dict(kind, value, f"{path}{key}.")
        if parts and isinstance(value, list):
            return tuple(from_dict(parts, part, f"{path}{key}.{place}.") for place, part in enumerate(value))
        return value

    return cls(**{key: made(key, value) for key, value in values.items()})


def without(values: dict[str, Any], paths: typing.Iterable[str]) -> dict[str, Any]:
    """`to_dict`'s values without the fields of these paths; a section of which nothing remains is omitted."""
    kept: dict[str, Any] = {}
    dropped = set(paths)
    for name, value in values.items():
        if isinstance(value, dict) and name not in dropped:
            inside = {path.partition(".")[2] for path in dropped if path.startswith(f"{name}.")}
            if value := without(value, inside):
                kept[name] = value
        elif name not in dropped:
            kept[name] = value
    return kept


def difference(old: dict[str, Any], new: dict[str, Any], path: str = "") -> str | None:
    """The first field in which two `to_dict` values differ, as `field: old, now new`; None where they are equal."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            if found := difference(before, after, f"{path}{key}."):
                return found
        elif before != after:
            return f"{path}{key}: {before!r}, now {after!r}"
    return None
