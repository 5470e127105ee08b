"""results.json as rows of text, by hand."""

from vgg_keras.reproduction import wording

CELL = {
    "table": "3",
    "data": "digits",
    "name": "digits table3 D small",
    "net": "D",
    "S": "36",
    "Q": "36",
    "method": "dense",
    "note": "",
    "top1_errors": {"0": 8.0, "1": 9.0},
    "top1_error": 8.5,
    "top1_deviation": 0.7071,
    "top5_error": 1.25,
    "top5_deviation": None,
    "paper": [27.0, 8.8],
    "seeds_planned": 3,
    "within": None,
}
CLAIM = {
    "section": "4.1",
    "text": "depth: D - B",
    "data": "digits",
    "note": "",
    "paper": -1.7,
    "verdict": "shown",
    "training_losses": [0.3, 0.50754],
    "difference": {
        "mean": -2.0,
        "low": -3.25,
        "high": -0.5,
        "seeds": 2,
        "of_seeds": {"0": -1.0, "1": -3.0},
        "most": "seeds",
    },
}


def found(**fields):
    return {"cells": [], "claims": [], "trainings": [], "sets": {}} | fields


def test_a_cells_row():
    unrun = CELL | {"table": "4", "top1_errors": {}, "top1_error": None, "top1_deviation": None, "top5_error": None}
    noted = CELL | {"note": "centre crop; the paper's is dense", "paper": None}
    beyond = CELL | {"table": "beyond", "note": "bf16 instead of float32", "paper": None}
    every = found(cells=[CELL, noted, unrun, beyond])
    header, row, with_note = wording.table(every, "3")
    assert dict(zip(header, row, strict=True)) == {
        "data": "digits",
        "net": "D",
        "S": "36",
        "Q": "36",
        "test": "dense",
        "top-1 error, %": "8.50 ± 0.71",
        "top-5 error, %": "1.25",
        "seeds": "2 of 3",
        "paper, %": "27.0 / 8.8",
    }
    assert with_note[4] == "centre crop; the paper's is dense" and with_note[-1] == "-"
    assert wording.table(every, "4")[1][5:8] == ["-", "-", "0 of 3"]
    assert wording.table(every, "beyond")[1][1:5] == ["bf16 instead of float32", "36", "36", "dense"]
    assert wording.table(every, "6") == []


def test_cells_of_given_nets_are_counted():
    near, far = CELL | {"within": True}, CELL | {"within": False, "name": "digits table4 E"}
    every = found(cells=[CELL, near, far])
    assert [row[-1] for row in wording.table(every, "3")[1:]] == [
        "27.0 / 8.8",
        "27.0 / 8.8, within 0.1",
        "27.0 / 8.8, not within 0.1",
    ]
    rule = "cells of given nets are within 0.1 points of the paper's"
    assert wording.within(every) == f"1 of 2 {rule}; not: digits table4 E."
    assert wording.within(found(cells=[near])) == f"1 of 1 {rule}." and wording.within(found(cells=[CELL])) == ""


def test_a_claims_row():
    undecided = CLAIM | {"verdict": "not decided", "note": "trained longer"}
    one_seed = undecided | {
        "training_losses": None,
        "difference": CLAIM["difference"] | {"seeds": 1, "of_seeds": {"0": -1.0}},
    }
    unrun = CLAIM | {"difference": None, "verdict": "not measured yet", "paper": None}
    beyond = CLAIM | {"section": "", "verdict": ""}
    every = found(claims=[CLAIM, undecided, one_seed, unrun, beyond])
    _, *rows = wording.claims(every)
    shown = ["-2.00", "-3.25 to -0.50", "seeds", "-1.00, -3.00", "0.300, 0.508", "-1.7", "shown"]
    assert rows[0] == ["4.1", "depth: D - B", "digits", *shown]
    assert rows[1][1] == "depth: D - B (trained longer)" and rows[1][-1] == "not decided by 2 seeds"
    assert rows[2][-4:] == ["-1.00", "-", "-1.7", "not decided by 1 seed"]
    assert rows[3] == ["4.1", "depth: D - B", "digits", *["-"] * 6, "not measured yet"]
    assert wording.claims(every, beyond=True)[1:] == [["-", *rows[0][1:-1], "-"]]
    assert wording.claims(found()) == []
    given = found(claims=[CLAIM | {"training_losses": None}], trainings=[{"weights": "d.h5"}])
    assert "training losses" not in wording.claims(given)[0] and wording.claims(given)[1][-3:] == [
        "-1.00, -3.00",
        "-1.7",
        "shown",
    ]
    reasons = ("1 of 2 seeds", "D has the higher training loss")
    more = [CLAIM | {"verdict": f"not decided: {reason}"} for reason in reasons]
    counted = [("shown", 1), ("not decided", 4), ("not measured yet", 1)]
    assert list(wording.verdicts(found(claims=[*more, unrun, undecided, one_seed, CLAIM])).items()) == counted


