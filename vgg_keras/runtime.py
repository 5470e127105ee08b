"""The devices of a run and its precision, chosen from the hardware and printed."""

import collections
import dataclasses
import faulthandler
from typing import Any

import keras
import tensorflow as tf

import vgg_keras
from vgg_keras import processor
from vgg_keras.cluster import VARIABLE, Cluster, meet
from vgg_keras.config import Runtime
from vgg_keras.errors import UserError


def make_strategy(runtime: Runtime, must_match: dict[str, Any] | None = None) -> tf.distribute.Strategy:
    """One device, MirroredStrategy over this machine's, or MultiWorkerMirroredStrategy over those of TF_CONFIG's workers.

    A machine's devices are all its GPUs, or `runtime.cpu_devices` logical CPU devices. Must run before anything else touches
    TensorFlow's devices, and once in a process: two strategies in one process collide.

    Args:
        runtime: the configuration.
        must_match: plain JSON values that must be the same on all workers, beside what is chosen here.

    Raises:
        UserError: `mirrored` with a single device, `multi_worker` without several workers, or workers that differ.
        WorkerLostError: a worker did not come within `runtime.start_seconds`.
    """
    cluster = Cluster.from_environment() if runtime.strategy in ("auto", "multi_worker") else None
    if runtime.strategy == "multi_worker" and cluster is None:
        raise UserError(
            f"runtime.strategy=multi_worker needs {VARIABLE} with two workers or more. Received: none, or one. "
            "On one machine: python -m vgg_keras.launch --workers=2 train ..."
        )
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if cluster:
        return _over_workers(cluster, runtime, len(gpus), must_match or {})
    if not gpus and runtime.cpu_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * runtime.cpu_devices)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if runtime.strategy == "mirrored" and len(devices) == 1:
        raise UserError(
            "runtime.strategy=mirrored needs two devices or more. Received: one. "
            "Set runtime.cpu_devices=2 to mirror over logical CPU devices."
        )
    if runtime.strategy == "one" or len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0].name)
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def compiles_update(strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA compiles the update of the weights, without the step: on a single CPU, see `steps.compiled_update`."""
    one = isinstance(strategy, tf.distribute.OneDeviceStrategy)
    return one and "CPU" in strategy.extended.worker_devices[0]


def choices(strategy: tf.distribute.Strategy, precision: str) -> str:
    """What was chosen for this machine, in a line."""
    update = "XLA for the weights' update alone" if compiles_update(strategy) else "no XLA"
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)  # whose class has another name
    kind = "MultiWorkerMirroredStrategy" if several else type(strategy).__name__
    return f"{strategy.num_replicas_in_sync} x {kind} on {hardware(strategy)}, {precision}, {update}"


def hardware(strategy: tf.distribute.Strategy) -> str:
    """The hardware that a strategy computes on here: its GPUs with their names, or the processor."""
    used = {int(device.rpartition(":")[2]) for device in strategy.extended.worker_devices if "GPU" in device}
    gpus = [gpu for place, gpu in enumerate(tf.config.list_physical_devices("GPU")) if place in used]
    named = (tf.config.experimental.get_device_details(gpu).get("device_name", "of unknown name") for gpu in gpus)
    found = [
        f"{count} x GPU {name}" if count > 1 else f"GPU {name}" for name, count in collections.Counter(named).items()
    ]
    return " and ".join(found) or f"CPU: {processor.description()}"


def _over_workers(cluster: Cluster, runtime: Runtime, gpus: int, must_match: dict[str, Any]) -> tf.distribute.Strategy:
    if not gpus and runtime.cpu_devices > 1:
        raise UserError(
            f"A worker without GPUs has one CPU device. Received: runtime.cpu_devices={runtime.cpu_devices}. Leave it at 1."
        )
    # other versions may draw other crops of an image, and config.json states the first worker's
    versions = {package.__name__: package.__version__ for package in (vgg_keras, tf, keras)}
    here = {"precision": choose_precision(runtime), "GPUs": gpus, "versions": versions}
    meet(cluster, runtime.start_seconds, {**must_match, **here})
    # TensorFlow would wait without end for a worker that dies between here and its own meeting, and no Python can run then.
    faulthandler.dump_traceback_later(runtime.start_seconds, exit=True)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(
            tf.distribute.cluster_resolver.SimpleClusterResolver(
                tf.train.ClusterSpec({"worker": cluster.addresses}),
                task_type="worker",
                task_id=cluster.rank,
                num_accelerators={"GPU": gpus} if gpus else {},
                rpc_layer="grpc",
            )
        )
    finally:
        faulthandler.cancel_dump_traceback_later()
    # All workers have equally many batches of one shape; without this they would communicate before each batch.
    strategy.extended.experimental_enable_get_next_as_optional = False
    return strategy


def one_device(runtime: Runtime) -> str:
    """Sets one device for a net that is not trained; returns the precision of `choose_precision`."""
    make_strategy(dataclasses.replace(runtime, strategy="one"))
    return choose_precision(runtime)


def choose_precision(runtime: Runtime) -> str:
    """The Keras dtype policy: `runtime.precision`, or on `auto` what the hardware multiplies fastest.

    GPUs multiply float16 in tensor cores from compute capability 7.0 on (V100, T4), and bf16 from 8.0 on.
    """
    if runtime.precision != "auto":
        return runtime.precision
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "mixed_bfloat16" if processor.multiplies_bf16() else "float32"
    oldest = min(tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus)
    if oldest >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if oldest >= (7, 0) else "float32"
