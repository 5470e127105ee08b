"""What a message names in place of a flag that a command does not have."""

import pytest
from absl import flags

from vgg_keras.flag_hints import refused_value, unknown_flag


def message(*arguments, known=("config", "data", "set", "workdir")):
    values = flags.FlagValues()
    for name in known:
        flags.DEFINE_string(name, None, "help", flag_values=values)
    with pytest.raises(flags.UnrecognizedFlagError) as caught:
        values(["train", *arguments])
    return unknown_flag(caught.value, values, ["train", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--learning_rate=0.1"], "training.learning_rate is a field: --set=training.learning_rate=0.1"),
        (["--lr", "0.1"], "training.learning_rate is a field: --set=training.learning_rate=0.1"),
        (["--batch_size=32"], "data.batch is a field: --set=data.batch=32"),
        (["--epochs=many"], "training.epochs is a field: --set=training.epochs=..."),  # no value of this field
        (["--epochs", "--config=E"], "training.epochs is a field: --set=training.epochs=..."),
        (["--output_dir=runs/x"], "Did you mean --workdir?"),
    ],
)
def test_a_field_is_named_with_the_value_and_a_flag_by_its_name_here(arguments, said):
    name = arguments[0].lstrip("-").partition("=")[0]
    assert message(*arguments) == f"Unknown command line flag {name!r}. {said}"


def test_without_set_no_field_is_named():
    assert message("--learning_rate=0.1", known=("model",)) == "Unknown command line flag 'learning_rate'. See --help."


def test_a_value_is_refused_by_what_the_flag_takes():
    def message(*arguments):
        values = flags.FlagValues()
        flags.DEFINE_bool("json", False, "help", flag_values=values)
        flags.DEFINE_integer("top", 5, "help", lower_bound=1, flag_values=values)
        flags.DEFINE_enum("protocol", None, ["center", "dense", "both"], "help", flag_values=values)
        with pytest.raises(flags.IllegalFlagValueError) as caught:
            values(["predict", *arguments])
        return refused_value(caught.value, values)

    assert message("--json=yes") == "--json takes true or false. Received: 'yes'."
    assert message("--top=a: b=c") == "--top takes a positive integer. Received: 'a: b=c'."
    assert message("--top=") == "--top takes a positive integer. Received: ''."
    protocols = "--protocol takes center, dense or both. Received:"
    assert message("--protocol=dnse") == f"{protocols} 'dnse'. Did you mean 'dense'?"
    assert message("--protocol=x") == f"{protocols} 'x'."
