"""The trial of the machinery: a cell of every table, every claim of section 4, and sides that fit its crop."""

from vgg_keras.reproduction import suites
from vgg_keras.reproduction.suites import smoke


def test_smoke_fills_every_table_and_has_a_claim_of_every_section():
    suite = smoke.suite()
    assert {cell.table for cell in suite.cells} == {"3", "4", "4.1", "5", "6"}
    assert {claim.section for claim in suite.claims} == {"4.1", "4.2", "4.3", "4.4"}
    assert suites.of("smoke", {}) == suite


def test_smokes_passes_fit_its_crop():
    suite = smoke.suite()
    for training in suite.trainings:
        crop = training.configuration("digits", 0).architecture.crop
        for protocol, sides in suite.passes(training.name).items():
            assert min(sides) >= crop, (training.name, protocol)
    assert suite.training("digits/D-jitter").start == "digits/D-small"  # one start, so that it is tried too
