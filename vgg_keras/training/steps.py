"""One update and one validation batch, as traced functions, for any number of devices.

Two devices must give the same update as one (3.1: synchronous, "exactly the same as with a single GPU"). So every image
carries its share of the step's mean as a weight, and gradients are summed over micro-batches and devices. Images of weight
0 only pad the batch: they are cut off before the net.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from vgg_keras import runtime
from vgg_keras.config import Config
from vgg_keras.training.loss_scale import LossScale
from vgg_keras.training.objectives import Objective
from vgg_keras.training.state import TrainingState

# What a step sums over its images. Of boxes the second and the third are the wrong ones and the sum of their intersections over
# union.
LOSS, TOP1_WRONG, TOP5_WRONG, IMAGES = range(4)
DECISIONS_WRONG, DECISIONS = TOP1_WRONG, TOP5_WRONG  # of a multi-label set


def train_step(
    strategy: tf.distribute.Strategy, state: TrainingState, config: Config, objective: Objective
) -> Callable[[tuple], tf.Tensor]:
    """The traced update: per-device (images, labels, weights) in, the sums over all devices, (4,) float64, out.

    Dropout is a function of (seed, step, device, micro-batch, layer); the optimizer's `iterations` is the step.

    Args:
        strategy: whose scope holds the state.
        state: of `create_state`.
        config: its `seed`, `data.micro_batch` and `training` are read.
        objective: of `objectives.of`.
    """
    model, optimizer, training, seed = state.model, state.optimizer, config.training, config.seed
    micro_batch = config.data.micro_batch
    variables = [variable.value for variable in model.trainable_variables]
    moving = _moving_averages(model)
    loss_scale = state.loss_scale if state.scales_loss else None
    gradients_of = _gradients(model, variables, moving, objective, loss_scale)
    update = compiled_update(strategy, model, optimizer)

    def replica_gradients(images, labels, weights):
        replica_seed = _replica_seed(seed, optimizer.iterations)

        # A convolution cannot run on no image at all: a device without one takes one of weight 0.
        count = tf.maximum(tf.math.count_nonzero(weights, dtype=tf.int32), 1)
        one_part = not micro_batch or micro_batch >= images.shape[0]
        images, labels, weights = images[:count], labels[:count], weights[:count]
        averages = [tf.convert_to_tensor(variable.value) for variable in moving]

        if one_part:
            gradients, averages, sums = gradients_of(images, labels, weights, replica_seed, averages)
        else:
            batch, zeros = (images, labels, weights), [tf.zeros_like(variable) for variable in variables]
            gradients, averages, sums = _over_parts(gradients_of, micro_batch, batch, replica_seed, zeros, averages)
        return gradients, averages, weights[0] > 0, sums

    def replica_update(gradients, averages, has_image):
        _assign_mean(moving, averages, has_image)
        update(_clipped(gradients, training.clip_norm) if training.clip_norm else gradients)

    def replica_step(*batch):
        *found, sums = replica_gradients(*batch)
        replica_update(*found)
        return sums

    # No XLA for the net: on a CPU it makes a VGG step two to four times slower, and under a strategy it fails. No AutoGraph:
    # nothing here needs it, and to rewrite the functions takes a second at the start.
    @tf.function(jit_compile=False, autograph=False)
    def step(batch):
        if not state.scales_loss:
            sums = strategy.run(replica_step, args=batch)
        else:
            sums = _scaled_step(strategy, state, replica_gradients, replica_update, batch)
        if state.averaged is not None:
            _move_averages(strategy, state, training.average_decay)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return step


def _replica_seed(seed: int, step: tf.Variable) -> tf.Tensor:
    """The seed of a device's dropout in a step."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    step_seed = tf.random.fold_in(tf.constant([seed, 1], tf.int32), tf.cast(step, tf.int32))
    return tf.random.fold_in(step_seed, tf.cast(replica, tf.int32))


