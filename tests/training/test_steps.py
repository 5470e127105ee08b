"""One update is the same on one device and on two, in one piece and in micro-batches, with full and partial batches."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import free_ports
from tests.training.toy import a_step
from tests.training.updates import main as run_updates
from tests.warm import Warm
from vgg_keras.cluster import Cluster
from vgg_keras.config import Architecture, Config, Training
from vgg_keras.evaluation import metrics
from vgg_keras.nets.builder import build
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.training import epoch_measures, losses, objectives, steps
from vgg_keras.training.optimizer import build_optimizer
from vgg_keras.training.trained_layers import rate_factors

WEIGHTED = "architecture.multi_label=true training.class_weights=balanced training.label_smoothing=0.1"
OPTIONS = "training.clip_norm=0.5 training.average_decay=0.5 training.rate_factors=predictions:3"
BOTH = f"{OPTIONS} {WEIGHTED}"
FLOAT16 = "runtime.precision=mixed_float16 training.learning_rate=1e-4"
# Images, those of the last batch, batch norm, changes. What workers have by -m full alone, two devices have by default.
OF_WORKERS = [(11, 3, 0, BOTH), (1, 1, 1, "")]
MORE_OF_WORKERS = [
    (11, 3, 0, ""),
    (9, 1, 0, ""),
    (11, 3, 0, OPTIONS),
    (11, 3, 0, WEIGHTED),
    (11, 3, 0, "architecture.boxes=pcr"),
    (11, 3, 0, f"{OPTIONS} {FLOAT16}"),
]


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    """Weights and sums after 5 updates, computed once for each setting; a process each, since strategies collide."""
    folder, known = tmp_path_factory.mktemp("updates"), {}

    def run(devices, images, batch=4, micro_batch=0, dropout=0.0, batch_norm=0, steps=5, same=0, changes=""):
        setting = tuple(map(str, (devices, images, batch, micro_batch, dropout, batch_norm, steps, same, changes)))
        if setting not in known:
            out = folder / f"{len(known)}.npz"
            process = Warm(run_updates, *setting, out, folder=folder, log=out.with_suffix(".log"))
            assert process.wait() == 0, out.with_suffix(".log").read_text()
            with np.load(out) as arrays:
                known[setting] = {name: arrays[name] for name in arrays.files}
        return known[setting]

    return run


def weights_of(update):
    """The names of the weights in what `updates` returns."""
    return [name for name in update if name not in ("sums", "copies", "measures", "moved")]


def largest_difference(one, other):
    """Of a weight, or for batch norm's averages above 1, which are of pixels squared, relative to them."""
    names = weights_of(one)
    return max((np.abs(one[name] - other[name]) / np.maximum(np.abs(other[name]), 1)).max() for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "last"),
    # a last batch of 3 has the test of BOTH too
    [(9, 1), *(pytest.param(*given, marks=pytest.mark.full) for given in ((11, 3), (12, 4)))],
)
def test_two_devices_give_the_update_of_one(updates, images, last):
    one, two = updates(1, images), updates(2, images)
    assert list(one["sums"][:, steps.IMAGES]) == [4, 4, last, 4, 4]
    difference = largest_difference(one, two)
    print(f"last batch of {last}: largest weight difference {difference:.2g}")
    assert np.abs(one["sums"]).max() > 0
    assert difference <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "without"),
    [
        (BOTH, OPTIONS),
        *(pytest.param(given, "", marks=pytest.mark.full) for given in (WEIGHTED, "training.class_weights=1,0.5,3,2")),
    ],
)
def test_class_weights_and_several_labels_are_the_same_over_devices_and_micro_batches(updates, changes, without):
    """The clipped length is that of the whole batch's gradient; Keras's own clipping is off by 2.5e-2 here."""
    one, plain = updates(1, 11, changes=changes), updates(1, 11, changes=without)
    other = updates(2, 11, micro_batch=1, changes=changes)
    difference = largest_difference(one, other)
    print(f"{changes}: largest weight difference {difference:.2g}")
    assert difference <= 1e-6 and np.allclose(one["sums"], other["sums"], atol=1e-5)
    assert np.allclose(one["measures"], other["measures"], atol=1e-4)
    print(f"validation: {one['measures']}")
    assert ("average_decay" in changes) == any(name.startswith("averaged/") for name in one)
    assert largest_difference(one, plain) > 1e-4  # the weights count


