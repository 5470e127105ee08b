"""A value as a field's type: from Python, from JSON, and from a command line's text."""

import pathlib
from typing import Literal

import numpy as np
import pytest

from vgg_keras.config import Data, Stage
from vgg_keras.errors import UserError
from vgg_keras.field_types import checked, parsed

CASES = [
    ("3", int, 3),
    ("1e-3", float, 1e-3),
    ("true", bool, True),
    ("FALSE", bool, False),
    ("gap", Literal["fc", "gap"], "gap"),
    ("256, 512", tuple[int, ...], (256, 512)),
    ("", tuple[float, ...], ()),
    ("a=b", str, "a=b"),
    ("", tuple[Stage, ...], ()),
]


@pytest.mark.parametrize(("text", "kind", "value"), CASES)
def test_text_becomes_a_value_of_the_type(text, kind, value):
    found = parsed(text, kind, "path")
    assert found == value and type(found) is type(value)
    assert checked(found, kind, "path") == value  # and stays one


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (np.int64(3), int, 3),
        (2, float, 2.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        (pathlib.Path("runs/E"), str, "runs/E"),
        (Data(), Data, Data()),
        ("balanced", tuple[float | str, ...], ("balanced",)),
        ([1, 2.5], tuple[float | str, ...], (1.0, 2.5)),
    ],
)
def test_values_that_are_nearly_of_the_type_become_it(value, kind, expected):
    found = checked(value, kind, "path")
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, int, "path must be an integer. Received: True"),
        (True, float, "path must be a finite number. Received: True"),
        (1.0, int, "path must be an integer. Received: 1.0"),
        (float("nan"), float, "path must be a finite number. Received: nan"),
        (1, bool, "path must be true or false. Received: 1"),
        ("mlp", Literal["fc", "gap"], "path must be one of fc, gap. Received: 'mlp'"),
        ((1, "a"), tuple[int, ...], "path must be an integer. Received: 'a'"),
        (3, Data, "path must be a Data. Received: 3"),
        ("1", tuple[float, ...], "path must be float values with commas between them. Received: '1'"),
        ((True, 2.0), tuple[float | str, ...], "path must be a finite number or text. Received: True"),
        ((float("nan"), 1.0), tuple[float | str, ...], "path must be a finite number or text. Received: nan"),
        (
            3,
            tuple[float | str, ...],
            "path must be a finite number or text, or several with commas between them. Received: 3",
        ),
    ],
)
def test_values_of_another_type_are_refused(value, kind, message):
    with pytest.raises(UserError) as caught:
        checked(value, kind, "path")
    assert str(caught.value) == message


def test_a_list_of_sections_is_set_field_by_field():
    with pytest.raises(
        UserError, match=r"can be set to none\. Received: 'A'\. Set a field of one, as in stages\.0\.name="
    ):
        parsed("A", tuple[Stage, ...], "stages")
