"""Runs side by side: which belong together, and their means and spreads by NumPy."""

import json

import numpy as np
import pytest

from tests.evaluation.tested_runs import TESTED, a_run, three_nets
from vgg_keras.errors import UserError
from vgg_keras.evaluation.comparison import compare, draw, table
from vgg_keras.files import write_json
from vgg_keras.text_table import text_table as text


@pytest.fixture
def runs(tmp_path, random):
    return three_nets(tmp_path, random)


def test_fine_tuned_runs_are_identified_by_their_files_digest(tmp_path):
    """One file under two paths is one start, another is another; the mean that came with it is no setting."""
    for seed, (path, digest, error) in enumerate(
        (("a.pth", "12", 20.0), ("b/a.pth", "12", 21.0), ("a.pth", "34", 30.0))
    ):
        words = (f"training.weights={path}", f"seed={seed}")
        folder = a_run(tmp_path / str(seed), error, *words, mean=(seed, 2.0, 3.0))
        stored = json.loads((folder / "config.json").read_text())
        statistics = {"statistics": {"mean": [9.0, 9.0, 9.0]}}
        write_json(folder / "config.json", {**stored, "started_from": digest, "data": statistics})
    rows, _, _ = compare([tmp_path / str(seed) for seed in range(3)], "final_evaluation")
    assert [list(row.top1_errors) for row in rows] == [[0, 1], [2]]


def test_runs_that_differ_in_their_seed_alone_make_a_row(runs):
    folders, errors = runs
    rows, images, untested = compare(folders, "final_evaluation")
    assert [row.label for row in rows] == ["name=A", "name=D", "name=E"] and images == 200 and not untested
    for row, (name, expected) in zip(rows, errors.items(), strict=True):
        assert list(row.top1_errors.values()) == expected.tolist(), name
        assert row.mean == pytest.approx(expected.mean()) and row.deviation == pytest.approx(expected.std(ddof=1))
        mean, deviation, seeds = row.against(rows[0])
        difference = expected - errors["A"]
        assert (mean, deviation, seeds) == pytest.approx((difference.mean(), difference.std(ddof=1), 3))
    shown = text(table(rows))
    gap = errors["D"] - errors["A"]
    assert f"{errors['D'].mean():.2f} ± {errors['D'].std(ddof=1):.2f}" in shown
    assert f"{gap.mean():+.2f} ± {gap.std(ddof=1):.2f}" in shown


def test_tests_of_boxes_by_other_rules_are_other_rows(tmp_path):
    """Their mean is of no test."""
    rules = {"windows": "map", "iou": 0.5, "answers": 5, "best_classes": 5, "threshold": 0.6}
    tests = (
        {"localization": rules, "windows": "map"},
        {"localization": rules, "windows": "map"},
        {"localization": {**rules, "iou": 0.75}, "windows": "map"},
        {"localization": {**rules, "windows": "crops"}, "windows": "crops"},
        {"localization": rules, "windows": "map", "classifier_sha256": "12"},
    )
    folders = [a_run(tmp_path / str(n), 20.0 + n, f"seed={n}", **one) for n, one in enumerate(tests)]
    rows, _, _ = compare(folders, "final_evaluation")
    assert [(row.label, list(row.top1_errors)) for row in rows] == [
        ("windows=map  iou=0.5  classifier=False", [0, 1]),
        ("windows=map  iou=0.75  classifier=False", [2]),
        ("windows=crops  iou=0.5  classifier=False", [3]),
        ("windows=map  iou=0.5  classifier=True", [4]),
    ]


