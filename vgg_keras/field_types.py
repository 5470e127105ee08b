"""The types of a configuration's fields: a value is checked against one, and a command line's text is parsed as one."""

import contextlib
import dataclasses
import math
import numbers
import os
import types
import typing
from typing import Any, Literal

from vgg_keras.errors import UserError


def checked(value: Any, kind: Any, path: str) -> Any:
    """A value as a field's type.

    Args:
        value: from Python or from JSON, whose lists become tuples.
        kind: the field's type.
        path: the field's, for the message.

    Raises:
        UserError: it has another type.
    """
    if typing.get_origin(kind) is Literal and isinstance(value, str) and value in typing.get_args(kind):
        return value
    if isinstance(kind, types.UnionType):  # of plain types: the first that takes it
        for part in typing.get_args(kind):
            with contextlib.suppress(UserError):
                return checked(value, part, path)
    if typing.get_origin(kind) is tuple and isinstance(value, str) and str in typing.get_args(typing.get_args(kind)[0]):
        value = (value,)  # a word, such as `balanced`, where a list may hold numbers instead
    if typing.get_origin(kind) is tuple and hasattr(value, "tolist"):  # an array, such as a mean over images
        value = value.tolist()
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(checked(item, typing.get_args(kind)[0], path) for item in value)
    if kind == tuple[int, ...] and isinstance(value, numbers.Integral):  # 256 is 256, as on a command line
        return (checked(value, int, path),)
    if dataclasses.is_dataclass(kind) and isinstance(value, kind):
        return value
    # NumPy's numbers are numbers too; true and false are none
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if kind in (bool, str) and type(value) is kind:
        return value
    if kind is str and isinstance(value, os.PathLike):  # from Python, where a path is not always text
        return os.fspath(value)
    raise UserError(f"{path} must be {_type_name(kind)}. Received: {value!r}")


def parsed(text: str, kind: Any, path: str) -> Any:
    """A command line's text as a field's type; arguments and errors are those of `checked`."""
    if section := section_of(kind):
        if text:
            hint = f"Set a field of one, as in {path}.0.{dataclasses.fields(section)[0].name}=..."
            raise UserError(f"{path} is a list of sections, and can be set to none. Received: {text!r}. {hint}")
        return ()
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float):
            return kind(text)
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            return tuple(_item(part.strip(), item) for part in text.split(",") if part.strip())
    except (ValueError, KeyError):
        raise UserError(f"{path} must be {_type_name(kind)}. Received: {text!r}") from None
    return checked(text, kind, path)


def _item(text: str, kind: Any) -> Any:
    """A part of a command line's text as a plain type, or as the first of a union's types that it is one of."""
    for part in typing.get_args(kind):
        with contextlib.suppress(ValueError):
            return part(text)
    return kind(text)


def section_of(kind: Any) -> type | None:
    """The dataclass of a tuple's items; None where they are plain values."""
    item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
    return item if dataclasses.is_dataclass(item) else None


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        if isinstance(item, types.UnionType):
            return f"{_type_name(item)}, or several with commas between them"
        return f"{item.__name__} values with commas between them"
    if isinstance(kind, types.UnionType):
        return " or ".join(map(_type_name, typing.get_args(kind)))
    if dataclasses.is_dataclass(kind):
        return f"a {kind.__name__}"
    return {bool: "true or false", int: "an integer", float: "a finite number", str: "text"}[kind]