@pytest.mark.slow
@pytest.mark.parametrize(
    "cases", [OF_WORKERS, pytest.param(MORE_OF_WORKERS, marks=pytest.mark.full)], ids=["few", "more"]
)
def test_two_workers_give_the_update_of_one_process(updates, tmp_path, cases):
    """Each a process of its own with a device of its own, over the loopback network."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    both = []
    for rank in range(2):
        settings = [
            (2, images, 4, 0, 0.0, norm, 5, 0, changes, tmp_path / f"{case}-{rank}.npz")
            for case, (images, _, norm, changes) in enumerate(cases)
        ]
        arguments = [str(value) for setting in settings for value in setting]
        environment, log = {"TF_CONFIG": Cluster(addresses, rank).tf_config()}, tmp_path / f"{rank}.log"
        both.append(Warm(run_updates, *arguments, folder=tmp_path, log=log, environment=environment))
    assert [worker.wait() for worker in both] == [0, 0], (tmp_path / "0.log").read_text()
    for case, (images, last, norm, changes) in enumerate(cases):
        one = updates(1, images, batch_norm=norm, changes=changes)
        found = []
        for rank in range(2):
            with np.load(tmp_path / f"{case}-{rank}.npz") as arrays:
                found.append({name: arrays[name] for name in arrays.files})
            assert found[rank]["sums"][2, steps.IMAGES] == last
        difference = max(largest_difference(one, worker) for worker in found)
        print(f"last batch of {last}, two workers, {changes}: largest weight difference {difference:.2g}")
        assert largest_difference(*found) == 0  # they hold one net
        in_float16 = "float16" in changes  # which a CPU adds up in float16, see below
        assert difference <= (1e-3 if in_float16 else 1e-6)
        assert all(np.allclose(worker["sums"], one["sums"], atol=1e-1 if in_float16 else 1e-5) for worker in found)
        for worker in found if not in_float16 else ():  # whose errors change by whole images
            assert np.allclose(worker["measures"], one["measures"], atol=1e-4)


def test_a_validation_ranks_the_images_of_a_sure_net():
    """Above a logit of 16.6 every sigmoid of float32 is 1: the first class would be one tie."""
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.int8)
    logits = np.array([[40.0, 1.0], [20.0, 3.0], [30.0, 2.0], [25.0, 0.0]], np.float32)

    class Net:
        architecture = Architecture("A", num_classes=2, multi_label=True)

        def __call__(self, images, training):
            return images

    found = epoch_measures.Validation(Net.architecture)
    weights = np.array([[1, 1], [5, 7]], np.float32)
    training = Config(Net.architecture, training=Training(label_smoothing=0.3))
    step = steps.validation_step(tf.distribute.get_strategy(), Net(), objectives.of(training, weights))
    found.add(*(one.numpy() for one in step((tf.constant(logits), tf.constant(labels), tf.ones(4)))))
    assert found.measures()["val_mean_average_precision"] == 100
    by_keras = keras.losses.BinaryCrossentropy(from_logits=True)(labels.astype(np.float32), logits)
    assert found.measures()["val_loss"] == pytest.approx(float(by_keras))  # without weights of classes and smoothing


@pytest.mark.slow
def test_micro_batches_give_the_update_of_the_whole_batch(updates):
    difference = largest_difference(updates(1, 9), updates(1, 9, micro_batch=3))
    print(f"micro-batches of 3 in a batch of 4: largest weight difference {difference:.2g}")
    assert difference <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgdw", "l2", "adam"])
def test_the_compiled_update_is_the_optimizers_own(random, name):
    """Ten steps with the same gradients, compiled for one CPU and as Keras makes them; the rate changes on the way."""
    training = Training(optimizer=name, learning_rate=0.05, weight_decay=1e-2, l2=1e-2)
    nets = []
    for strategy in (tf.distribute.OneDeviceStrategy("/cpu:0"), tf.distribute.get_strategy()):
        with strategy.scope():
            model = build("A", num_classes=4, crop=32, width=1 / 16, seed=1)
            optimizer = build_optimizer(training, {})
            optimizer.build(model.trainable_variables)
        nets.append((model, optimizer, steps.compiled_update(strategy, model, optimizer)))
    assert hasattr(nets[0][2], "experimental_get_compiler_ir")  # the first one is compiled, the second is not
    assert not hasattr(nets[1][2], "experimental_get_compiler_ir")
    for step in range(10):
        gradients = [
            tf.constant(random.normal(0, 0.1, weight.shape), tf.float32) for weight in nets[0][0].trainable_variables
        ]
        for _, optimizer, update in nets:
            optimizer.learning_rate.assign(0.05 if step < 5 else 0.005)
            update(gradients)
    (one, first, _), (other, second, _) = nets
    assert int(first.iterations) == int(second.iterations) == 10
    differences = [
        np.abs(ours.numpy() - theirs.numpy()).max()
        for ours, theirs in zip(one.weights + first.variables, other.weights + second.variables, strict=True)
    ]
    print(f"{name}: largest difference of a weight or an optimizer's variable {max(differences):.2g}")
    assert max(differences) <= 1e-6


def steps_by_hand(model, batches, training, factors):
    """The recipe's options in NumPy, float64, on gradients of Keras's own loss: final weights, and their averages."""
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=training.label_smoothing)
    weights = {weight.path: weight.numpy().astype(np.float64) for weight in model.trainable_variables}
    velocities = {path: np.zeros(value.shape) for path, value in weights.items()}
    averages = {path: value.copy() for path, value in weights.items()}
    for step, (images, labels, _) in enumerate(batches, start=1):
        with tf.GradientTape() as tape:
            loss = loss_of(tf.one_hot(labels, 4), model(images, training=False))
        found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        gradients = {path: value.numpy().astype(np.float64) for path, value in zip(weights, found, strict=True)}
        norm = np.sqrt(sum((value**2).sum() for value in gradients.values()))
        for path, value in weights.items():
            factor = factors.get(path.split("/")[0], 1.0)
            rate = training.learning_rate * factor
            gradient = gradients[path] * (min(1, training.clip_norm / norm) if training.clip_norm else 1)
            if value.ndim > 1:
                value = value * (1 - training.weight_decay * factor)
            velocities[path] = training.momentum * velocities[path] - rate * gradient
            ahead = training.momentum * velocities[path] - rate * gradient
            weights[path] = value + (ahead if training.nesterov else velocities[path])
            share = min(training.average_decay, (1 + step) / (10 + step))
            averages[path] = share * averages[path] + (1 - share) * weights[path]
        for variable in model.trainable_variables:
            variable.assign(weights[variable.path])
    return weights, averages


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        ["training.label_smoothing=0.1"],
        ["training.clip_norm=0.5"],
        ["training.average_decay=0.5"],
        ["training.rate_factors=predictions:10,block5:0.1,fc1:3", "training.nesterov=true"],
        ["training.label_smoothing=0.2", "training.clip_norm=1", "training.average_decay=0.25", "data.micro_batch=2"],
    ],
)
def test_the_recipes_options_equal_a_loop_in_numpy(random, changes):
    common = ["training.weight_decay=1e-3", "training.learning_rate=1e-3", "architecture.dropout=0"]
    state, step = a_step(*common, *changes)
    by_hand, _ = a_step(*common)
    training = override(Config(), parse_assignments(changes)).training
    training = dataclasses.replace(training, weight_decay=1e-3, learning_rate=1e-3)
    batches = [
        (
            tf.constant(random.uniform(0, 255, (4, 32, 32, 3)), tf.float32),
            tf.constant(random.integers(0, 4, 4), tf.int32),
            tf.fill([4], 0.25),
        )
        for _ in range(4)
    ]
    factors = rate_factors(Architecture("A", num_classes=4), training.rate_factors)
    weights, averages = steps_by_hand(by_hand.model, batches, training, factors)
    before = {weight.path: weight.numpy() for weight in state.model.trainable_variables}
    for batch in batches:
        step(batch)
    for net, expected in ((state.model, weights), *([(state.averaged, averages)] if state.averaged else [])):
        difference = max(np.abs(weight.numpy() - expected[weight.path]).max() for weight in net.trainable_variables)
        moved = max(np.abs(expected[path] - value).max() for path, value in before.items())
        print(f"{changes}: largest difference {difference:.2g} of weights that moved by up to {moved:.2g}")
        # oneDNN rounds otherwise in micro-batches than in a batch, which moves single ReLUs: 5e-6
        assert difference <= 1e-5 < 1e-4 < moved


@pytest.mark.slow
def test_the_averaged_net_has_averages_of_batch_norms_own_averages(random):
    """Of every weight, trained or not, against NumPy on the net's weights after each step."""
    state, step = a_step("architecture.batch_norm=true", "training.average_decay=0.3", "training.learning_rate=1e-3")
    expected = [weight.numpy().astype(np.float64) for weight in state.model.weights]
    first = [value.copy() for value in expected]
    for number in range(1, 6):
        images = tf.constant(random.uniform(0, 255, (4, 32, 32, 3)), tf.float32)
        step((images, tf.constant([0, 1, 2, 3]), tf.fill([4], 0.25)))
        share = min(0.3, (1 + number) / (10 + number))  # 2 of 11, 3 of 12, 4 of 13, then 0.3
        expected = [
            share * old + (1 - share) * new.numpy() for old, new in zip(expected, state.model.weights, strict=True)
        ]
    for trained in (True, False):
        rows = [
            (average.numpy(), truth, before)
            for average, truth, before in zip(state.averaged.weights, expected, first, strict=True)
            if average.trainable == trained
        ]
        difference = max(
            np.abs(average - truth).max() / np.abs(truth).max() for average, truth, _ in rows if truth.any()
        )
        moved = min(np.abs(truth - before).max() for _, truth, before in rows)
        print(
            f"trained {trained}: largest difference {difference:.2g} of the largest; each moved by {moved:.2g} or more"
        )
        assert difference <= 1e-5 and moved > 0


