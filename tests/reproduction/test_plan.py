"""The jobs of a suite: their order, their commands, and which are left."""

import json

import pytest

from tests.reproduction.fake_start import Machine, options_of, write_passes
from vgg_keras.errors import UserError
from vgg_keras.overrides import override
from vgg_keras.plain_values import to_dict
from vgg_keras.reproduction import plan, runner, suites
from vgg_keras.reproduction.options import suite_of


def test_a_test_gets_the_settings_that_it_takes(tmp_path):
    options = options_of(tmp_path)
    suite, settings = suite_of(options), ("checkpoint.every_minutes=5", "runtime.cache_dir=here")
    jobs = plan.jobs_of(suite, plan.runs_of(suite, tmp_path), settings)
    for job in jobs:
        assert "--set=runtime.cache_dir=here" in job.arguments
        assert ("--set=checkpoint.every_minutes=5" in job.arguments) == (job.test is None), job.name


def test_finished_runs_have_no_job_and_one_of_another_design_is_refused(jobs, tmp_path):
    runner.run(jobs, tmp_path, 1, Machine())
    suite = suites.of("smoke", {})
    left = plan.jobs_of(suite, plan.runs_of(suite, tmp_path))
    assert left and all(job.test for job in left)  # the tests, whose posteriors were not made here
    run = left[0].run
    other = override(
        run.config, {"training.epochs": 7, "architecture.num_classes": 10, "runtime.cache_dir": "elsewhere"}
    )
    older = to_dict(other)
    del older["training"]["nesterov"]  # as an older version wrote it, without a field of later
    (run.folder / "config.json").write_text(json.dumps({"config": older, "classes": []}))
    with pytest.raises(
        UserError, match=r"goes on in the folder.*begun with training\.epochs: 7, now 2\. Name another --out"
    ):
        plan.runs_of(suite, tmp_path)


def test_runs_go_seed_after_seed_and_what_lies_beyond_the_paper_comes_last(tmp_path):
    names = [run.name for run in plan.runs_of(suites.of("small", {}), tmp_path)]
    place = names.index
    first_beyond = min(place(name) for name in names if name.split("-")[1].split("/")[0] in ("l2", "bf16", "full_jpeg"))
    assert place("photographs/A-small/2") < first_beyond and place("cifar10/A-bf16/0") > first_beyond
    assert place("photographs/D-jitter_fc/0") < place("cifar10/A-small/1") < place("cifar10/A-small/2")
    assert place("photographs/A-small/1") < place("photographs/C-small/1") < place("photographs/C-large/1")


def test_commands_are_those_that_a_user_would_type(tmp_path):
    suite = suites.of("smoke", {})
    jobs = {job.name: job for job in plan.jobs_of(suite, plan.runs_of(suite, tmp_path), ("runtime.cache_dir=here",))}
    start, folder = tmp_path / "runs/digits/D-small/seed-1", tmp_path / "runs/digits/D-jitter/seed-1"
    assert jobs["digits/D-jitter/1/train"].arguments == (
        *("-m", "vgg_keras.train", "--config=section4_digits", "--data=digits"),
        *("--set=architecture.name=D", "--set=data.scale=32,64", "--set=seed=1", f"--init_from={start}"),
        *(f"--workdir={folder}", "--set=runtime.cache_dir=here"),
    )
    # the final evaluation tests S in [32, 64] at 48 with the centre crop, so all passes of D are left: one test of both protocols
    assert jobs["digits/D-jitter/1/both"].arguments == (
        *("-m", "vgg_keras.evaluate", f"--model={folder}", "--data=digits", "--protocol=both", "--scales=32,48,64"),
        *(f"--out={folder / 'evaluation'}", "--set=runtime.cache_dir=here"),
    )
    assert jobs["digits/D-jitter/1/train"].command[1:3] == ["-m", "vgg_keras.train"]


def test_a_given_net_is_tested_by_its_file(tmp_path):
    (tmp_path / "d.h5").write_bytes(b"d")
    suite = suites.of("imagenet", {"D": str(tmp_path / "d.h5")}).on({"imagenet": "photos"})
    (run,) = plan.runs_of(suite, tmp_path)
    (job,) = plan.jobs_of(suite, [run])
    assert run.trained and run.folder == tmp_path / "runs/given/D" and not run.folder.exists()
    assert job.test == ("both", (256, 384, 512)) and f"--weights={tmp_path / 'd.h5'}" in job.arguments
    assert "--config=D" in job.arguments and "--set=data.scale=256,512" in job.arguments


def test_of_two_protocols_one_test_is_made_where_the_same_passes_are_left(tmp_path):
    """What the final evaluation or an earlier test left is not tested again."""
    suite = suites.of("smoke", {})
    (run,) = [run for run in plan.runs_of(suite, tmp_path) if run.name == "digits/D-jitter/0"]
    (run.folder / "final_evaluation").mkdir(parents=True)
    (run.folder / "final_evaluation/evaluation.json").write_text("{}")

    def left(*passes):
        for protocol, side in passes:
            write_passes(run.folder / "evaluation", run.config, "12", run.folder, protocol, (side,))
        return {job.test for job in plan.jobs_of(suite, [run])}

    of_center = {("center", (48,))} & left()
    assert left() - of_center == {("both", (32, 48, 64))}
    assert left(("dense", 32)) - of_center == {("dense", (48, 64)), ("multi_crop", (32, 48, 64))}
    assert left(("multi_crop", 32)) - of_center == {("both", (48, 64))}
    assert left(*((protocol, side) for protocol in ("dense", "multi_crop") for side in (48, 64))) == of_center


def test_a_damaged_pass_of_the_final_evaluation_is_tested_once(tmp_path):
    """The test's posteriors count then: else each command would test it again, and the cell would stay empty."""
    suite = suites.of("smoke", {})
    run = plan.runs_of(suite, tmp_path)[0]
    write_passes(run.folder / "final_evaluation", run.config, "12", run.folder, "center", (36,))
    (run.folder / "final_evaluation/evaluation.json").write_text("{}")
    assert plan.jobs_of(suite, [run]) == []
    (run.folder / "final_evaluation/center_Q36.npz").write_bytes(b"damaged")
    assert [job.test for job in plan.jobs_of(suite, [run])] == [("center", (36,))]
    write_passes(run.folder / "evaluation", run.config, "12", run.folder, "center", (36,))
    assert plan.jobs_of(suite, [run]) == [] and run.pass_file("center", 36).parent.name == "evaluation"
