"""The loop in this process, stopped or spoilt at a step of the test's choice."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import checkpoints, digest, metrics
from vgg_keras import stop
from vgg_keras.config import Architecture, Config, Training
from vgg_keras.data.sources import open_source
from vgg_keras.errors import StoppedError, UserError
from vgg_keras.overrides import override
from vgg_keras.recipes import load
from vgg_keras.training import job, loop, objectives, state
from vgg_keras.training import workdir as folder
from vgg_keras.training.workers import Workers
from vgg_keras.weights.initialize import Start

RATE = 1e-7  # nothing is learnt at it, so that validation stands still from the first epoch on
STEPS, BATCHES = 5, 3  # of an epoch and of a validation
BATCH = 4  # images; a CPU takes its time for float16
CONFIG = override(
    load("quickstart"),
    {
        "architecture.name": "A",
        "architecture.width": 0.0625,
        "data.batch": BATCH,
        "evaluation.batch": BATCH,
        "training.learning_rate": RATE,
        "training.plateau_patience": 2,
        "training.plateau_divisions": 2,
        "checkpoint.every_steps": 2,
        "checkpoint.keep": 100,
    },
)


@pytest.fixture(scope="module")
def source():
    """Few of the digits: what takes its time is the tracing of each run."""
    digits = open_source(CONFIG.data)
    train, val = digits.train.select(np.arange(STEPS * BATCH)), digits.val.select(np.arange(BATCHES * BATCH))
    return dataclasses.replace(digits, train=train, val=val)


def train(workdir, source, changes=None, precision="float32"):
    workdir.mkdir(exist_ok=True)
    config, statistics = folder.prepare(workdir, override(CONFIG, changes or {}), source, {}, Start())
    strategy = tf.distribute.get_strategy()
    return job.train_job(
        loop.Job(config, config, source, statistics, [], workdir, strategy, Workers(strategy), precision)
    )


@pytest.mark.slow
def test_stopped_in_mid_patience_at_an_edge_and_in_validation_the_rates_are_the_same(source, tmp_path, monkeypatch):
    assert train(tmp_path / "whole", source).epochs == 7
    rates = [line["learning_rate"] / RATE for line in metrics(tmp_path / "whole")]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])  # divided behind epochs 3 and 5, at its end behind 7

    workdir = tmp_path / "stopped"
    for looks, newest in (  # the loop looks once a step and once a batch of validation
        (STEPS, "epoch-0000-step-000000005"),  # at an epoch's edge
        (BATCHES + STEPS + BATCHES + 3, "epoch-0002-step-000000013"),  # when one epoch of two has been waited
        (2 + BATCHES, "epoch-0002-step-000000015"),  # at the last batch of the validation that divides the rate
    ):
        left = iter([False] * (looks - 1))
        monkeypatch.setattr(stop, "requested", lambda: next(left, True))  # noqa: B023, called in this round
        with pytest.raises(StoppedError, match=rf"stopped at step {int(newest[-9:])}, saved in .*stopped"):
            train(workdir, source)
        assert checkpoints(workdir)[-1] == newest
    monkeypatch.setattr(stop, "requested", lambda: False)
    train(workdir, source)
    assert metrics(workdir) == metrics(tmp_path / "whole")
    assert digest(workdir) == digest(tmp_path / "whole")


@pytest.mark.parametrize(("batch", "steps", "images"), [(32, 45, 1438), (32, 47, 1502), (10**6, 3, 3 * 1438)])
def test_a_resumed_runs_progress_begins_with_the_images_that_are_done(batch, steps, images):
    config = override(CONFIG, {"data.batch": batch})
    some = SimpleNamespace(train=SimpleNamespace(size=1438))
    assert loop.Job(config, config, some, None, [], None, None, None, "float32").images_of(steps) == images


@pytest.mark.parametrize(("every", "epoch", "validations"), [(1, 3, 7), (4, 3, 3), (4, 8, 1), (4, 10, 0), (10, 9, 1)])
def test_the_time_left_has_the_validations_to_come(every, epoch, validations):
    training = Training(schedule="cosine", validation_epochs=every)
    assert sum(training.validates_after(one, 10) for one in range(epoch + 1, 11)) == validations
    assert loop.seconds_left(training, epoch, 10, 60.0, 5.0) == (10 - epoch) * 60 + validations * 5


RECIPE = {
    "training.learning_rate": 1e-3,
    "training.schedule": "cosine",
    "training.warmup_steps": 3,
    "training.epochs": 1,
    "training.min_steps": 12,  # three epochs of 5
    "training.validation_epochs": 2,
    "training.kept_net": "last",
    "training.nesterov": True,
    "training.clip_norm": 1.0,
    "training.label_smoothing": 0.1,
    "training.average_decay": 0.5,
    "training.rate_factors": ("predictions:2",),
}


@pytest.mark.slow
@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.full), "mixed_float16"])
def test_a_recipe_of_every_option_is_resumed_to_the_bit(source, tmp_path, monkeypatch, precision):
    outcome = train(tmp_path / "whole", source, RECIPE, precision)
    lines = metrics(tmp_path / "whole")
    assert outcome.epochs == 3 and outcome.error == lines[-1]["val_top1_error"]
    assert ["val_loss" in line for line in lines] == [False, True, True]
    # of the last update of each epoch: step 5 is the second of 12 that fall, step 15 the last
    expected = [0.5e-3 * (1 + np.cos(np.pi * done / 12)) for done in (1, 6, 11)]
    assert [line["learning_rate"] for line in lines] == pytest.approx(expected)

    workdir = tmp_path / "stopped"
    # in the warm-up and in a validation, and of the long version in the last epoch
    for looks in (2, 9, 2) if precision == "float32" else (2, 9):
        left = iter([False] * (looks - 1))
        monkeypatch.setattr(stop, "requested", lambda: next(left, True))  # noqa: B023, called in this round
        with pytest.raises(StoppedError):
            train(workdir, source, RECIPE, precision)
    monkeypatch.setattr(stop, "requested", lambda: False)
    train(workdir, source, RECIPE, precision)
    assert metrics(workdir) == lines
    assert digest(workdir) == digest(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("batch", [BATCH, 10**9])  # the second one is the whole set, which a step has, and no more
def test_a_loss_that_rises_a_hundredfold_stops_with_advice(source, tmp_path, batch):
    """SGD at a rate of 10, from a net that has just begun: at the second step."""
    message = r"must not rise a hundredfold .*at step 2, learning rate 10, .*try --set=training.learning_rate=0.1 "
    with pytest.raises(UserError, match=message):
        train(
            tmp_path / "run", source, {"training.learning_rate": 10.0, "data.batch": batch, "evaluation.batch": batch}
        )


@pytest.mark.parametrize(("heaviest", "healthy"), [(1.0, 230.0), (40.0, 9200.0)])
def test_a_first_batch_of_light_or_ignored_labels_says_nothing_of_the_rate(heaviest, healthy):
    """Its loss may be 0; of ten classes a net that knows nothing has log(10), times the heaviest weight of a class."""
    kept = loop.Loop.__new__(loop.Loop)
    kept._state = SimpleNamespace(scales_loss=False, first_loss=tf.Variable(0.0))
    kept._job, kept._rate = SimpleNamespace(config=CONFIG), RATE
    weights = None if heaviest == 1 else np.array([0.0] * 9 + [heaviest], np.float32)
    kept._objective = objectives.of(Config(Architecture(num_classes=10)), weights)
    for kept._step, loss in ((0, 0.0), (1, math.log(10) * heaviest), (2, healthy)):
        kept._require_falling(np.array([4 * loss, 0, 0, 4]))
    with pytest.raises(UserError, match="must not rise a hundredfold"):
        kept._require_falling(np.array([4 * (healthy + 300), 0, 0, 4]))


@pytest.mark.slow
def test_a_run_may_change_between_float16_and_float32(source, tmp_path, monkeypatch):
    """The loss scale rests in float32, and is where it was when float16 comes back."""
    # three steps, the other two of the epoch, and three behind its validation
    for precision, stop_at in (("mixed_float16", 3), ("float32", 2), ("mixed_float16", BATCHES + 3)):
        left = iter([False] * (stop_at - 1))
        monkeypatch.setattr(stop, "requested", lambda: next(left, True))  # noqa: B023, called in this round
        with pytest.raises(StoppedError):
            train(tmp_path / "run", source, {"training.learning_rate": 1e-3}, precision)
    newest = tmp_path / "run" / "checkpoints" / checkpoints(tmp_path / "run")[-1] / "state"
    reader = tf.train.load_checkpoint(str(newest))
    names = {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for name in reader.get_variable_to_shape_map()}
    assert {"loss_scale/scale", "loss_scale/good_steps", "first_loss"} <= names
    good_steps = int(reader.get_tensor("loss_scale/good_steps/.ATTRIBUTES/VARIABLE_VALUE"))
    scale = float(reader.get_tensor("loss_scale/scale/.ATTRIBUTES/VARIABLE_VALUE"))
    print(f"after 6 steps in float16: scale {scale}, {good_steps} good steps")
    assert good_steps + round(np.log2(2**15 / scale)) == 6  # each step is good or halves the scale


@pytest.mark.slow
def test_gradients_that_no_scale_makes_finite_end_the_run_in_any_epoch(source, tmp_path, monkeypatch):
    monkeypatch.setattr("vgg_keras.training.loss_scale.FIRST", 2.0**-9)
    monkeypatch.setattr(loop.steps.tf.math, "is_finite", lambda value: tf.zeros_like(value, tf.bool))
    monkeypatch.setattr(loop.Loop, "_require_finite_weights", lambda self: None)
    message = r"A gradient must stay finite.* at step 2, .*--set=runtime.precision=float32, whose range is wider"
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", source, {"training.learning_rate": 1e-3}, "mixed_float16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "steps", "value", "message", "newest"),
    [
        ("predictions", 7, np.nan, r"The loss must stay finite\. Received: .* at step 8, learning rate 1e-07\.", 6),
        pytest.param(
            *(
                "predictions",
                7,
                np.inf,
                r"The loss must stay finite\. Received: .* at step 8, learning rate 1e-07\.",
                6,
            ),
            marks=pytest.mark.full,  # of a loss NaN and infinity are one case
        ),
        # ReLU makes 0 of it, and the loss stays finite: the checkpoint that is due looks at the weights. (Of a NaN it makes 0
        # on some processors and NaN on others.)
        ("block3_conv1", 7, -np.inf, r"Weight block3_conv1/bias must stay .* at step 9, learning rate 1e-07\.", 6),
        ("predictions", 10, np.nan, r"The validation's loss must stay .* at step 10, learning rate 1e-07\.", 9),
    ],
)
def test_a_number_that_is_none_ends_the_run_and_no_checkpoint_holds_it(
    source, tmp_path, monkeypatch, layer, steps, value, message, newest
):
    """After so many steps the layer's bias is spoilt, as by an update that was too large."""
    make_net, make_step, nets, taken = state.build, loop.steps.train_step, [], []

    def build(*args, **kwargs):
        nets.append(make_net(*args, **kwargs))
        return nets[0]

    def train_step(*args):
        step = make_step(*args)

        def spoilt(batch):
            sums = step(batch)
            taken.append(batch)
            if len(taken) == steps:
                bias = nets[0].get_layer(layer).bias
                bias.assign(np.full(bias.shape, value, np.float32))
            return sums

        return spoilt

    monkeypatch.setattr(state, "build", build)
    monkeypatch.setattr(loop.steps, "train_step", train_step)
    monkeypatch.setattr(job.Checkpoints, "due", lambda self, step: step in (6, 9))
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", source)
    names = checkpoints(tmp_path / "run")
    assert int(names[-1][-9:]) == newest
    for name in names:
        reader = tf.train.load_checkpoint(str(tmp_path / "run" / "checkpoints" / name / "state"))
        for variable in reader.get_variable_to_shape_map():
            if variable.startswith(("model", "optimizer")):
                assert np.isfinite(reader.get_tensor(variable)).all()
