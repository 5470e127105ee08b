"""The final evaluation of a run: what it refuses early, which evaluator tests which images, and what is printed."""

from types import SimpleNamespace

import numpy as np
import pytest

from vgg_keras.config import Architecture, Config, Data, Evaluation
from vgg_keras.data.splits import Source, Split
from vgg_keras.errors import DiskFullError, UserError
from vgg_keras.evaluation.passes import MismatchError
from vgg_keras.training import final_evaluation
from vgg_keras.training.loop import Outcome
from vgg_keras.training.stages import PlannedRun


def split(name, *sizes):
    return Split(len(sizes), lambda image: image, lambda image: f"{name}/{image}.jpg", sizes=np.array(sizes, np.int32))


def source(test=None):
    return Source("photos", "photos: 2 classes", ("a", "b"), split("train", (2, 400)), split("val", (40, 50)), test)


def config_of(boxes="none", **rules):
    return Config(Architecture("A", crop=32, boxes=boxes), Data(scale=(32,)), evaluation=Evaluation(**rules))


# ---- before the first step


def test_the_images_of_the_test_are_refused_and_those_of_training_are_not(tmp_path):
    """A training image of 2 x 400 becomes 32 x 6400 at Q=32, and is never tested."""
    run = PlannedRun("single", config_of(max_pixels=100_000), tmp_path)
    final_evaluation.require_possible(run, source())
    with pytest.raises(UserError, match=r"Received: test/0\.jpg, 32 x 6400 pixels then.* Or leave the image out\."):
        final_evaluation.require_possible(run, source(split("test", (2, 400))))
    unevaluated = PlannedRun("first", config_of(max_pixels=100_000), tmp_path, evaluated=False)
    final_evaluation.require_possible(unevaluated, source(split("test", (2, 400))))


def test_room_is_needed_for_posteriors_that_are_not_there_yet(tmp_path, monkeypatch):
    """Of an image and two classes: one scale's file and the result's, one that is filled and one that is rewritten, 32 bytes."""
    run = PlannedRun("single", config_of(), tmp_path / "run")
    for free, refused in ((32, False), (31, True)):
        monkeypatch.setattr(final_evaluation.evaluator.shutil, "disk_usage", lambda _, f=free: SimpleNamespace(free=f))
        if refused:
            with pytest.raises(DiskFullError, match="posteriors of 1 images and 2 classes"):
                final_evaluation.require_possible(run, source())
        else:
            final_evaluation.require_possible(run, source())
    final_evaluation.require_possible(PlannedRun("boxes", config_of("pcr"), tmp_path / "run"), source())
    (tmp_path / "run" / "final_evaluation").mkdir(parents=True)
    final_evaluation.require_possible(run, source())


# ---- the test itself


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """Evaluates a job with stand-ins for the net and the evaluators; what these were called with."""
    calls = []

    def run(config, source, mismatches=0):
        def stand_in(name):
            def evaluate(net, config, images, precision, out):
                calls.append((name, net, images.name, images.bad, precision, sorted(p.name for p in out.iterdir())))
                if len(calls) <= mismatches:
                    raise MismatchError("posteriors of another net")
                return {"made": len(calls)}

            return evaluate

        monkeypatch.setattr(final_evaluation.evaluator, "evaluate", stand_in("classes"))
        monkeypatch.setattr(final_evaluation.box_evaluator, "evaluate", stand_in("boxes"))
        monkeypatch.setattr(final_evaluation, "load_run", lambda folder, dtype: f"net of {folder.name} in {dtype}")
        job = SimpleNamespace(
            config=config, source=source, workdir=tmp_path, precision="float32", bad_images=["a.jpg: no JPEG"]
        )
        return final_evaluation._evaluate_kept(job)

    return SimpleNamespace(run=run, calls=calls, folder=tmp_path / "final_evaluation")


@pytest.mark.parametrize(("boxes", "evaluator"), [("none", "classes"), ("pcr", "boxes")])
@pytest.mark.parametrize("test", [None, split("test", (40, 50))])
def test_the_kept_net_is_tested_on_the_test_images_where_there_are_any(evaluated, boxes, evaluator, test, tmp_path):
    assert evaluated.run(config_of(boxes), source(test)) == {"made": 1}
    net = f"net of {tmp_path.name} in float32"
    name = "test" if test else "val"
    assert evaluated.calls == [(evaluator, net, name, ("a.jpg: no JPEG",), "float32", [".lock"])]


def test_posteriors_of_an_earlier_net_are_replaced_and_nothing_else(evaluated):
    evaluated.folder.mkdir()
    for name in ("dense_Q32.npz", "posteriors.npz", "notes.txt"):
        (evaluated.folder / name).touch()
    assert evaluated.run(config_of(), source(), mismatches=1) == {"made": 2}
    first, second = (call[-1] for call in evaluated.calls)
    assert first == [".lock", "dense_Q32.npz", "notes.txt", "posteriors.npz"] and second == [".lock", "notes.txt"]


def test_a_mismatch_that_no_earlier_net_explains_is_an_error(evaluated):
    with pytest.raises(MismatchError, match="another net"):
        evaluated.run(config_of(), source(), mismatches=2)
    assert len(evaluated.calls) == 2


# ---- what is printed


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            {"top1_error": 2.506, "top5_error": 0.5, "balanced_error": 3.0},
            ["top-1 error 2.51 %", "top-5 error 0.50 %", "balanced error 3.00 %"],
        ),
        (
            {"top1_error": 2.5, "top5_error": None, "balanced_error": float("nan")},
            ["top-1 error 2.50 %", "top-5 error meaningless among 4 classes", "balanced error -"],
        ),
        (
            {"top1_error": None, "mean_average_precision": 81.0, "mean_average_precision_voc2007": 79.25},
            ["mAP 81.00 %", "VOC-2007 mAP 79.25 %"],
        ),
        (
            {"box_error": 12.5, "mean_iou": 0.62149, "trivial_box_error": 50.0, "top1_error": 1.0},
            ["box error 12.50 %", "mean IoU 0.621", "the training set's mean box 50.00 %"],
        ),
    ],
)
def test_a_result_is_printed_in_the_measures_of_its_task(result, words):
    assert final_evaluation._measured(result, 4) == words


def test_a_stage_without_a_test_has_its_validation_and_a_curve(tmp_path, monkeypatch, capsys):
    titles = []

    def draw(workdir, title, training):
        titles.append(title)
        return workdir / "learning_curve.png"

    monkeypatch.setattr(final_evaluation, "draw_learning_curve", draw)
    run = PlannedRun("S256", config_of(), tmp_path, evaluated=False)
    found = final_evaluation.of_run(run, SimpleNamespace(config=run.config, workdir=tmp_path), Outcome(3, 30, 12.5))
    assert (found["epochs"], found["validation_top1_error"], found["top1_error"]) == (3, 12.5, None)
    assert f"of 3 epochs, validation {Outcome(3, 30, 12.5).text}" in capsys.readouterr().out
    assert titles and titles[0].endswith("12.50 %")