@pytest.mark.slow
@pytest.mark.parametrize("heaviest", [100, 3000])
def test_heavy_classes_move_the_weights_in_float16_as_in_float32(random, heaviest):
    """The loss scale makes room for them: steps whose gradients overflow are skipped, and the others go the same way."""
    common = [f"training.class_weights=1,{heaviest},20,0", "training.learning_rate=1e-7", "training.weight_decay=0"]
    batch = (
        tf.constant(random.uniform(0, 255, (4, 32, 32, 3)), tf.float32),
        tf.constant([0, 1, 2, 3]),
        tf.fill([4], 0.25),
    )
    moves, losses = [], []
    for precision in ("float32", "mixed_float16"):
        state, step = a_step(*common, f"runtime.precision={precision}", "architecture.dropout=0", "training.momentum=0")
        before = [weight.numpy() for weight in state.model.trainable_variables]
        losses += [float(step(batch)[steps.LOSS]) for _ in range(12)][:1]
        moved = [weight.numpy() - old for weight, old in zip(state.model.trainable_variables, before, strict=True)]
        moves.append(np.concatenate([one.ravel() for one in moved]).astype(np.float64))
    in_float32, in_float16 = moves
    cosine = in_float32 @ in_float16 / np.linalg.norm(in_float32) / np.linalg.norm(in_float16)
    applied = np.linalg.norm(in_float16) / np.linalg.norm(in_float32) * 12
    print(f"weight {heaviest}: cosine {cosine:.6f}, {applied:.1f} of 12 updates, losses {losses}")
    assert losses[1] == pytest.approx(losses[0], rel=0.02) and losses[0] > 50
    assert cosine > 0.99 and 1 < applied < 12.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "share"),
    [
        pytest.param(OPTIONS, 1e-3, marks=pytest.mark.full),  # by default with class weights, above
        # a CPU adds up float16 in float16: 0.3. A device's part alone, or another scale, would be off by 1 or more
        (FLOAT16, 0.5),
    ],
)
def test_two_devices_give_the_update_of_one_with_options(updates, changes, share):
    one, two = updates(1, 11, changes=changes), updates(2, 11, changes=changes)
    names = weights_of(one)
    difference = np.mean([np.abs(two[name] - one[name]).mean() for name in names])
    print(f"{changes}: mean weight difference {difference:.2g} of weights that moved by {one['moved']:.2g}")
    assert difference <= share * one["moved"]
    assert ("average_decay" in changes) == any(name.startswith("averaged/") for name in one)


