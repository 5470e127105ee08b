"""Run by test_steps.py in a process of its own: a few updates over N logical CPU devices, the weights to an .npz file.

With TF_CONFIG it is one of N workers, and that worker's weights go to the file.
"""

import os
from dataclasses import replace

import numpy as np
import tensorflow as tf

from vgg_keras import runtime
from vgg_keras.config import Architecture, Config, Data, Runtime, Training
from vgg_keras.data import pipeline
from vgg_keras.data.boxes import Boxes
from vgg_keras.data.splits import Split
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.training import class_weights, epoch_measures, objectives, steps
from vgg_keras.training.state import create_state
from vgg_keras.training.workers import Workers


def main(replicas, *arguments):
    """Arguments: DEVICES IMAGES BATCH MICRO_BATCH DROPOUT BATCH_NORM STEPS SAME CHANGES FILE, all as text.

    The ten may be repeated, with the same number of devices. SAME, 1 or 0: all images are one and the same, and nothing is
    drawn but dropout. CHANGES are assignments of fields, with spaces between them; with architecture.multi_label=true every third
    image has the next class too, and every fourth ignores one. A net of boxes has a box in each image.
    """
    strategy = runtime.make_strategy(Runtime(cpu_devices=1 if "TF_CONFIG" in os.environ else int(replicas)))
    assert strategy.num_replicas_in_sync == int(replicas)
    for first in range(0, len(arguments), 10):
        make_updates(strategy, *arguments[first : first + 9])


def validated(strategy, config, split, share, model):
    """What a validation measures after the updates, in the order of an epoch's line."""
    found, step = (
        epoch_measures.Validation(config.architecture),
        steps.validation_step(strategy, model, objectives.of(config)),
    )

    def batches(_):
        return pipeline.validation(split, config.data, 32, 32, 2, *share)

    for element in strategy.distribute_datasets_from_function(batches):
        found.add(*(numbers.numpy() for numbers in step(element)))
    return np.array([value for value in found.measures().values() if value is not None])


def with_several_labels(split):
    rows = np.eye(4, dtype=np.int8)[split.labels]
    rows[::3] = np.maximum(rows[::3], np.roll(rows[::3], 1, axis=1))
    rows[np.arange(0, len(rows), 4), (split.labels[::4] + 2) % 4] = -1
    table, read = tf.constant(rows), split.read
    return replace(split, read=lambda image: (read(image)[0], tf.gather(table, image)), labels=rows)


def with_a_box_each(split):
    """Of the images of 48 rows and 40 columns; the box follows from the image's number."""
    left = np.arange(split.size, dtype=np.float32) % 12
    boxes = np.stack([left, 2 * left, left + 25, 2 * left + 20], axis=1)
    return replace(split, boxes=Boxes.of_lists(list(boxes[:, None]), [0] * split.size))


def make_updates(strategy, images, batch, micro_batch, dropout, batch_norm, updates, same, changes, out):
    workers = Workers(strategy)
    share = (strategy.num_replicas_in_sync, workers.rank, workers.count)
    noise = np.random.default_rng(0).integers(0, 256, (int(images), 48, 40, 3), np.uint8)
    if same == "1":
        noise = np.repeat(noise[:1, :32, :32], int(images), axis=0)
    encoded = tf.stack([tf.io.encode_png(image) for image in noise])
    labels = tf.range(int(images), dtype=tf.int32) % (1 if same == "1" else 4)
    split = Split(
        int(images),
        lambda image: (tf.gather(encoded, image), tf.gather(labels, image)),
        str,
        sizes=np.full((int(images), 2), noise.shape[1:3], np.int32),
        jpegs=np.zeros(int(images), bool),
        labels=labels.numpy(),
        classes=("a", "b", "c", "d"),
    )

    architecture = Architecture(
        "A",
        num_classes=4,
        width=1 / 16,
        crop=32,
        dropout=float(dropout),
        batch_norm=batch_norm == "1",
        mean=(127.0,) * 3,
    )
    data = Data(batch=int(batch), micro_batch=int(micro_batch), scale=(32, 40))
    if same == "1":
        data = replace(data, scale=(32,), flip=False, color_shift=0.0)
    config = Config(architecture, data, Training(weight_decay=1e-3), seed=1)
    config = override(config, parse_assignments(changes.split()))
    if config.architecture.multi_label:
        split = with_several_labels(split)
    if config.predicts_boxes:
        split = with_a_box_each(split)
    state = create_state(config, strategy, config.runtime.precision.replace("auto", "float32"))
    model = state.model
    basis = np.eye(3, dtype=np.float32)

    def batches(_):
        return pipeline.training(split, data, 32, basis, 5, 0, int(updates), *share)

    before = {weight.path: weight.numpy() for weight in model.weights}
    step = steps.train_step(
        strategy, state, config, objectives.of(config, class_weights.of_classes(config.training, split))
    )
    sums = [step(element).numpy() for element in strategy.distribute_datasets_from_function(batches)]
    weights = model.weights + (state.averaged.weights if state.averaged is not None else [])
    copies = [strategy.experimental_local_results(weight.value) for weight in weights]
    apart = max(float(tf.reduce_max(tf.abs(copy - values[0]))) for values in copies for copy in values)
    named = {weight.path: weight.numpy() for weight in model.weights}
    moved = np.mean([np.abs(value - before[path]).mean() for path, value in named.items()])
    if state.averaged is not None:
        named |= {f"averaged/{weight.path}": weight.numpy() for weight in state.averaged.weights}
    # for a few settings, because it is another trace
    named["measures"] = validated(strategy, config, split, share, state.result) if changes else np.zeros(0)
    np.savez(out, **named, sums=np.stack(sums), copies=apart, moved=moved)
