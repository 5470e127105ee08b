"""Both weight decays against their formulas in a NumPy loop."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.config import Training
from vgg_keras.errors import UserError
from vgg_keras.nets.builder import build
from vgg_keras.training.optimizer import SGDW, CoupledSGD, build_optimizer
from vgg_keras.training.trained_layers import rate_factors

RATES = [0.1] * 10 + [0.01] * 10


def numpy_steps(kind, gradients, weight, decay, momentum, nesterov, rates):
    """The docstrings' formulas in float64."""
    weight, velocity = weight.astype(np.float64), np.zeros(weight.shape)
    for gradient, rate in zip(gradients, rates, strict=True):
        gradient = gradient.astype(np.float64)
        if weight.ndim > 1 and kind is SGDW:
            weight = weight * (1 - decay * rate / rates[0])
        if weight.ndim > 1 and kind is CoupledSGD:
            gradient = gradient + decay * weight
        velocity = momentum * velocity - rate * gradient
        weight = weight + (momentum * velocity - rate * gradient if nesterov else velocity)
    return weight


@pytest.mark.parametrize("kind", [SGDW, CoupledSGD])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("how", ["assigned", "schedule"])
def test_twenty_steps_with_a_division_of_the_rate(random, kind, nesterov, how):
    start = {"kernel": random.normal(size=(4, 3)), "bias": random.normal(size=3)}
    gradients = {name: random.normal(size=(20, *value.shape)).astype(np.float32) for name, value in start.items()}
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([9], [0.1, 0.01])
    optimizer = kind(0.02, schedule if how == "schedule" else 0.1, momentum=0.9, nesterov=nesterov)
    variables = {name: keras.Variable(value.astype(np.float32), name=name) for name, value in start.items()}
    for step, rate in enumerate(RATES):
        if how == "assigned":
            optimizer.learning_rate.assign(rate)
        optimizer.apply_gradients([(gradients[name][step], variables[name]) for name in start])
    for name in start:
        expected = numpy_steps(kind, gradients[name], start[name].astype(np.float32), 0.02, 0.9, nesterov, RATES)
        difference = np.abs(variables[name].numpy() - expected).max()
        print(f"{kind.__name__} {name}: largest difference {difference:.2g}")
        assert difference <= 2e-6


@pytest.mark.parametrize("name", ["sgdw", "l2", "adam"])
def test_a_rate_factor_is_another_rate_whose_decay_follows(random, name):
    """A layer with a factor takes the steps that it takes alone, at a rate and a decay of so many times."""
    rules = Training(optimizer=name, learning_rate=0.01, weight_decay=0.02, l2=0.02)
    gradients = random.normal(size=(8, 4, 3)).astype(np.float32)

    def after(training, factors):
        variables = [keras.Variable(np.ones((4, 3), np.float32), name="kernel") for _ in "ab"]
        for variable, layer in zip(variables, ("block5_conv1", "predictions"), strict=True):
            variable._path = f"{layer}/kernel"
        optimizer = build_optimizer(training, factors)
        optimizer.build(variables)
        for gradient in gradients:
            optimizer.apply_gradients([(gradient, variable) for variable in variables])
        return [variable.numpy() for variable in variables]

    plain, scaled = after(rules, {"predictions": 10.0})
    faster = Training(**{**dataclasses.asdict(rules), "learning_rate": 0.1, "weight_decay": 0.2})
    for ours, expected in ((plain, after(rules, {})[0]), (scaled, after(faster, {})[1])):
        difference = np.abs(ours - expected).max()
        print(f"{name}: largest difference {difference:.2g}")
        assert difference <= 1e-6
    assert np.abs(plain - scaled).max() > 1e-2


def test_batch_norm_has_the_rate_of_its_convolution():
    """Its layer has a name of its own, NAME_bn, in a net as it is built."""
    net = build("A", num_classes=2, crop=32, width=1 / 64, batch_norm=True)
    factors = rate_factors(net.architecture, ["block5:0.1", "block1_conv1:3"])
    optimizer = build_optimizer(Training(learning_rate=0.5, weight_decay=0, momentum=0), factors)
    optimizer.build(net.trainable_variables)
    before = {variable.path: variable.numpy() for variable in net.trainable_variables}
    optimizer.apply_gradients([(np.ones(variable.shape, np.float32), variable) for variable in net.trainable_variables])
    moved = {variable.path: before[variable.path] - variable.numpy() for variable in net.trainable_variables}
    expected = {path: {"block1": 1.5, "block5": 0.05}.get(path.partition("_")[0], 0.5) for path in moved}
    differences = {path: np.abs(value - expected[path]).max() for path, value in moved.items()}
    print(f"largest difference {max(differences.values()):.1e}; {[path for path in moved if '_bn/' in path][:2]}, ...")
    assert max(differences.values()) <= 1e-6 and sum("block5_conv1_bn/" in path for path in moved) == 2