def _moving_averages(model: keras.Model) -> list:
    """Batch norm's moving means and variances, of the layers that are not frozen."""
    normalizing = [
        layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    return [weight for layer in normalizing for weight in layer.non_trainable_weights]


def _gradients(model: keras.Model, variables, moving, objective: Objective, loss_scale: LossScale | None) -> Callable:
    """A function of images, labels, weights, a seed and batch norm's averages; nothing is assigned.

    It returns the gradients of a micro-batch's summed loss, the averages after it, and its sums.
    """
    dropout_states = [layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")]

    def gradients_of(images, labels, weights, seed, moving_values):
        seeds = [tf.bitcast(tf.random.fold_in(seed, layer), tf.uint32) for layer in range(len(dropout_states))]
        # Keras's dropout draws from a variable, which all devices share. Inside this scope it reads our seeds instead,
        # and batch norm's new averages are kept as values, which a while loop can carry.
        mapping = [*zip(dropout_states, seeds, strict=True), *zip(moving, moving_values, strict=True)]
        scale = tf.convert_to_tensor(loss_scale.scale) if loss_scale else None
        with tf.GradientTape() as tape:
            with keras.StatelessScope(mapping) as scope:
                logits = model(images, training=True)
            of_images = objective.losses(logits, labels)
            loss = tf.reduce_sum(of_images * weights)
            scaled = loss * scale if loss_scale else loss
        gradients = tape.gradient(scaled, variables)
        return (
            [gradient / scale for gradient in gradients] if loss_scale else gradients,
            [scope.get_current_value(variable) for variable in moving],
            objective.sums(logits, labels, of_images, weights),
        )

    return gradients_of


def _clipped(gradients: list[tf.Tensor], longest: float) -> list[tf.Tensor]:
    """Shortened so that the whole batch's gradient, the sum over all devices, is at most so long.

    Keras's `global_clipnorm` would clip each device's part by itself.
    """
    context = tf.distribute.get_replica_context()
    norm = tf.linalg.global_norm(context.all_reduce(tf.distribute.ReduceOp.SUM, gradients))
    factor = tf.minimum(1.0, longest / tf.maximum(norm, 1e-30))  # of a gradient of 0: 1
    return [gradient * factor for gradient in gradients]


def _scaled_step(strategy, state: TrainingState, replica_gradients, replica_update, batch):
    """A step in float16: without an update where a gradient of any device is not finite.

    `iterations` moves on either way: it is the clock of the images too. So a skipped step counts for the schedule, and for
    Adam's correction of its first steps.
    """

    def checked_gradients(*batch):
        *found, sums = replica_gradients(*batch)
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in found[0]])
        return tuple(found), tf.cast(~finite, tf.int32), sums

    found, overflows, sums = strategy.run(checked_gradients, args=batch)
    finite = strategy.reduce(tf.distribute.ReduceOp.SUM, overflows, axis=None) == 0

    def apply():
        strategy.run(replica_update, args=found)
        return 0

    def skip():
        state.optimizer.iterations.assign_add(1)
        return 0

    # outside `run`: a branch inside it could not sum over devices
    tf.cond(finite, apply, skip)
    state.loss_scale.update(finite)
    return sums


def _move_averages(strategy, state: TrainingState, decay: float) -> None:
    """The averaged net a step on towards the model: its weights, and batch norm's averages (as timm's ModelEma)."""
    steps = tf.cast(state.optimizer.iterations, tf.float32)
    share = tf.minimum(decay, (1 + steps) / (10 + steps))  # as tf.train.ExponentialMovingAverage
    for average, weight in zip(state.averaged.weights, state.model.weights, strict=True):
        strategy.extended.update(
            average.value, lambda old, new: old.assign_add((1 - share) * (new - old)), args=(weight.value,)
        )


def _over_parts(gradients_of, micro_batch: int, batch, seed: tf.Tensor, zeros, averages):
    """`gradients_of` summed over the micro-batches of a device's images, one after the other.

    Unrolled instead of in a loop, all parts could be in memory at once.
    """
    count = tf.shape(batch[0])[0]

    def body(index, gradients, averages, sums):
        part = slice(index * micro_batch, (index + 1) * micro_batch)
        part_seed = tf.random.fold_in(seed, index)
        more, averages, part_sums = gradients_of(*(values[part] for values in batch), part_seed, averages)
        gradients = [old + new for old, new in zip(gradients, more, strict=True)]
        return index + 1, gradients, averages, sums + part_sums

    state = (tf.constant(0), zeros, averages, tf.zeros([4], tf.float64))
    _, *found = tf.while_loop(lambda index, *_: index * micro_batch < count, body, state, parallel_iterations=1)
    return found


def _assign_mean(moving, averages, has_image: tf.Tensor) -> None:
    """Assigns batch norm's averages: their mean over the devices that had an image, so that all devices keep one net.

    Keras's own assignment would give each device averages of its own.
    """
    if not moving:
        return
    real = tf.cast(has_image, tf.float32)
    context = tf.distribute.get_replica_context()
    *summed, devices = context.all_reduce(tf.distribute.ReduceOp.SUM, [*(real * value for value in averages), real])
    for variable, value in zip(moving, summed, strict=True):
        variable.assign(value / devices)


def compiled_update(
    strategy: tf.distribute.Strategy, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Callable[[list[tf.Tensor]], None]:
    """The optimizer's step, a function of the gradients; on a single CPU compiled by XLA.

    Keras makes ten passes over weights and velocities, XLA one: with D's 138 million it took a third of the time. Under a
    strategy of several devices it cannot be compiled; on a GPU it was not measured.
    """

    def update(gradients):
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return tf.function(update, jit_compile=True, autograph=False) if runtime.compiles_update(strategy) else update


def validation_step(
    strategy: tf.distribute.Strategy, model: keras.Model, objective: Objective
) -> Callable[[tuple], tuple]:
    """The traced forward pass, a function of per-device (images, labels, weights).

    It returns the sums over all devices, (4,) float64, and what the measures of classes need: `objective.of_classes` summed over
    all devices, of a multi-label set that of all images.
    """

    def replica_step(images, labels, weights):
        logits = model(images, training=False)
        sums = objective.sums(logits, labels, objective.validation_losses(logits, labels), weights)
        return sums, objective.of_classes(logits, labels, weights)

    @tf.function(jit_compile=False, autograph=False)
    def step(batch):
        sums, of_classes = strategy.run(replica_step, args=batch)
        total = strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        if model.architecture.multi_label:
            return total, strategy.gather(of_classes, axis=0)
        return total, strategy.reduce(tf.distribute.ReduceOp.SUM, of_classes, axis=None)

    return step
