"""A suite as data: what a table needs, which passes a net has, and what its parts must be."""

from tests.reproduction.fake_start import options_of
from vgg_keras.reproduction import suites
from vgg_keras.reproduction.options import suite_of


def test_a_table_keeps_what_its_nets_start_from():
    """The page is of the whole suite, so `--only` never overwrites fuller results; the jobs are these."""
    asked = options_of("x", "small", only=("table5",), data=("photographs=tests",))  # CIFAR-10 need not be there
    assert len(suite_of(asked).cells) == len(suites.of("small", {}).cells)
    suite = suite_of(asked).only(asked.only)
    assert [one.name for one in suite.trainings] == [
        "photographs/A-small",
        *(f"photographs/{net}-{kind}" for kind in ("small", "large", "jitter") for net in "DE"),
    ]
    assert {claim.section for claim in suite.claims} == {"4.3"}