def test_adam_is_kingma_and_bas_algorithm_1_with_the_momentum_as_beta_1(random):
    weight, gradients = np.ones((4, 3)), random.normal(size=(20, 4, 3)).astype(np.float32)
    optimizer = build_optimizer(
        Training(optimizer="adam", learning_rate=1e-2, momentum=0.8, weight_decay=0.5, l2=0.5), {}
    )
    variable = keras.Variable(weight.astype(np.float32))
    first, second = np.zeros(weight.shape), np.zeros(weight.shape)
    for step, gradient in enumerate(gradients.astype(np.float64), start=1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight = weight - 1e-2 * (first / (1 - 0.8**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
        optimizer.apply_gradients([(gradient.astype(np.float32), variable)])
    difference = np.abs(variable.numpy() - weight).max()
    print(f"Adam: largest difference {difference:.2g}")
    assert difference <= 2e-6


@pytest.mark.parametrize("kind", [SGDW, CoupledSGD])
def test_kerass_exclusions_from_weight_decay_count(kind):
    """By the variable, and by a word in its name; inside a traced step Keras hands TensorFlow's variables on."""
    net = build("A", num_classes=2, crop=32, width=1 / 64, dropout=0.0, seed=0)
    kept, layer = net.get_layer("predictions").kernel, keras.layers.Dense(2, name="other")
    layer.build((None, 3))
    layer.kernel.assign(np.ones((3, 2)))
    for given in ({"var_list": [kept, layer.kernel]}, {"var_names": ["kernel"]}):
        optimizer = kind(0.5, 0.1)
        optimizer.exclude_from_weight_decay(**given)
        variables = [kept, layer.kernel, net.get_layer("fc1").kernel]
        before = [variable.numpy() for variable in variables]
        step = tf.function(lambda: optimizer.apply_gradients([(tf.zeros(one.shape), one) for one in variables]))  # noqa: B023
        step()
        changed = [not np.array_equal(old, one.numpy()) for old, one in zip(before, variables, strict=True)]
        assert changed == [False, False, "var_list" in given]


@pytest.mark.slow
def test_the_papers_decay_in_both_forms():
    """At steady state L2 5e-4 at rate 1e-2 and momentum 0.9 takes 5e-5 of a weight a step; SGDW(5e-5) does from the start."""
    weights = {}
    for optimizer in (SGDW(5e-5, 1e-2, 0.9), CoupledSGD(5e-4, 1e-2, 0.9)):
        variable = keras.Variable(np.ones((1, 1), np.float32))
        last = []
        for _ in range(200):
            before = float(variable.numpy()[0, 0])
            optimizer.apply_gradients([(np.zeros((1, 1), np.float32), variable)])
            last.append(1 - float(variable.numpy()[0, 0]) / before)
        weights[type(optimizer)] = np.mean(last[-50:])
    print({kind.__name__: f"{share:.3g}" for kind, share in weights.items()})
    assert weights[SGDW] == pytest.approx(5e-5, rel=0.01)
    assert weights[CoupledSGD] == pytest.approx(5e-5, rel=0.01)


def test_a_saved_optimizer_keeps_the_rate_that_its_decay_is_measured_by():
    optimizer = SGDW(0.1, 1.0)
    optimizer.learning_rate.assign(0.1)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    variable = keras.Variable(np.ones((1, 1), np.float32))
    restored.apply_gradients([(np.zeros((1, 1), np.float32), variable)])
    assert float(variable.numpy()[0, 0]) == pytest.approx(0.99, abs=1e-6)


@pytest.mark.parametrize("kind", [SGDW, CoupledSGD])
@pytest.mark.parametrize("decay", [-0.1, None, "1e-4"])
def test_a_decay_out_of_range_is_refused(kind, decay):
    with pytest.raises(ValueError, match=rf"must lie in \[0, 1\)\. Received: weight_decay={decay}"):
        kind(decay)


def test_a_schedule_that_begins_at_zero_needs_the_rate_that_the_decay_is_measured_by():
    warm_up = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 0.1)
    with pytest.raises(ValueError, match="initial_learning_rate must be above 0"):
        SGDW(0.1, warm_up)
    optimizer = SGDW(0.1, warm_up, initial_learning_rate=0.1)
    variable = keras.Variable(np.ones((1, 1), np.float32))
    for _ in range(3):
        optimizer.apply_gradients([(np.zeros((1, 1), np.float32), variable)])
    assert float(variable.numpy()[0, 0]) == pytest.approx(1.0 * (1 - 0.01) * (1 - 0.02), abs=1e-6)


def test_kerass_warm_up_needs_that_rate_too():
    """Measured by its first rate of 1e-6, a step at 1e-2 would take half of each weight."""
    warm_up = keras.optimizers.schedules.CosineDecay(1e-6, 1000, warmup_target=1e-2, warmup_steps=100)
    with pytest.raises(ValueError, match=r"warmup_target=0\.01\. Try initial_learning_rate=0\.01"):
        SGDW(5e-5, warm_up)
    optimizer = SGDW(5e-5, warm_up, initial_learning_rate=1e-2)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert restored.initial_learning_rate == 1e-2


@pytest.mark.parametrize("optimizer", [SGDW, CoupledSGD])
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [({"lr": 0.1}, "learning_rate"), ({"beta_1": 0.9}, "momentum"), ({"clip_norm": 1}, "clipnorm")],
)
def test_arguments_by_their_names_elsewhere_are_named(optimizer, arguments, meant):
    with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
        optimizer(5e-5, **arguments)
