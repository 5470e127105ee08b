"""Section 4 in small: what differs from the paper, and sides that fit its crops."""

from vgg_keras.reproduction import suites


def test_small_suite_says_what_else_differs_from_the_paper():
    suite = suites.of("small", {})
    of_cifar = [cell for cell in suite.cells if cell.data == "cifar10" and cell.table == "3"]
    assert {cell.note for cell in of_cifar} == {"centre crop; the paper's is dense"}
    longer = [one for one in suite.claims if one.first.startswith("photographs table3")]
    assert len(longer) == 9 and all("trained longer" in one.note for one in longer)
    three = [one for one in suite.claims if one.section == "4.2" and "in training" in one.text]
    assert len(three) == 6 and all("trained longer" in one.note for one in three)
    # the paper's two C of S=256 and S=384 have the same error
    assert {one.first.split()[2] for one in longer if one.expected is None} == {"C"}


def test_small_suites_chain_and_crops_fit_its_sides():
    suite = suites.of("small", {})
    for training in suite.trainings:
        config = training.configuration("digits", 0)
        for protocol, sides in suite.passes(training.name).items():
            assert min(sides) >= config.architecture.crop, (training.name, protocol)
    assert suite.passes("photographs/D-jitter") == {"dense": (128, 192, 256), "multi_crop": (128, 192, 256)}
    assert len(suite.trainings[0].seeds) >= 3


def test_depths_of_the_small_suite_start_from_net_a_as_in_3_1():
    suite = suites.of("small", {})
    deep = [suite.training(f"cifar10/{net}-small") for net in "BCDE"]
    others = [suite.training(f"cifar10/{name}") for name in ("A-small", "A-LRN-small", "B-random", "B-5x5-random")]
    assert {one.start for one in deep} == {"cifar10/A-small"} and {one.start for one in others} == {""}
    assert len({one.settings[1:] for one in (*deep, *others)}) == 1
    longer = {(one.first, one.second) for one in suite.claims if one.note.endswith("is trained longer")}
    assert {
        ("cifar10 table3 B small", "cifar10 table3 A small"),
        ("cifar10 table3 E small", "cifar10 table3 A small"),
    } <= longer
    assert all("A small" in second or "photographs" in first for first, second in longer)
