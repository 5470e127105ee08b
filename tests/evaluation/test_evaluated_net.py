"""Which evaluations are one, and a net's way through JSON."""

import dataclasses
import json

import pytest

from tests.conftest import NET
from vgg_keras.config import Architecture
from vgg_keras.errors import UserError
from vgg_keras.evaluation.evaluated_net import EvaluatedNet, first_difference, from_json, made_as
from vgg_keras.plain_values import to_dict

FIELDS = [field.name for field in dataclasses.fields(EvaluatedNet)]
SAYS_NOTHING_OF_THE_RESULT = {"model", "data", "bad_images", "versions", "git_commit"}


def other(field):
    """The same net with another value of a field."""
    value = getattr(NET, field)
    if field == "architecture":
        return dataclasses.replace(NET, architecture=Architecture("D"))
    if isinstance(value, tuple):
        return dataclasses.replace(NET, **{field: (*value, "other")})
    return dataclasses.replace(NET, **{field: "other"})


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_changes_the_result_is_a_difference(field):
    found = first_difference(NET, other(field))
    if field in SAYS_NOTHING_OF_THE_RESULT:
        assert found is None
    else:
        assert found.startswith(f"{field}.name: 'E', now 'D'" if field == "architecture" else f"{field}: ")
    assert first_difference(NET, other(field), (field,)) is None


def test_a_net_comes_back_from_json_and_a_description_of_other_fields_does_not():
    net = dataclasses.replace(NET, bad_images=("a.jpg: empty",), versions={"keras": "3"}, grid=5)
    values = json.loads(json.dumps(to_dict(net)))
    assert from_json(EvaluatedNet, values) == net
    with pytest.raises(ValueError, match="nets that are not described"):
        from_json(EvaluatedNet, {key: value for key, value in values.items() if key != "flip"})
    with pytest.raises(ValueError, match="nets that are not described"):
        from_json(EvaluatedNet, {**values, "colour": 1})
    with pytest.raises(UserError, match="known fields only"):
        from_json(EvaluatedNet, {**values, "architecture": {"colour": 1}})


def test_what_made_a_number_is_taken_from_the_net_that_made_it():
    old = dataclasses.replace(NET, versions={"keras": "3"}, git_commit="ab")
    assert made_as(dataclasses.replace(NET, model="elsewhere"), old) == dataclasses.replace(old, model="elsewhere")
