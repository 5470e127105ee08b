"""Which devices a run uses and in which precision: chosen from the hardware, and said."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from vgg_keras.config import Runtime, UserError


def make_strategy(runtime: Runtime) -> tf.distribute.Strategy:
    """One device, or MirroredStrategy over all GPUs or over `runtime.cpu_devices` logical CPU devices.

    Must run before anything else touches TensorFlow's devices, and once in a process: two strategies in one process
    collide.

    Raises:
        UserError: `mirrored` where there is one device only.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
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
    """Whether XLA compiles the weights' update by itself: on a single CPU, see `steps.compiled_update`."""
    one = isinstance(strategy, tf.distribute.OneDeviceStrategy)
    return one and "CPU" in strategy.extended.worker_devices[0]


def choices(strategy: tf.distribute.Strategy, precision: str) -> str:
    """What was chosen for this machine, in a line."""
    update = "XLA for the weights' update alone" if compiles_update(strategy) else "no XLA"
    return f"{strategy.num_replicas_in_sync} x {type(strategy).__name__}, {precision}, {update}"


def one_device(runtime: Runtime) -> str:
    """Settles on one device, for a net that is asked and not trained; returns the precision of `choose_precision`."""
    make_strategy(dataclasses.replace(runtime, strategy="one"))
    return choose_precision(runtime)


def choose_precision(runtime: Runtime) -> str:
    """The Keras dtype policy: `runtime.precision`, or on `auto` mixed_bfloat16 where the hardware multiplies bf16."""
    if runtime.precision != "auto":
        return runtime.precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capabilities = [
            tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus
        ]
        return "mixed_bfloat16" if min(capabilities) >= (8, 0) else "float32"
    return "mixed_bfloat16" if _cpu_flags() & {"amx_bf16", "avx512_bf16"} else "float32"


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split())
    return set()