@pytest.mark.slow
def test_masks_change_from_step_to_step_and_with_the_seed(random):
    """With a rate of next to nothing the weights stay, so what changes the loss of one batch is the mask alone."""
    images = tf.constant(random.uniform(0, 255, (2, 32, 32, 3)), tf.float32)
    batch = (images, tf.constant([0, 1]), tf.constant([0.5, 0.5]))
    losses = []
    for seed in (3, 3, 4):
        _, step = a_step("training.learning_rate=1e-12", f"seed={seed}")
        losses.append([float(step(batch)[steps.LOSS]) for _ in range(3)])
    print(f"losses of three steps: {losses}")
    assert losses[0] == losses[1]
    assert len({*losses[0], *losses[2]}) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dropout", "equal"),
    [(0.5, False), pytest.param(0.0, True, marks=pytest.mark.full)],  # the second is the first one's control
)
def test_devices_draw_different_masks(updates, dropout, equal):
    """Two devices with one image each, the same one: equal masks would make the sum twice the first device's loss."""
    first = updates(1, 2, batch=1, dropout=dropout, steps=1, same=1)["sums"][0, steps.LOSS]
    both = updates(2, 2, batch=2, dropout=dropout, steps=1, same=1)["sums"][0, steps.LOSS]
    print(f"dropout {dropout}: one device's loss {first:.4f}, two devices' sum {both:.4f}")
    assert (abs(both - 2 * first) < 1e-5) == equal


