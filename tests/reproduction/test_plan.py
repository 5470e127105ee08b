"""The jobs of a suite: their order, their commands, and which are left."""

import json

import pytest

from tests.reproduction.fake_start import Machine, options_of
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
