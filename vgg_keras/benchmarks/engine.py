"""What `benchmark train` needs of the Keras backend that it runs on."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """A Keras backend on this machine.

    Attributes:
        name: of the backend.
        device: the processor's description, or a GPU's product name.
        gpu: whether it is one.
        precision: Keras dtype policy.
        chosen: the choices for this machine, in a line.
        step: a function of (architecture, config, precision, images, labels) that returns our step, which returns its mean loss.
        layer: a function of (layer, batch, side, channels, dtype, with_input_gradient) that returns a call for each product.
        wait: waits for the result of such a call.
        profile: a function of a folder that returns a context, in which steps are recorded for TensorBoard.
        profiled_step: a function of a number that returns a context, which marks a step in the record.
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