@pytest.mark.slow
def test_batch_norm_averages_equal_kerass_own_over_the_same_parts(random):
    """A micro-batch is a batch to batch norm: the averages are those of Keras's layers, fed one part after the other."""
    changes = ("architecture.batch_norm=true", "architecture.dropout=0", "training.learning_rate=1e-12")
    state, step = a_step(*changes, "data.micro_batch=2")
    ours, keras_own = state.model, a_step(*changes)[0].model
    images = tf.constant(random.uniform(0, 255, (5, 32, 32, 3)), tf.float32)
    step((images, tf.constant([0, 1, 2, 3, 0]), tf.fill([5], 0.2)))
    for part in (images[:2], images[2:4], images[4:]):
        keras_own(part, training=True)
    difference = largest_difference(
        *({w.path: w.numpy() for w in net.non_trainable_weights} for net in (ours, keras_own))
    )
    print(f"batch norm's averages: largest difference {difference:.2g}")
    assert difference <= 1e-5
    untouched = build("A", num_classes=4, crop=32, width=1 / 16, batch_norm=True)
    moved = zip(ours.non_trainable_weights, untouched.non_trainable_weights, strict=True)
    assert all(np.abs(new.numpy() - old.numpy()).max() > 1e-3 for new, old in moved)


@pytest.mark.slow
@pytest.mark.parametrize("changes", ["", pytest.param("training.average_decay=0.5", marks=pytest.mark.full)])
def test_batch_norm_over_two_devices_keeps_one_net(updates, changes):
    """The devices' averages are their mean: equal on both, and for the first layer's mean the whole batch's."""
    one, two = (updates(devices, 8, batch_norm=1, steps=1, changes=changes) for devices in (1, 2))
    assert two["copies"] == 0  # the largest difference between the devices' copies of any weight
    assert np.isfinite(largest_difference(one, two))
    assert bool(changes) == any(name.startswith("averaged/") for name in two)  # the averaged net is one on both too
    mean = next(name for name in one if name.endswith("block1_conv1_bn/moving_mean"))
    difference = np.abs(one[mean] - two[mean]).max()
    print(f"first layer's moving mean, one device against two: {difference:.2g}")
    assert difference <= 1e-6 and np.abs(one[mean]).max() > 1e-2


@pytest.mark.full  # two workers have this case, (1, 1, 1, "")
def test_a_device_without_an_image_does_not_count(updates):
    one, two = updates(1, 1, batch_norm=1), updates(2, 1, batch_norm=1)
    difference = largest_difference(one, two)
    print(f"one image on two devices, with batch norm: largest difference {difference:.2g}")
    assert difference <= 1e-6


def test_label_ranks_in_a_graph_equal_those_in_numpy(random):
    scores = random.integers(0, 4, (200, 7)).astype(np.float32)  # with ties
    scores[3] = np.nan
    labels = random.integers(0, 7, 200).astype(np.int32)
    assert np.array_equal(
        losses.label_ranks(tf.constant(scores), tf.constant(labels)), metrics.label_ranks(scores, labels)
    )
