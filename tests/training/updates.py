"""Run by test_steps.py in a process of its own: a few updates over N logical CPU devices, the weights to an .npz file.

With TF_CONFIG it is one of N workers, and that worker's weights go to the file.
"""

import os

import numpy as np
import tensorflow as tf

from vgg_keras import runtime
from vgg_keras.config import Architecture, Data, Runtime
from vgg_keras.data import pipeline
from vgg_keras.data.splits import Split
from vgg_keras.nets.builder import build
from vgg_keras.training import steps
from vgg_keras.training.optimizer import SGDW
from vgg_keras.training.workers import Workers


def main(replicas, *arguments):
    """Arguments: DEVICES IMAGES BATCH MICRO_BATCH DROPOUT BATCH_NORM STEPS SAME FILE, all as text.

    The nine may be repeated, with the same number of devices. SAME, 1 or 0: all images are one and the same, and nothing
    is drawn but dropout.
    """
    strategy = runtime.make_strategy(Runtime(cpu_devices=1 if "TF_CONFIG" in os.environ else int(replicas)))
    assert strategy.num_replicas_in_sync == int(replicas)
    for first in range(0, len(arguments), 9):
        make_updates(strategy, *arguments[first : first + 8])


def make_updates(strategy, images, batch, micro_batch, dropout, batch_norm, updates, same, out):
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
    with strategy.scope():
        model = build(architecture, seed=1)
        optimizer = SGDW(1e-3, 1e-2, 0.9)
        optimizer.build(model.trainable_variables)
    basis = np.eye(3, dtype=np.float32)

    def batches(_):
        data = Data(batch=int(batch), scale=(32, 40))
        if same == "1":
            data = Data(batch=int(batch), scale=(32,), flip=False, color_shift=0.0)
        return pipeline.training(split, data, 32, basis, 5, 0, int(updates), *share)

    step = steps.train_step(strategy, model, optimizer, seed=3, micro_batch=int(micro_batch))
    sums = [step(element).numpy() for element in strategy.distribute_datasets_from_function(batches)]
    copies = [strategy.experimental_local_results(weight.value) for weight in model.weights]
    apart = max(float(tf.reduce_max(tf.abs(copy - values[0]))) for values in copies for copy in values)
    np.savez(out, **{weight.path: weight.numpy() for weight in model.weights}, sums=np.stack(sums), copies=apart)
