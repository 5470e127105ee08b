"""What `benchmark train` needs of the Keras backend that it runs on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """A Keras backend on this machine.

    Attributes:
        name: of the backend.
        device: in words; a GPU's product name.
        gpu: whether it is one.
        precision: Keras dtype policy.
        chosen: the choices that the program makes here, in a line.
        step: (architecture, config, precision, images, labels) to our step, which returns its mean loss.
        layer: (layer, batch, side, channels, dtype, whether with its input's gradient) to calls, each a product of that layer.
        wait: for what such a call returned.
        profile: a folder to a context in which what runs is recorded for TensorBoard.
        profiled_step: a number to a context that tells the record where a step begins and ends.
    """

    name: str
    device: str
    gpu: bool
    precision: str
    chosen: str
    step: Callable[..., Callable[[], float]]
    layer: Callable[..., list[Callable[[], object]]]
    wait: Callable[[object], object]
    profile: Callable[[str], object]
    profiled_step: Callable[[int], object]