def test_rows_are_named_by_what_differs(tmp_path):
    folders = [
        a_run(tmp_path / "fixed", 30.0, "data.scale=256"),
        a_run(tmp_path / "jitter", 29.0, "data.scale=256,512", scales=[384], balanced_error=33.0),
        a_run(
            tmp_path / "jitter-1",
            28.0,
            "data.scale=256,512",
            "seed=1",
            scales=[384],
            top5_error=None,
            balanced_error=32.0,
        ),
    ]
    rows, _, _ = compare(folders, "final_evaluation")
    assert [(row.label, row.test) for row in rows] == [
        ("scale=256", "center, Q=36"),
        ("scale=256,512", "center, Q=384"),
    ]
    assert [row[2:] for row in table(rows)[1:]] == [
        ["1", "30.00", "30.00-30.00", "5.00", "-", ""],
        ["2", "28.50 ± 0.71", "28.00-29.00", "-", "32.50", "-1.00 (1)"],
    ]
    dense = a_run(tmp_path / "dense", 27.0, "data.scale=256", protocol="dense")
    rows, _, _ = compare([folders[0], dense], "final_evaluation")
    assert [row.label for row in rows] == ["protocol=center", "protocol=dense"]
    assert [row.label for row in compare(folders[:1], "final_evaluation")[0]] == ["name=D"]


def test_fields_without_effect_are_in_no_label_and_make_no_row(tmp_path):
    """A rate of its own scales a stage's decay, with Adam too, which has none."""
    adam = "training.optimizer=adam"
    runs = [
        a_run(tmp_path / "high", 20.0, adam, "training.learning_rate=1e-3", "training.weight_decay=5e-6"),
        a_run(tmp_path / "low", 21.0, adam, "training.learning_rate=1e-4", "training.weight_decay=5e-7"),
        a_run(tmp_path / "again", 22.0, adam, "training.learning_rate=1e-4", "training.l2=1e-3", "seed=1"),
    ]
    rows, _, _ = compare(runs, "final_evaluation")
    assert [row.label for row in rows] == ["learning_rate=0.001", "learning_rate=0.0001"]
    assert [list(row.top1_errors) for row in rows] == [[0], [0, 1]]
    decays = [a_run(tmp_path / rate, 23.0, f"training.weight_decay={rate}") for rate in ("5e-5", "5e-6")]
    labels = [row.label for row in compare([*decays, runs[0]], "final_evaluation")[0]]
    assert labels == [
        "optimizer=sgdw  learning_rate=0.01  weight_decay=5e-05",
        "optimizer=sgdw  learning_rate=0.01  weight_decay=5e-06",
        "optimizer=adam  learning_rate=0.001  weight_decay=none",
    ]


def test_multi_label_runs_are_compared_by_their_mean_average_precision(tmp_path):
    tests = [a_run(tmp_path / str(seed), None, f"seed={seed}") for seed in range(2)]
    tests += [a_run(tmp_path / "jitter", None, "data.scale=256,512")]
    for folder, precision in zip(tests, (80.0, 82.0, 85.0), strict=True):
        measured = {**TESTED, "top1_error": None, "top5_error": None, "mean_average_precision": precision}
        write_json(folder / "final_evaluation" / "evaluation.json", measured)
    rows, _, _ = compare(tests, "final_evaluation")
    assert [row.mean_average_precisions for row in rows] == [{0: 80.0, 1: 82.0}, {0: 85.0}]
    header, first, second = table(rows)
    assert header[3:] == ["mAP, %", "lowest-highest", "beside the first row"]
    assert first[3:] == ["81.00 ± 1.41", "80.00-82.00", ""] and second[-1] == "+5.00 (1)"
    draw(rows, 200, tmp_path / "compared.png")
    with pytest.raises(UserError, match=r"one measure\. Received: mAP of .*, top-1 error of"):
        compare([*tests, a_run(tmp_path / "one", 30.0, "data.batch=8")], "final_evaluation")


