"""Configurations as JSON values: round trips and differences."""

import json

from vgg_keras.config import Config
from vgg_keras.overrides import override
from vgg_keras.plain_values import difference, from_dict, to_dict
from vgg_keras.recipes import config_folder, load


def test_every_named_configuration_loads_and_survives_json():
    names = [path.stem for path in config_folder().glob("*.py")]
    assert {"A", "A_LRN", "B", "B_5x5", "C", "D", "E", "quickstart"} <= set(names)
    for name in names:
        loaded = load(name)
        stored = json.loads(json.dumps(to_dict(loaded)))
        assert from_dict(Config, stored) == loaded


def test_the_first_difference_is_named():
    old, new = to_dict(Config()), to_dict(override(Config(), {"data.batch": 32}))
    assert difference(old, new) == "data.batch: 256, now 32"
    assert difference(old, old) is None