def test_how_much_of_a_suite_there_is():
    """Runs that have not begun are not among the trainings, so the cells are counted too."""
    full = CELL | {"top1_errors": {"0": 8.0, "1": 9.0, "2": 9.0}}
    runs = [{"name": "digits/D-small", "seed": seed, "finished": seed < 2} for seed in range(3)]
    given = {"name": "imagenet/D-jitter", "seed": 0, "weights": "imagenet", "finished": True}
    begun = "1 of 2 cells have all their seeds; runs trained: 2, begun: 1."
    assert wording.progress(found(cells=[CELL, full], trainings=runs)) == begun
    done = "1 of 1 cells have all their seeds; runs trained: 2."
    assert wording.progress(found(cells=[full], trainings=runs[:2])) == done
    assert wording.progress(found(cells=[full], trainings=[given])) == "1 of 1 cells have all their seeds."


def test_of_given_nets_nobody_reads_that_their_intervals_are_over_seeds():
    """Of one test of each the page said that its interval takes seeds as samples, and is too narrow."""
    trained, given = {"name": "imagenet/A-small"}, {"name": "imagenet/D-jitter", "weights": "d.h5"}
    for trainings, of_seeds in (([], True), ([trained], True), ([trained, given], True), ([given, given], False)):
        text = " ".join(wording.reading(found(trainings=trainings)))
        assert ("takes both the seeds and the images" in text and "too narrow" in text) == of_seeds
        assert ("takes the images alone as samples" in text) != of_seeds


def test_trainings_and_their_machines():
    numbers = {"loss": 0.12345, "top1_error": 1.0, "val_top1_error": None, "hours": 1.5, "precision": "float32"}
    run = {"name": "digits/D-small", "seed": 1, "finished": True, "epochs": 74, "git_commit": "c0ffee", **numbers}
    gpus = [f"/job:localhost/replica:0/task:0/device:GPU:{number}" for number in range(2)]
    run |= {"hardware": {"processor": "2 cores", "devices": gpus}}
    begun = run | {"finished": False, "epochs": 3, "precision": None, "git_commit": None}
    begun |= {"hardware": {"devices": ["/CPU:0"]}}
    given = {"name": "imagenet/D-jitter", "seed": 0, "weights": "imagenet", "finished": True}
    given |= {"precision": "mixed_bfloat16"}
    every = found(trainings=[run, run, begun, given])
    _, first, _, third, last = wording.trainings(every)
    assert first == ["digits/D-small", "1", "74", "0.123", "1.00", "-", "1.50", "float32"]
    assert third[2] == "3, unfinished" and third[-1] == "-"
    assert last == ["imagenet/D-jitter", "given: imagenet", "-", "-", "-", "-", "-", "mixed_bfloat16"]
    assert wording.hours(every) == 4.5 and wording.trainings(found()) == []
    assert wording.machines(every)[1:] == [
        ["digits", "2 cores, GPU:0, GPU:1", "c0ffee", "2"],
        ["digits", "unknown processor, /CPU:0", "unknown", "1"],
    ]
    assert wording.machines(found(trainings=[given])) == []
    several = "The runs of digits are of 2 machines and 2 commits: differences between nets may be theirs."
    assert wording.mixed(every) == several
    # nets of different sets are not compared
    assert wording.mixed(found(trainings=[run, begun | {"name": "cifar10/A-small"}])) == ""
    assert wording.mixed(found(trainings=[run, run])) == wording.mixed(found(trainings=[given])) == ""


def test_images_by_their_splits():
    digits = {"about": "8x8", "source": "digits", "train": {"images": 1438, "sha256_of_names": "a" * 64}}
    digits["val"] = {"images": 359, "sha256_of_names": "b" * 64}
    header, row, unread = wording.images(found(sets={"digits": digits, "photos": {"about": "", "source": "album"}}))
    counts, digests = "1,438 train, 359 val", f"train {'a' * 12}, val {'b' * 12}"
    assert row == ["digits", "8x8", "digits", counts, digests] and len(header) == 5
    assert unread == ["photos", "", "album", "-", "-"]


def test_a_cell_of_markdown_stays_one_cell():
    assert wording.markdown([["a", "b"], ["x|y", "two\nlines"]]) == "| a | b |\n|---|---|\n| x\\|y | two lines |"