def test_a_chains_folder_is_its_stages_and_a_set_may_go_by_two_paths(tmp_path):
    digest = {"data": {"train": {"sha256_of_names": "ab"}}}
    for seed, source in ((0, "photos"), (1, "/elsewhere/photos")):
        for stage, rate in (("high", 1e-2), ("low", 1e-3)):
            fields = f"training.learning_rate={rate}", f"seed={seed}", f"data.source={source}"
            folder = a_run(tmp_path / f"chain-{seed}" / stage, 20.0 + seed, *fields)
            stored = json.loads((folder / "config.json").read_text())
            write_json(folder / "config.json", {**stored, **digest})
    rows, _, _ = compare([tmp_path / "chain-0", tmp_path / "chain-1"], "final_evaluation")
    assert [(row.label, row.top1_errors) for row in rows] == [
        ("learning_rate=0.01", {0: 20.0, 1: 21.0}),
        ("learning_rate=0.001", {0: 20.0, 1: 21.0}),
    ]


def test_a_stage_finds_its_start_where_the_chain_was_moved(tmp_path):
    """Its configuration has the old place, and a seed's own weights as digest: each seed would be a row by itself."""
    chains = [tmp_path / f"chain-{seed}" for seed in range(2)]
    for seed, chain in enumerate(chains):
        a_run(chain / "new", None, f"seed={seed}")
        write_json(chain / "new" / "manifest.json", {"config.json": ["00"], "model.weights.h5": [f"{seed}2"]})
        last = a_run(chain / "all", 20.0 + seed, f"training.weights=runs/chain-{seed}/new", f"seed={seed}")
        stored = json.loads((last / "config.json").read_text())
        write_json(last / "config.json", {**stored, "started_from": f"{seed}2"})
    (row,), _, _ = compare([chain / "all" for chain in chains], "final_evaluation")
    assert row.top1_errors == {0: 20.0, 1: 21.0}


def test_a_start_may_be_a_preset_which_has_a_configuration_of_its_own(tmp_path):
    write_json(tmp_path / "preset" / "config.json", {"class_name": "VGGBackbone", "config": {}})
    runs = [a_run(tmp_path / str(n), 20.0 + n, f"training.weights={tmp_path}/preset", f"seed={n}") for n in range(2)]
    (row,), _, _ = compare(runs, "final_evaluation")
    assert row.top1_errors == {0: 20.0, 1: 21.0}


def test_mistakes_are_named(tmp_path, runs):
    folders, _ = runs
    fresh = a_run(tmp_path / "fresh", None)
    assert compare([*folders, fresh], "final_evaluation")[2] == [fresh]
    with pytest.raises(UserError, match=r"has been tested\. Received: none with final_evaluation/evaluation\.json"):
        compare([fresh], "final_evaluation")
    with pytest.raises(UserError, match=r"none with evaluation/evaluation\.json"):
        compare(folders, "evaluation")
    with pytest.raises(UserError, match=r"Received: .*A-0, which has seed 0 as .*A-0 has, and the same"):
        compare([folders[0], folders[0]], "final_evaluation")
    others = a_run(tmp_path / "others", 9.0, images_sha256="34", images=100)
    with pytest.raises(UserError, match=r"same images\. Received: .*others with 100 of others than .*A-0 with 200"):
        compare([folders[0], others], "final_evaluation")
    with pytest.raises(UserError, match=r"by their folders\. Received: .*absent, which is none"):
        compare([tmp_path / "absent"], "final_evaluation")
    (folders[0] / "final_evaluation" / "evaluation.json").write_text("{}")
    with pytest.raises(
        UserError, match=r"must stay as they were\. Received: .*evaluation\.json, damaged: without top1"
    ):
        compare(folders, "final_evaluation")


def test_the_picture_has_a_point_for_each_run(tmp_path, runs):
    from PIL import Image

    rows, images, _ = compare(runs[0], "final_evaluation")
    draw(rows, images, tmp_path / "compared.png")
    pixels = np.asarray(Image.open(tmp_path / "compared.png").convert("RGB")).reshape(-1, 3).astype(int)
    blue, orange = (np.abs(pixels - colour).sum(axis=1).min() for colour in ((121, 173, 210), (255, 127, 14)))
    assert blue < 30 and orange < 30
